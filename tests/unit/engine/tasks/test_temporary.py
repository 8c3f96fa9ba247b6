from __future__ import annotations

import logging
import os
from pathlib import Path

import pytest

from flytelite.engine.tasks.temporary import LONGEST, Temporary


@pytest.fixture
def links(tmp_path: Path) -> Path:
    directory = tmp_path / "links"
    directory.mkdir()
    return directory


def deep(tmp_path: Path) -> Path:
    return tmp_path / ("d" * LONGEST) / "tmp"


def test_a_short_directory_is_known_by_its_own_name(
    tmp_path: Path, links: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    temporary = Temporary(Path("tmp"), links)
    temporary.open()
    temporary.make(Path("attempts/a"))
    assert Path(temporary.of(Path("attempts/a"))).parent == Path("tmp")
    assert [path.name for path in Path("tmp").iterdir()] == [Path(temporary.of(Path("attempts/a"))).name]
    assert not list(links.iterdir())


def test_a_long_one_has_a_link_from_opening_to_closing(tmp_path: Path, links: Path) -> None:
    directory = deep(tmp_path)
    temporary = Temporary(directory, links)
    temporary.open()
    place = Path(temporary.of(tmp_path / "attempt"))
    temporary.make(tmp_path / "attempt")
    assert place.parent.parent == links
    assert place.resolve().parent == directory
    assert place.is_dir()
    again = Temporary(directory, links)
    again.open()
    assert again.of(tmp_path / "attempt") == str(place)
    temporary.close()
    assert not list(links.iterdir())
    assert (directory / place.name).is_dir()


def test_a_link_that_leads_elsewhere_or_cannot_be_made_is_not_used(
    tmp_path: Path, links: Path, caplog: pytest.LogCaptureFixture
) -> None:
    directory = deep(tmp_path)
    first = Temporary(directory, links)
    first.open()
    (link,) = links.iterdir()
    link.unlink()
    link.symlink_to(tmp_path)
    for place in (links, tmp_path / "missing"):
        caplog.clear()
        temporary = Temporary(directory, place)
        with caplog.at_level(logging.WARNING):
            temporary.open()
        assert "tasks cannot have sockets among their temporary files" in caplog.text
        temporary.make(tmp_path / "attempt")
        assert Path(temporary.of(tmp_path / "attempt")).parent == directory
        temporary.close()
    assert link.readlink() == tmp_path


def test_what_an_attempt_left_is_removed_and_a_directory_that_is_gone_made_again(tmp_path: Path, links: Path) -> None:
    temporary = Temporary(deep(tmp_path), links)
    temporary.open()
    place = Path(temporary.of(tmp_path / "attempt"))
    temporary.make(tmp_path / "attempt")
    (place / "left").touch()
    temporary.make(tmp_path / "attempt")
    assert not os.listdir(place)
    place.rmdir()
    deep(tmp_path).rmdir()
    temporary.make(tmp_path / "attempt")
    assert place.is_dir()


def test_attempts_have_different_directories_that_fit_a_socket(tmp_path: Path, links: Path) -> None:
    temporary = Temporary(deep(tmp_path))
    assert temporary.of(tmp_path / "a") != temporary.of(tmp_path / "b")
    temporary.open()
    try:
        assert len(temporary.of(tmp_path / "a") + "/pymp-xxxxxxxx/listener-xxxxxxxx") < 104
    finally:
        temporary.close()


def test_a_link_that_somebody_tidied_away_is_made_again(tmp_path: Path, links: Path) -> None:
    temporary = Temporary(deep(tmp_path), links)
    temporary.open()
    (link,) = links.iterdir()
    link.unlink()
    temporary.make(tmp_path / "attempt")
    assert Path(temporary.of(tmp_path / "attempt")).is_dir()
    assert link.is_symlink()
