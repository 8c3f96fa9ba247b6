"""What a path means, and how mistakes in the user's code are told."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from flytelite.cli.failure import Failure, Usage
from flytelite.cli.source import explain, find_entity, load, locate
from flytelite.engine.environments.building import BuildFailed


@pytest.fixture(autouse=True)
def own_modules() -> Iterator[None]:
    """Each test imports its modules anew."""
    path, modules = list(sys.path), set(sys.modules)
    yield
    sys.path[:] = path
    for name in set(sys.modules) - modules:
        if not name.startswith(("flytekit", "flyteidl", "google", "grpc")):
            del sys.modules[name]


def write(folder: Path, files: dict[str, str]) -> Path:
    for name, text in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return folder


def test_a_file_lies_under_the_first_directory_that_is_no_package(tmp_path: Path) -> None:
    write(tmp_path, {"app/__init__.py": "", "app/sub/__init__.py": "", "app/sub/flow.py": "", "other.py": ""})
    source = locate([tmp_path / "app" / "sub" / "flow.py"])
    assert (source.root, source.modules, source.whole_tree) == (tmp_path, ("app.sub.flow",), False)


def test_of_a_package_all_modules_are_meant(tmp_path: Path) -> None:
    write(tmp_path, {"app/__init__.py": "", "app/flow.py": "", "app/__main__.py": "1/0", "app/a/__init__.py": ""})
    source = locate([tmp_path / "app"])
    assert source.root == tmp_path
    assert source.modules == ("app", "app.flow", "app.a")
    assert source.whole_tree


def test_of_a_plain_directory_only_what_mentions_flytekit_is_meant(tmp_path: Path) -> None:
    uses = "import flytekit\n"
    write(
        tmp_path,
        {
            "flow.py": uses,
            "notes.py": "x = 1\n",
            "setup.py": uses,
            "sub/more.py": uses,
            ".hidden/no.py": uses,
            "env/pyvenv.cfg": "",
            "env/no.py": uses,
        },
    )
    assert locate([tmp_path]).modules == ("flow", "sub.more")


def test_paths_that_cannot_work_are_bad_usage(tmp_path: Path) -> None:
    write(tmp_path, {"a/one.py": "", "b/two.py": "", "readme.txt": "", "empty/notes.py": "", "flow.v2.py": ""})
    for paths, reason in [
        (["missing.py"], "does not exist"),
        (["readme.txt"], "is not a Python file"),
        (["empty"], "uses flytekit"),
        (["a/one.py", "b/two.py"], "different source roots"),
        (["flow.v2.py"], "has no dots; rename the file"),
    ]:
        with pytest.raises(Usage, match=reason):
            locate([tmp_path / path for path in paths])


def test_what_cannot_be_read_is_named(tmp_path: Path) -> None:
    write(tmp_path, {"flow.py": "import flytekit\n"})
    (tmp_path / "other.py").symlink_to("other.py")  # no user can read a link to itself, neither can root
    with pytest.raises(Usage, match=r"other.py cannot be read \(Too many levels of symbolic links\)"):
        locate([tmp_path])


@pytest.mark.parametrize(
    ("code", "place", "reason"),
    [
        ("x = 1\ndef f(:\n", "broken_flow.py, line 2", "SyntaxError"),
        ("\n\nimport not_installed_anywhere\n", "broken_flow.py, line 3", "No module named 'not_installed_anywhere'"),
        ("def f():\n    return 1 / 0\nf()\n", "broken_flow.py, line 2", "ZeroDivisionError"),
        ("import sys\nsys.exit(4)\n", "broken_flow.py, line 2", "SystemExit: 4"),
    ],
)
def test_a_mistake_is_told_with_file_line_and_reason(tmp_path: Path, code: str, place: str, reason: str) -> None:
    write(tmp_path, {"broken_flow.py": code})
    with pytest.raises(Failure) as failed:
        load(locate([tmp_path / "broken_flow.py"]))
    assert f"{tmp_path}/{place}: " in failed.value.sentence
    assert reason in failed.value.sentence


def test_an_environment_that_cannot_be_made_is_not_called_a_mistake_in_the_code(tmp_path: Path) -> None:
    error = BuildFailed("the environment of the image acme/train:1 cannot be made: six==0")
    assert explain(error, tmp_path).sentence == str(error)


def test_a_name_that_is_taken_is_told(tmp_path: Path) -> None:
    write(tmp_path, {"json.py": ""})
    with pytest.raises(Failure, match="rename the file"):
        load(locate([tmp_path / "json.py"]))


def test_a_name_that_a_library_needs_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(sys.modules, "colorsys", raising=False)  # as in a command line, which does not need it
    write(tmp_path, {"colorsys.py": "from colorsys import rgb_to_hls\n"})
    with pytest.raises(Failure, match=r"line 1: ImportError.*/lib/python.*/colorsys.py has that name too: rename"):
        load(locate([tmp_path / "colorsys.py"]))


FLOW = """
from flytekit import LaunchPlan, task, workflow

@task
def one() -> int:
    return 1

@workflow
def flow() -> int:
    return one()

def helper():
    pass

number = 4
plan = LaunchPlan.get_or_create(flow, "test_source.named_plan")
"""


def test_an_entity_is_found_by_variable_or_by_the_name_of_a_launch_plan(tmp_path: Path) -> None:
    write(tmp_path, {"found_flow.py": FLOW})
    (module,) = load(locate([tmp_path / "found_flow.py"]))
    assert find_entity(module, "flow").name == "found_flow.flow"
    assert find_entity(module, "test_source.named_plan") is module.plan


def test_what_is_no_entity_is_named_with_its_line(tmp_path: Path) -> None:
    write(tmp_path, {"other_flow.py": FLOW.replace("test_source.", "other.")})
    (module,) = load(locate([tmp_path / "other_flow.py"]))
    with pytest.raises(Usage, match=r"other_flow\.py, line 12: helper is a plain function.*one, flow, plan"):
        find_entity(module, "helper")
    with pytest.raises(Usage, match=r"other_flow\.py, line 15: number is a plain int"):
        find_entity(module, "number")
    with pytest.raises(Usage, match="has no 'nothing'"):
        find_entity(module, "nothing")
