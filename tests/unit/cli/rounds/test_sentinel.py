"""Hearing of changes in directories."""

from __future__ import annotations

import threading
from pathlib import Path

from flytelite.cli.rounds.sentinel import Sentinel

SECONDS = 20.0


def test_changes_are_heard_of_in_the_directories_that_are_looked_at(tmp_path: Path) -> None:
    first, second = tmp_path / "first", tmp_path / "second"
    first.mkdir()
    second.mkdir()
    heard = threading.Event()
    sentinel = Sentinel(heard.set)
    try:
        assert sentinel.look_at(frozenset({first}))
        assert not sentinel.look_at(frozenset({first}))
        (first / "new").touch()
        assert heard.wait(SECONDS)
        heard.clear()
        assert sentinel.look_at(frozenset({second}))
        (second / "new").touch()
        assert heard.wait(SECONDS)
    finally:
        sentinel.stop()


def test_a_file_that_takes_the_place_of_another_is_a_change(tmp_path: Path) -> None:
    (tmp_path / "flow.py").touch()
    heard = threading.Event()
    sentinel = Sentinel(heard.set)
    aside = tmp_path.parent / f"{tmp_path.name}-aside"
    aside.write_text("new")
    try:
        sentinel.look_at(frozenset({tmp_path}))
        aside.rename(tmp_path / "flow.py")
        assert heard.wait(SECONDS)
    finally:
        sentinel.stop()
