"""ImageSpecs: what is made of each field, and for whom."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest
from flytekit import ImageSpec
from flytekit.constants import CopyFileDetection
from flytekit.image_spec.image_spec import ImageBuildEngine

from flytelite.engine.environments import image_specs
from flytelite.engine.environments.image_specs import LocalServer, build
from flytelite.engine.environments.library import Image, Library
from flytelite.flytekit_plugin import NAME, EnvironmentBuilder


@pytest.fixture
def server(tmp_path: Path) -> LocalServer:
    return LocalServer(tmp_path / "environments", "3.11", "1.2.3")


def built(spec: ImageSpec, server: LocalServer) -> Image:
    """What the image stands for, after a build that finds its environment there."""
    library = Library(server.directory)
    recipe, _ = image_specs._recipe(spec, server, library)
    library.python(recipe).parent.mkdir(parents=True, exist_ok=True)
    library.finish(recipe)
    build(spec, server)
    found = library.image(spec.image_name())
    assert found is not None
    return found


def test_packages_come_with_their_index_and_flytekit(server: LocalServer, tmp_path: Path) -> None:
    (tmp_path / "requirements.txt").write_text("six==1.16.0\n# nothing\n")
    spec = ImageSpec(
        name="train",
        packages=["pandas"],
        requirements=str(tmp_path / "requirements.txt"),
        python_version="3.12",
        env={"COLOUR": "blue"},
        pip_index="https://index.example/simple",
        pip_extra_index_url=["https://more.example/simple"],
        pip_extra_args="--pre --no-deps",
    )
    image = built(spec, server)
    assert image.recipe.python == "3.12"
    assert image.recipe.requirements == ("six==1.16.0", "pandas", "flytekit==1.2.3")
    assert image.recipe.options[:2] == ("--index-url", "https://index.example/simple")
    assert image.recipe.options[2:] == ("--extra-index-url", "https://more.example/simple", "--pre", "--no-deps")
    assert image.variables == {"COLOUR": "blue"}
    assert image.id == spec.id
    assert image.notes == ()


def test_an_image_spec_as_base_lends_its_packages(server: LocalServer) -> None:
    base = built(ImageSpec(name="base", packages=["six==1.15.0"]), server)
    image = built(ImageSpec(name="top", packages=["pandas"], base_image=base.name), server)
    assert image.recipe.requirements == ("six==1.15.0", "pandas", "flytekit==1.2.3")


def test_what_cannot_be_had_is_said(server: LocalServer, capsys: pytest.CaptureFixture[str]) -> None:
    spec = ImageSpec(name="apt", apt_packages=["vim", "git"], commands=["make"], base_image="ghcr.io/acme/base:1")
    notes = "\n".join(built(spec, server).notes)
    said = capsys.readouterr().err
    for part in ("apt_packages (vim, git)", "commands (make)", "base_image (ghcr.io/acme/base:1) is not used"):
        assert part in notes
        assert part in said


def test_requirements_of_other_tools_are_refused(server: LocalServer, tmp_path: Path) -> None:
    (tmp_path / "uv.lock").touch()
    with pytest.raises(ValueError, match=r"uv\.lock.* is no requirements\.txt"):
        build(ImageSpec(name="lock", requirements=str(tmp_path / "uv.lock")), server)


def test_files_of_the_image_are_kept_for_its_tasks(
    server: LocalServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = tmp_path / "code"
    (root / "data").mkdir(parents=True)
    (root / "flow.py").write_text("x = 1")
    (root / "data" / "table.csv").write_text("1")
    monkeypatch.chdir(root)
    image = built(ImageSpec(name="copy", copy=["data"]), server)
    assert (Path(image.files) / "data" / "table.csv").read_text() == "1"
    whole = ImageSpec(name="whole", source_root=str(root), source_copy_mode=CopyFileDetection.ALL)
    image = built(whole, server)
    assert (Path(image.files) / "flow.py").read_text() == "x = 1"
    assert built(ImageSpec(name="none"), server).files == ""


def test_flytekit_prefers_our_builder_without_being_asked() -> None:
    assert isinstance(ImageBuildEngine.get_registry()[NAME][0], EnvironmentBuilder)
    assert ImageSpec(name="x").builder == NAME


class _Flyte(BaseHTTPRequestHandler):
    """Some other server, at an address of this machine."""

    def do_GET(self) -> None:
        self.send_response(404)
        self.end_headers()

    def log_message(self, format: str, *arguments: object) -> None:
        """Say nothing."""


@pytest.fixture
def other_flyte() -> Iterator[str]:
    with HTTPServer(("127.0.0.1", 0), _Flyte) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"127.0.0.1:{server.server_port}"
        server.shutdown()


def test_what_is_not_for_flytelite_is_left_alone(other_flyte: str) -> None:
    assert image_specs._ask(other_flyte) is None
    assert image_specs._ask("flyte.example:443") is None
    assert image_specs._ask("") is None
