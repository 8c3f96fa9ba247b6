"""Making environments, with uv and a package registry."""

from __future__ import annotations

import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from flytelite.engine.environments.building import BuildFailed, Tool, make
from flytelite.engine.environments.library import Image, Library
from flytelite.engine.environments.recipe import Recipe, make_recipe, own_version

SIX = Recipe(own_version(), ("six==1.16.0",))


@pytest.fixture
def library(tmp_path: Path) -> Library:
    return Library(tmp_path / "environments")


def version_of_six(python: Path) -> str:
    command = [python, "-c", "import six; print(six.__version__)"]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout


def test_an_environment_is_made_once_however_many_want_it(library: Library) -> None:
    start = threading.Barrier(3)

    def want(_: int) -> Path:
        start.wait()
        return make(library, SIX, "image", Tool())

    with ThreadPoolExecutor(3) as threads:
        pythons = set(threads.map(want, range(3)))
    assert len(pythons) == 1
    assert version_of_six(pythons.pop()) == "1.16.0\n"
    assert library.log(SIX).read_text().count("$ ") == 2  # the environment, and the packages in it
    assert [made.digest for made in library.made()] == [SIX.digest]


def test_what_was_not_finished_is_made_anew(library: Library) -> None:
    rest = library.python(SIX).parent
    rest.mkdir(parents=True)
    (rest / "python").write_text("half")
    assert version_of_six(make(library, SIX, "image", Tool())) == "1.16.0\n"


def test_a_removed_one_is_made_again(library: Library) -> None:
    library.save_image(Image("image", SIX))
    make(library, SIX, "image", Tool())
    assert library.made()[0].images == ("image",)
    library.remove(SIX.digest)
    assert library.made() == []
    assert library.image("image") == Image("image", SIX)
    assert make(library, SIX, "image", Tool()).is_file()


def test_a_failure_says_what_the_tool_said_and_leaves_nothing(library: Library) -> None:
    recipe = Recipe(own_version(), ("six==0.0.0.1",))
    with pytest.raises(BuildFailed) as failed:
        make(library, recipe, "ghcr.io/acme/train:1", Tool())
    assert "the image ghcr.io/acme/train:1 cannot be made" in str(failed.value)
    assert "six==0.0.0.1" in str(failed.value)
    assert str(library.log(recipe)) in str(failed.value)
    assert not library.python(recipe).parent.parent.exists()


def test_a_python_that_is_not_here_is_said_plainly(library: Library) -> None:
    with pytest.raises(BuildFailed, match=r"uv python install 2\.99"):
        make(library, Recipe("2.99", ("six",)), "image", Tool())


def test_a_python_that_only_the_version_manager_has_is_found(
    library: Library, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("2.99.1", "2.99.12", "2.99.x", "2.990.1"):
        (tmp_path / "pyenv/versions" / name / "bin").mkdir(parents=True)
        (tmp_path / "pyenv/versions" / name / "bin/python").symlink_to(sys.executable)
    monkeypatch.setenv("PYENV_ROOT", str(tmp_path / "pyenv"))
    recipe = Recipe("2.99", SIX.requirements)
    assert version_of_six(make(library, recipe, "image", Tool())) == "1.16.0\n"
    assert "/pyenv/versions/2.99.12/bin/python " in library.log(recipe).read_text()


@pytest.mark.soak
def test_without_uv_it_is_venv_and_pip(library: Library) -> None:
    tool = Tool()
    tool.uv = ""
    assert version_of_six(make(library, SIX, "image", tool)) == "1.16.0\n"


def test_a_stopped_tool_makes_nothing(library: Library) -> None:
    tool = Tool()
    tool.stop()
    with pytest.raises(BuildFailed):
        make(library, SIX, "image", tool)


@pytest.mark.parametrize(
    ("requirement", "adds"),
    [
        ("six", True),
        ("flytekitplugins-spark", True),
        ("flytekit==1.15.0", False),
        ("flytekit", False),
        ("flytekit[deck]>=1", False),
        ("git+https://github.com/flyteorg/flytekit.git@main", False),
    ],
)
def test_flytekit_is_added_unless_it_is_named(requirement: str, adds: bool) -> None:
    lines = make_recipe("", [requirement, "", "# nothing"], flytekit="1.2.3").requirements
    assert lines == ((requirement, "flytekit==1.2.3") if adds else (requirement,))


def test_equal_recipes_are_one_environment() -> None:
    assert make_recipe("3.11", ["a"]).digest == make_recipe("3.11", [" a "]).digest
    digests = {make_recipe("3.11", ["a"]).digest, make_recipe("3.12", ["a"]).digest, make_recipe("3.11", ["b"]).digest}
    assert len(digests) == 3
