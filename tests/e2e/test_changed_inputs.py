"""Tasks may change the files that they are given, as on a cluster, where each downloads them: nobody else sees it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

CHANGING = """
import functools
import os
from dataclasses import dataclass
from pathlib import Path

from flytekit import current_context, map_task, task, workflow
from flytekit.extras.tasks.shell import OutputLocation, ShellTask
from flytekit.types.directory import FlyteDirectory
from flytekit.types.file import FlyteFile


@dataclass
class Report:
    text: FlyteFile


@task
def make() -> FlyteFile:
    path = Path(current_context().working_directory) / "made.txt"
    path.write_text("1")
    return FlyteFile(str(path))


@task
def make_directory() -> FlyteDirectory:
    path = Path(current_context().working_directory) / "made"
    (path / "deep").mkdir(parents=True)
    (path / "deep/one.txt").write_text("1")
    return FlyteDirectory(str(path))


@task
def report() -> Report:
    Path("report.txt").write_text("1")
    return Report(text=FlyteFile("report.txt"))


def append(path: str, text: str) -> str:
    with open(path, "a") as file:
        file.write(text)
    return Path(path).read_text()


@task
def change(file: FlyteFile) -> str:
    return append(file.download(), "+")


@task
def change_directory(directory: FlyteDirectory) -> str:
    place = Path(directory.download())
    append(str(place / "new.txt"), "+")
    return append(str(place / "deep/one.txt"), "+") + str(len(list(place.iterdir())))


@task
def change_report(report: Report) -> str:
    return append(report.text.download(), "+")


@task
def change_both(own: FlyteFile, all_have: FlyteFile) -> str:
    return append(own.download(), "+") + append(all_have.download(), "+")


@task
def as_path(file: os.PathLike) -> os.PathLike:
    return file


@task
def read(file: FlyteFile) -> str:
    return Path(file.download()).read_text()


shell = ShellTask(
    name="shell_change",
    script="echo -n + >> {inputs.file}; cp {inputs.file} {outputs.out}",
    inputs={"file": FlyteFile},
    output_locs=[OutputLocation(var="out", var_type=FlyteFile, location="changed.txt")],
)


@workflow
def changing() -> tuple[list[str], list[str], list[str], list[str], str]:
    file = make()
    directory = make_directory()
    made = report()
    first, second = change(file=file), change(file=file)
    first >> second
    one, other = change_directory(directory=directory), change_directory(directory=directory)
    one >> other
    mine, yours = change_report(report=made), change_report(report=made)
    mine >> yours
    elements = map_task(functools.partial(change_both, all_have=file))(own=[make(), make()])
    changed = read(file=shell(file=file))
    kept = as_path(file=file)
    untouched = read(file=kept)
    elements >> untouched
    return [first, second, changed], [one, other], [mine, yours], elements, untouched
"""


def test_a_task_that_changes_its_input_changes_its_own_copy(
    client: Any, server: Any, pyflyte: Any, tmp_path: Path
) -> None:
    (tmp_path / "changing.py").write_text(CHANGING)
    pyflyte("register", "--version", "v1", "changing.py", env=server.by_address, cwd=tmp_path)
    workflow = client.remote.fetch_workflow(name="changing.changing", version="v1")
    outputs = client.wait(client.remote.execute(workflow, inputs={})).outputs
    assert outputs["o0"] == ["1+", "1+", "1+"]
    assert outputs["o1"] == ["1+2", "1+2"]
    assert outputs["o2"] == ["1+", "1+"]
    assert outputs["o3"] == ["1+1+", "1+1+"]
    assert outputs["o4"] == "1"
