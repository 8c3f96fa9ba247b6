"""Which environment a task gets, and what is said when it gets none."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from flytelite.config import Settings
from flytelite.engine.environments import overlay
from flytelite.engine.environments.advice import advice
from flytelite.engine.environments.building import BuildFailed
from flytelite.engine.environments.choice import Environment, Environments, NoEnvironment
from flytelite.engine.environments.library import Image, Library
from flytelite.engine.environments.recipe import make_recipe
from flytelite.image_rules import ImageRule


def venv(place: Path, with_flytekit: bool = True) -> str:
    """What looks like a virtual environment."""
    (place / "bin").mkdir(parents=True)
    (place / "bin" / "python").symlink_to(sys.executable)
    (place / "pyvenv.cfg").touch()
    if with_flytekit:
        (place / "bin" / "pyflyte-execute").touch()
    return str(place)


@pytest.fixture
def library(tmp_path: Path) -> Library:
    return Library(tmp_path / "environments")


def choose(library: Library, image: str, **rules: Any) -> Environment:
    return asyncio.run(choose_on_loop(library, image, **rules))


async def choose_on_loop(library: Library, image: str, **rules: Any) -> Environment:
    environments = Environments(Settings(environments=library.directory, **rules))
    try:
        return await environments.choose(image, "flytesnacks", "development", for_flytekit=True)
    finally:
        await environments.close()


def spec(library: Library, name: str) -> Path:
    """The Python of an ImageSpec that was made."""
    recipe = make_recipe("3.11", [name])
    library.save_image(Image(name, recipe, "the id", {"COLOUR": "blue"}))
    library.python(recipe).parent.mkdir(parents=True)
    library.finish(recipe)
    return library.python(recipe)


def test_the_order_of_what_decides(library: Library, tmp_path: Path) -> None:
    for name in ("named", "all", "domain", "project"):
        venv(tmp_path / name)

    def rule(pattern: str, name: str) -> ImageRule:
        return ImageRule(pattern, venv=str(tmp_path / name))

    named, for_all = rule("acme/*", "named"), rule("*", "all")
    domain, project = rule("flytesnacks/development", "domain"), rule("flytesnacks", "project")
    made = spec(library, "acme/spec:1")

    def place(image: str, *images: ImageRule, projects: tuple[ImageRule, ...] = ()) -> str:
        found = choose(library, image, images=images, project_environments=projects)
        return found.python.parent.parent.name

    assert place("acme/spec:1", for_all, named) == "named"
    assert place("acme/spec:1", for_all) == made.parent.parent.name
    assert place("other:1", for_all, named, projects=(project, domain)) == "all"
    assert place("other:1", named, projects=(project, domain)) == "domain"
    assert place("other:1", projects=(project,)) == "project"
    assert choose(library, "other:1").is_own


def test_a_task_of_an_image_spec_knows_its_image(library: Library) -> None:
    spec(library, "spec:1")
    found = choose(library, "spec:1")
    adapted = found.adapt({"PATH": f"{Path(sys.executable).parent}{os.pathsep}/usr/bin", "VIRTUAL_ENV": "/other"})
    assert adapted["PATH"] == f"{found.programs}{os.pathsep}/usr/bin"
    assert adapted["_F_IMG_ID"] == "the id"
    assert adapted["COLOUR"] == "blue"
    assert "VIRTUAL_ENV" not in adapted


def test_a_missing_environment_is_said_with_image_and_rule(library: Library, tmp_path: Path) -> None:
    gone = ImageRule("acme/*", venv=str(tmp_path / "gone"))
    with pytest.raises(NoEnvironment, match=r"image acme/train:1 .*gone \(by 'acme/\*' of images in flytelite.yaml\)"):
        choose(library, "acme/train:1", images=(gone,))


def test_an_environment_without_flytekit_is_said_to_have_none(library: Library, tmp_path: Path) -> None:
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", tmp_path / "bare"], check=True)
    bare = ImageRule("acme/*", venv=str(tmp_path / "bare"))
    with pytest.raises(NoEnvironment, match="has no flytekit"):
        choose(library, "acme/train:1", images=(bare,))


def test_requirements_that_cannot_be_had_fail_with_the_image(library: Library) -> None:
    rule = ImageRule("acme/*", requirements=("six==0.0.0.1",))
    with pytest.raises(BuildFailed, match="the image acme/train:1"):
        choose(library, "acme/train:1", images=(rule,))


def test_advice_names_the_image_and_has_the_lines_to_write(tmp_path: Path) -> None:
    own = "the environment that flytelite runs in"
    where = Environment(Path("/env/bin/python"), own, "acme/train:1", notes=("apt_packages (vim) …",))
    text = advice("Trace:\n ModuleNotFoundError: No module named 'sklearn.svm'", where, tmp_path)
    assert "acme/train:1 ran in /env/bin/python (the environment that flytelite runs in), which has no module" in text
    assert 'images:\n  "acme/train:1":\n    requirements: [scikit-learn]' in text
    assert "apt_packages" in text
    assert advice("ValueError: no", where, tmp_path) == ""


def test_advice_on_the_image_of_an_image_spec_is_to_change_that(library: Library, tmp_path: Path) -> None:
    """Lines for flytelite.yaml would take the image's other packages away."""
    spec(library, "acme/train:1")
    text = advice("ModuleNotFoundError: No module named 'sklearn'", choose(library, "acme/train:1"), tmp_path)
    assert 'add "scikit-learn" to the packages of the ImageSpec' in text
    assert "images:" not in text


