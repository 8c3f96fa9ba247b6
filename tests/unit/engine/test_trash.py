"""What attempts leave behind is out of the way at once and removed soon."""

from __future__ import annotations

import os
import shutil
import stat
import threading
from pathlib import Path

import pytest

from flytelite.engine.trash import Trash


class Remover:
    """The system's ``rm``, which says how much it has been given, and waits to be told."""

    def __init__(self, place: Path) -> None:
        self.begun, self.told = place / "begun", place / "told"
        os.mkfifo(self.begun)
        os.mkfifo(self.told)
        script = place / "rm"
        lines = [f"echo $(($# - 2)) > {self.begun}", f"read _ < {self.told}", f'exec {shutil.which("rm")} "$@"']
        script.write_text("\n".join(["#!/bin/sh", *lines, ""]))
        script.chmod(script.stat().st_mode | stat.S_IXUSR)

    def begins(self) -> int:
        """Wait until it has been started; how many directories it is to remove."""
        return int(self.begun.read_text())

    def go_on(self) -> None:
        """Have it remove them."""
        self.told.write_text("go on\n")


@pytest.fixture
def remover(tmp_path, monkeypatch):
    place = tmp_path / "programs"
    place.mkdir()
    remover = Remover(place)
    monkeypatch.setenv("PATH", str(place), prepend=os.pathsep)
    return remover


def discard(trash: Trash, directory: Path) -> None:
    (directory / "deep").mkdir(parents=True)
    trash.discard(directory)
    assert not directory.exists()


@pytest.fixture
def full(tmp_path):
    directory = tmp_path / "attempt/work"
    (directory / "deep").mkdir(parents=True)
    (directory / "deep/file").write_text("x")
    return directory


def test_a_directory_is_gone_at_once_and_removed_in_the_end(tmp_path, full):
    trash = Trash(tmp_path / "trash")
    trash.discard(full)
    assert not full.exists()
    trash.discard(full)  # there is nothing any more
    trash.close()
    assert list((tmp_path / "trash").iterdir()) == []


def test_what_an_engine_left_is_removed_by_the_next(tmp_path, full):
    (tmp_path / "trash").mkdir()
    full.rename(tmp_path / "trash/left")
    trash = Trash(tmp_path / "trash")
    trash.sweep()
    trash.close()
    assert list((tmp_path / "trash").iterdir()) == []


def test_what_cannot_be_moved_is_removed_where_it_is(tmp_path, full):
    (tmp_path / "trash").write_text("in the way")
    trash = Trash(tmp_path / "trash")
    trash.discard(full)
    trash.close()
    assert not full.exists()


def test_whoever_brings_more_than_may_wait_removes_it(tmp_path, remover):
    trash = Trash(tmp_path / "trash", most_waiting=2, linger=0)
    discard(trash, tmp_path / "first")
    assert remover.begins() == 1
    for number in range(5):
        discard(trash, tmp_path / str(number))
    assert len(list((tmp_path / "trash").iterdir())) == 3
    remover.go_on()
    assert remover.begins() == 2
    discard(trash, tmp_path / "later")  # there is room again
    assert len(list((tmp_path / "trash").iterdir())) == 3
    remover.go_on()
    assert remover.begins() == 1
    remover.go_on()
    trash.close()
    assert list((tmp_path / "trash").iterdir()) == []


def test_those_of_a_moment_are_removed_by_one_process(tmp_path, remover):
    trash = Trash(tmp_path / "trash", linger=60)
    for number in range(5):
        discard(trash, tmp_path / str(number))
    closing = threading.Thread(target=trash.close)
    closing.start()
    assert remover.begins() == 5
    remover.go_on()
    closing.join()
    assert list((tmp_path / "trash").iterdir()) == []


def test_it_does_without_the_system_s_program(tmp_path, full, monkeypatch):
    monkeypatch.setenv("PATH", "")
    trash = Trash(tmp_path / "trash")
    trash.discard(full)
    trash.close()
    assert list((tmp_path / "trash").iterdir()) == []


def test_a_trash_that_is_being_removed_takes_more(tmp_path, full):
    (tmp_path / "trash/left/deep").mkdir(parents=True)
    trash = Trash(tmp_path / "trash")
    trash.sweep()
    trash.discard(full)
    trash.close()
    assert not full.exists()
    assert list((tmp_path / "trash").iterdir()) == []
