"""What attempts leave behind is out of the way at once and removed soon."""

from __future__ import annotations

import threading

import pytest

from flytelite.engine import trash as trash_module
from flytelite.engine.trash import Trash


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
    assert not (tmp_path / "trash").exists()


def test_what_cannot_be_moved_is_removed_where_it_is(tmp_path, full):
    (tmp_path / "trash").write_text("in the way")
    trash = Trash(tmp_path / "trash")
    trash.discard(full)
    trash.close()
    assert not full.exists()


def test_whoever_brings_more_than_may_wait_removes_it(tmp_path, monkeypatch):
    monkeypatch.setattr(trash_module, "MOST_WAITING", 2)
    trash = Trash(tmp_path / "trash")
    goes_on = threading.Event()
    trash._thread.submit(goes_on.wait, 60)
    for number in range(5):
        (tmp_path / f"{number}/deep").mkdir(parents=True)
        trash.discard(tmp_path / str(number))
    assert not any((tmp_path / str(number)).exists() for number in range(5))
    assert len(list((tmp_path / "trash").iterdir())) == 2
    goes_on.set()
    trash.close()
    assert list((tmp_path / "trash").iterdir()) == []


def test_there_is_room_again_once_the_thread_has_caught_up(tmp_path, monkeypatch):
    monkeypatch.setattr(trash_module, "MOST_WAITING", 1)
    trash = Trash(tmp_path / "trash")
    for number in range(3):
        (tmp_path / str(number)).mkdir()
        trash.discard(tmp_path / str(number))
        trash._thread.submit(lambda: None).result(60)
    goes_on = threading.Event()
    trash._thread.submit(goes_on.wait, 60)
    (tmp_path / "last").mkdir()
    trash.discard(tmp_path / "last")
    assert len(list((tmp_path / "trash").iterdir())) == 1
    goes_on.set()
    trash.close()
