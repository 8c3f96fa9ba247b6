"""Tasks in the Python environments of their images: made from ImageSpecs with uv, or mapped in flytelite.yaml."""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

KEPT = ("HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY", "SSL_CERT_FILE")

TWO_IMAGES = """
from flytekit import ImageSpec, task, workflow

old = ImageSpec(name="old", packages=["six==1.16.0"], env={"COLOUR": "blue"}, apt_packages=["vim"])
new = ImageSpec(name="new", packages=["six==1.17.0"])

if old.is_container():
    import six as only_in_old


def described() -> str:
    import os, six

    return f"{six.__version__} {old.is_container()} {new.is_container()} {os.environ.get('COLOUR')}"


@task(container_image=old)
def in_old() -> str:
    assert only_in_old.__version__
    return described()


@task(container_image=new)
def in_new() -> str:
    return described()


@workflow
def two_images() -> tuple[str, str]:
    return in_old(), in_new()
"""

MAPPED = """
import sys
from flytekit import ImageSpec, map_task, task, workflow


def described() -> str:
    import marker

    return f"{marker.NAME} {sys.prefix}"


@task(container_image="registry.example/one/train:1")
def in_one() -> str:
    return described()


@task(container_image="registry.example/two/train:{{.image.default.version}}")
def in_two() -> str:
    return described()


@workflow
def mapped() -> tuple[str, str]:
    return in_one(), in_two()


@task
def anywhere(n: int) -> str:
    return described()


@workflow
def overridden() -> tuple[str, list[str]]:
    alone = anywhere(n=0).with_overrides(container_image="registry.example/one/train:1")
    many = map_task(anywhere)(n=[0]).with_overrides(container_image="registry.example/two/train:1")
    return alone, many


@task(container_image="registry.example/elsewhere:1")
def needs_module() -> str:
    return described()


@task(container_image="registry.example/gone:1")
def in_nowhere() -> str:
    return "never"


@task(container_image="registry.example/impossible:1")
def in_impossible() -> str:
    return "never"


@task(container_image=ImageSpec(
    base_image="registry.example/plain:1", builder="noop", runtime_packages=["iniconfig==1.1.1"]
))
def with_runtime_package() -> str:
    import importlib.metadata

    return f"{importlib.metadata.version('iniconfig')} {sys.prefix}"
"""

RULES = """
images:
  "*/one/*": {venv: envs/one}
  "registry.example/two/train": {python: envs/two/bin/python}
  "*/gone": {venv: envs/gone}
  "*/impossible": {requirements: ["six==0.0.0.1"]}
  "*/later": {requirements: ["six==1.2.0"]}
"""


@dataclass
class Place:
    """A folder with a server of its own, and the `flytelite` command in it."""

    root: Path
    server: Any
    shell: Any
    env: dict[str, str]

    def run(self, *arguments: str, code: int = 0) -> str:
        """``flytelite run`` and what it printed."""
        env = {**self.env, "FLYTELITE_ENDPOINT": self.server.endpoint}
        return str(self.shell("run", *arguments, env=env, cwd=self.root, code=code, timeout=240).stdout)


@pytest.fixture
def place(launch: Any, flytelite: Any, tmp_path: Path, tmp_path_factory: pytest.TempPathFactory) -> Any:
    """``place(**files)``: a folder with those files and a server."""
    shared = tmp_path_factory.getbasetemp().parent / "environments"  # of all workers: the same ones are made once
    cache = os.environ.get("UV_CACHE_DIR") or str(Path.home() / ".cache" / "uv")
    outside = {name: value for name, value in os.environ.items() if name.startswith("UV_") or name.upper() in KEPT}
    env = {**outside, "UV_CACHE_DIR": cache, "FLYTELITE_ENVIRONMENTS": str(shared)}

    def make(**files: str) -> Place:
        for name, text in files.items():
            (tmp_path / name.replace("__", ".")).write_text(text)
        launch.environ = {**launch.environ, **env}
        return Place(tmp_path, launch(tmp_path / "data"), flytelite, env)

    return make