def test_advice_on_what_the_registered_code_does_not_have(tmp_path: Path) -> None:
    where = Environment(Path("/env/bin/python"), "")
    (tmp_path / "mine").mkdir()
    text = advice("ModuleNotFoundError: No module named 'mine.late'", where, tmp_path)
    assert "has 'mine', but no 'mine.late'" in text
    assert "register DIRECTORY" in text
    assert "requirements" not in text

    def on(file: object) -> str:
        return advice(f"    FileNotFoundError: [Errno 2] No such file or directory: '{file}'\n", where, tmp_path)

    assert "table.csv is not in the registered code" in on("table.csv")
    assert "mine/table.csv is not in the registered code" in on(tmp_path / "mine/table.csv")
    assert "--copy-all" in on("table.csv")
    assert on("/elsewhere/table.csv") == ""

    own_words = f"Trace:\n  …\nMessage:\n\n  ValueError: Illegal notebook path passed in {tmp_path}/mine/nb.ipynb"
    assert "mine/nb.ipynb is not in the registered code" in advice(own_words, where, tmp_path)
    (tmp_path / "mine/nb.ipynb").touch()
    assert advice(own_words, where, tmp_path) == ""
    # Names that no disk can hold: the keys of some service.
    assert "is not in the registered code" in on("x" * 300)
    assert on("x" * 5000) == ""
    assert "has no module" in advice(f"ModuleNotFoundError: No module named '{'x' * 253}.y'", where, tmp_path)


def test_advice_to_a_task_that_was_registered_without_its_code(tmp_path: Path) -> None:
    where = Environment(Path("/env/bin/python"), "", "acme/train:1")
    for error in (
        "ModuleNotFoundError: No module named 'flow'",
        "    FileNotFoundError: [Errno 2] No such file or directory: 'table.csv'",
    ):
        text = advice(error, where, tmp_path, sent=False)
        assert "registered without its code" in text
        assert "fast_register_workflow" in text
        assert "--copy-all" not in text
        assert "registered without its code" not in advice(error, where, tmp_path)


@pytest.mark.parametrize(
    ("requirements", "wanted"),
    [
        (("humanize==4.9.0",), 'images:\n  "acme/*":\n    requirements: [humanize==4.9.0, toolz]'),
        ("/project/train.txt", "add toolz to /project/train.txt"),
    ],
)
def test_advice_keeps_what_the_rule_has(tmp_path: Path, requirements: tuple[str, ...] | str, wanted: str) -> None:
    rule = ImageRule("acme/*", requirements=requirements)
    where = Environment(Path("/env/bin/python"), "", "acme/train:1", rule=rule)
    assert wanted in advice("ModuleNotFoundError: No module named 'toolz'", where, tmp_path)


def test_runtime_packages_are_for_one_attempt(tmp_path: Path) -> None:
    where = Environment(Path(sys.executable), "")
    env = {overlay.RUNTIME_PACKAGES: "iniconfig==1.1.1", "PYTHONPATH": "/code", "PATH": os.defpath}
    found = overlay.install(where, env, tmp_path / "packages", tmp_path / "log")
    assert overlay.RUNTIME_PACKAGES not in found
    assert found["PYTHONPATH"] == f"{tmp_path / 'packages'}{os.pathsep}/code"
    code = "import importlib.metadata as m; print(m.version('iniconfig'))"
    done = subprocess.run([sys.executable, "-c", code], env=found, capture_output=True, text=True, check=True)
    assert done.stdout == "1.1.1\n"
    with pytest.raises(BuildFailed, match="nothing-of-the-kind-there"):
        bad = {overlay.RUNTIME_PACKAGES: "nothing-of-the-kind-there==1", "PATH": os.defpath}
        overlay.install(where, bad, tmp_path / "other", tmp_path / "log")
