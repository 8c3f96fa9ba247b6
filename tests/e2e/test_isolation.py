"""Attempts that run at the same time do not see each other's files or code."""

from __future__ import annotations

from pathlib import Path
from typing import Any

EDITION = """
import time
from pathlib import Path

from flytekit import task, workflow

from edition_text import TEXT


@task
def tell(own: str, other: str, place: str) -> str:
    (Path(place) / own).touch()
    deadline = time.monotonic() + 60
    while not (Path(place) / other).exists():
        assert time.monotonic() < deadline, "the other version did not start"
        time.sleep(0.01)
    from edition_late import LATE

    return f"{TEXT} {LATE}"


@workflow
def edition(own: str, other: str, place: str) -> str:
    return tell(own=own, other=other, place=place)
"""


def test_attempts_that_write_the_same_relative_file_do_not_see_each_others(client: Any, tmp_path: Path) -> None:
    outputs = client.outputs("waiting.two_at_once", place=str(tmp_path))
    assert outputs == {"o0": "first", "o1": "second"}


def test_two_versions_at_once_each_run_their_own_code(client: Any, server: Any, pyflyte: Any, tmp_path: Path) -> None:
    for version in ("one", "two"):
        folder = tmp_path / version
        folder.mkdir()
        (folder / "edition.py").write_text(EDITION)
        (folder / "edition_text.py").write_text(f'TEXT = "text of {version}"\n')
        (folder / "edition_late.py").write_text(f'LATE = "late of {version}"\n')
        pyflyte("register", "--version", version, "edition.py", env=server.by_address, cwd=folder)
        # What runs is what was registered, not what the folder holds later.
        (folder / "edition_late.py").write_text('LATE = "changed after registration"\n')

    started = []
    for version, other in (("one", "two"), ("two", "one")):
        workflow = client.remote.fetch_workflow(name="edition.edition", version=version)
        inputs = {"own": version, "other": other, "place": str(tmp_path / "one")}
        started.append(client.remote.execute(workflow, inputs=inputs))
    outputs = [client.wait(execution).outputs["o0"] for execution in started]
    assert outputs == ["text of one late of one", "text of two late of two"]
