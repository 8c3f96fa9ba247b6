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
from flytelite.server.archive_images import RECORD_BYTES

OTHER = "localhost:30000/flytekit:DSSIcF0HELrr_pOPk_1E3A"
NAME = "localhost:30000/flytekit:SDSIcF0HELrr_pOPk_1E3A"
RECIPE = Recipe("3.11", ("pandas==2.2.0", "flytekit==1.16.31"), ("--prerelease", "allow"))


def library(home: Any) -> Library:
    return Library(home.settings.environments)


def image(home: Any, name: str = NAME, recipe: Recipe = RECIPE, content: str = "") -> Image:
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
    """A home with one execution, whose task has the image NAME."""
    made = make_home("a")
    made.register(image=NAME)
    made.start("one")
    made.end("one")
    return made


@pytest.fixture
def archive(tmp_path: Path) -> Path:
    return tmp_path / "x.tar.gz"


def test_the_image_of_a_task_goes_with_its_files(a: Any, make_home: Any, archive: Path) -> None:
    b = make_home("b")
    sent = image(a, content="hello")
    image(a, OTHER)
    a.export(archive, "one")
    b.take_in(archive)
    (found,) = library(b).images()
    assert (found.name, found.recipe, found.id) == (sent.name, sent.recipe, sent.id)
    assert (found.variables, found.notes) == (sent.variables, sent.notes)
    assert Path(found.files) == library(b).files(NAME)
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
    b.register(arg="something else", image=NAME)
    with pytest.raises(Exception, match="different structure"):
        b.take_in(archive)
    assert library(b).images() == []
    assert not library(b).files(NAME).exists()


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
    "another name": lambda name, content: (
        name,
        json.dumps({**json.loads(content), "name": OTHER}).encode(),
    ),
    "too long": lambda name, content: (name, content + b" " * RECORD_BYTES),
    "too deep": lambda name, content: (name, b"[" * 100_000),
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
    repacked(archive, f"images/{library(a).record(NAME).name}", DAMAGES[damage])
    before = b.store.position
    with pytest.raises(InvalidArgument, match=r"images/.*\.json"):
        b.take_in(archive)
    assert b.store.position == before
    assert library(b).images() == []


@pytest.mark.parametrize(
    "name",
    ["cr.flyte.org/flyteorg/flytekit:py3.11-1.16.31", "python", "app:latest", "app:" + "f" * 40, NAME + "/x"],
)
def test_images_that_may_be_others_neither_go_nor_come(make_home: Any, archive: Path, name: str) -> None:
    a, b = make_home("a"), make_home("b")
    a.register(image=name)
    a.start("one")
    a.end("one")
    image(a, name)
    a.export(archive, "one")
    b.take_in(archive)
    assert library(b).images() == []

    image(a)
    a.register(name="v", image=NAME)
    a.start("two", workflow="v")
    a.end("two")
    a.export(archive, "two")
    forged = json.dumps({**library(a).image(NAME).as_json(), "name": name}).encode()
    repacked(
        archive,
        f"images/{library(a).record(NAME).name}",
        lambda old, _: (f"images/{library(a).record(name).name}", forged),
    )
    with pytest.raises(InvalidArgument, match="which no ImageSpec names"):
        b.take_in(archive)
    assert library(b).images() == []


@pytest.mark.parametrize("name", ["flytekit:SDSIcF0HELrr_pOPk_1E3A-dev", "a/b:dev-SDSIcF0HELrr_pOPk_1E3A"])
def test_other_words_in_a_tag(make_home: Any, archive: Path, name: str) -> None:
    a, b = make_home("a"), make_home("b")
    a.register(image=name)
    a.start("one")
    a.end("one")
    image(a, name)
    a.export(archive, "one")
    b.take_in(archive)
    assert [one.name for one in library(b).images()] == [name]
