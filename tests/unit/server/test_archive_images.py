"""Images of ImageSpecs that go with the executions that ran in them."""

from __future__ import annotations

import io
import json
import tarfile
from pathlib import Path
from typing import Any

import pytest

from flytelite.engine.environments.library import Image, Library
from flytelite.engine.environments.recipe import Recipe
from flytelite.errors import InvalidArgument

RECIPE = Recipe("3.11", ("pandas==2.2.0", "flytekit==1.16.31"), ("--prerelease", "allow"))


def library(home: Any) -> Library:
    return Library(home.settings.environments)


def image(home: Any, name: str = "image", recipe: Recipe = RECIPE, content: str = "") -> Image:
    """An image as an ImageSpec leaves it, with a file if it has content."""
    files = library(home).files(name)
    if content:
        (files / "below").mkdir(parents=True)
        (files / "below" / "data.txt").write_text(content)
    made = Image(name, recipe, "the id", {"A": "b"}, ("a note",), str(files) if content else "")
    library(home).save_image(made)
    return made


@pytest.fixture
def a(make_home: Any) -> Any:
    """A home with one execution, whose task has the image ``image``."""
    made = make_home("a")
    made.register()
    made.start("one")
    made.end("one")
    return made


@pytest.fixture
def archive(tmp_path: Path) -> Path:
    return tmp_path / "x.tar.gz"


def test_the_image_of_a_task_goes_with_its_files(a: Any, make_home: Any, archive: Path) -> None:
    b = make_home("b")
    sent = image(a, content="hello")
    image(a, "another image")
    a.export(archive, "one")
    b.take_in(archive)
    (found,) = library(b).images()
    assert (found.name, found.recipe, found.id) == (sent.name, sent.recipe, sent.id)
    assert (found.variables, found.notes) == (sent.variables, sent.notes)
    assert Path(found.files) == library(b).files("image")
    assert (Path(found.files) / "below" / "data.txt").read_text() == "hello"
    assert not (b.settings.data_dir / "images").exists()


def test_what_is_known_of_an_image_stays(a: Any, make_home: Any, archive: Path) -> None:
    b = make_home("b")
    image(a, content="theirs")
    mine = image(b, recipe=Recipe("3.12", ()), content="mine")
    a.export(archive, "one")
    b.take_in(archive)
    assert library(b).images() == [mine]
    assert (Path(mine.files) / "below" / "data.txt").read_text() == "mine"


def test_nothing_is_remembered_of_an_archive_that_is_refused(a: Any, make_home: Any, archive: Path) -> None:
    b = make_home("b")
    image(a, content="hello")
    a.export(archive, "one")
    b.register(arg="something else")
    with pytest.raises(Exception, match="different structure"):
        b.take_in(archive)
    assert library(b).images() == []
    assert not library(b).files("image").exists()


def repacked(archive: Path, name: str, change: Any) -> None:
    """Change one file of an archive, and what its manifest says of sizes."""
    with tarfile.open(archive) as tar:
        contents = {info.name: tar.extractfile(info).read() for info in tar}  # type: ignore[union-attr]
    new_name, content = change(name, contents[name])
    manifest = json.loads(contents["snapshot.json"])
    manifest["bytes"] += len(content) - len(contents[name])
    contents["snapshot.json"] = json.dumps(manifest).encode()
    contents = {new_name if key == name else key: content if key == name else old for key, old in contents.items()}
    with tarfile.open(archive, "w:gz", format=tarfile.GNU_FORMAT) as tar:
        for key, value in contents.items():
            info = tarfile.TarInfo(key)
            info.size = len(value)
            tar.addfile(info, io.BytesIO(value))


DAMAGES = {
    "no JSON": lambda name, content: (name, b"{"),
    "no image": lambda name, content: (name, b"[1]"),
    "a field too many": lambda name, content: (name, json.dumps({**json.loads(content), "more": 1}).encode()),
    "a number for a name": lambda name, content: (name, json.dumps({**json.loads(content), "id": 1}).encode()),
    "another name": lambda name, content: (name, json.dumps({**json.loads(content), "name": "other"}).encode()),
    "another place": lambda name, content: ("images/x.json", content),
    "variables that are none": lambda name, content: (
        name,
        json.dumps({**json.loads(content), "variables": [1]}).encode(),
    ),
}


@pytest.mark.parametrize("damage", list(DAMAGES))
def test_images_that_are_none_are_refused(a: Any, make_home: Any, archive: Path, damage: str) -> None:
    b = make_home("b")
    image(a)
    a.export(archive, "one")
    repacked(archive, f"images/{library(a).record('image').name}", DAMAGES[damage])
    before = b.store.position
    with pytest.raises(InvalidArgument, match=r"images/.*\.json"):
        b.take_in(archive)
    assert b.store.position == before
    assert library(b).images() == []