def borrow(directory: Path, name: str) -> str:
    """A virtual environment that also has what this one has, flytekit for one, and a module of its own."""
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", directory], check=True)
    packages = next((directory / "lib").glob("python*")) / "site-packages"
    own = Path(pytest.__file__).parents[1]
    (packages / "borrowed.pth").write_text(f"import site; site.addsitedir({str(own)!r})\n")
    (packages / "marker.py").write_text(f"NAME = {name!r}\n")
    return str(directory)


@pytest.mark.soak
def test_each_task_runs_in_the_environment_of_its_image_spec(place: Any, flytelite: Any) -> None:
    there = place(two__py=TWO_IMAGES)
    printed = there.run("two.py", "two_images")
    assert "o0: str = '1.16.0 True False blue'" in printed
    assert "o1: str = '1.17.0 False True None'" in printed
    assert "apt_packages (vim) cannot be had" in printed

    again = there.run("two.py", "two_images")
    assert "making the environment" not in again
    assert "o0: str = '1.16.0 True False blue'" in again

    listed = flytelite("environments", env=there.env).stdout
    assert "six==1.16.0, flytekit==" in listed
    image = next(word for line in listed.splitlines() for word in line.split() if word.startswith("old:"))
    assert "six==1.16.0" in flytelite("environments", "log", image, env=there.env).stdout


@pytest.mark.soak
def test_pyflyte_registers_image_specs_for_flytelite(place: Any, pyflyte: Any, client: Any, connect: Any) -> None:
    there = place(two__py=TWO_IMAGES)
    env = {**there.env, **there.server.by_address}
    pyflyte("register", "--version", "1", "two.py", env=env, cwd=there.root, timeout=240)
    remote = connect(there.server).remote
    execution = remote.execute(remote.fetch_workflow(name="two.two_images", version="1"), inputs={}, wait=True)
    assert execution.outputs["o0"] == "1.16.0 True False blue"


def test_images_run_where_flytelite_yaml_says(place: Any, tmp_path: Path) -> None:
    one, two = borrow(tmp_path / "envs" / "one", "first"), borrow(tmp_path / "envs" / "two", "second")
    there = place(flytelite__yaml=RULES, mapped__py=MAPPED)
    printed = there.run("mapped.py", "mapped")
    assert f"o0: str = 'first {one}'" in printed
    assert f"o1: str = 'second {two}'" in printed

    printed = there.run("mapped.py", "overridden")
    assert f"o0: str = 'first {one}'" in printed
    assert f"second {two}" in printed

    printed = there.run("mapped.py", "needs_module", code=1)
    assert f"registry.example/elsewhere:1 ran in {sys.executable} (the environment that flytelite runs in)" in printed
    assert "which has no module 'marker'" in printed
    assert '"registry.example/elsewhere:1":' in printed
    assert "requirements: [marker]" in printed

    printed = there.run("mapped.py", "in_nowhere", code=1)
    assert f"registry.example/gone:1 runs in the environment {tmp_path}/envs/gone" in printed
    assert "'*/gone' of images in flytelite.yaml" in printed

    printed = there.run("mapped.py", "in_impossible", code=1)
    assert "the environment of the image registry.example/impossible:1 cannot be made" in printed
    assert "six==0.0.0.1" in printed

    def log(name: str, code: int = 0) -> str:
        return str(there.shell("environments", "log", name, env=there.env, cwd=there.root, code=code).stdout)

    assert log("registry.example/impossible:1").startswith("requirements: six==0.0.0.1, flytekit==")
    assert "$ " in log("registry.example/impossible")
    assert log("registry.example/one/train:1") == (
        "nothing was made for registry.example/one/train:1: "
        f"its tasks run in {one}, as it is (by '*/one/*' of images in flytelite.yaml)\n"
    )
    assert f"its tasks run in {two}/bin/python" in log("registry.example/two/train:2")
    assert "has not been made yet" in log("registry.example/later:1", code=1)
    assert "'registry.example/elsewhere:1'" in log("registry.example/elsewhere:1", code=1)
    assert "log NAME" in log("", code=2)

    printed = there.run("mapped.py", "with_runtime_package")
    assert f"o0: str = '1.1.1 {sys.prefix}'" in printed
