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
    assert list((tmp_path / "trash").iterdir()) == []


def test_what_cannot_be_moved_is_removed_where_it_is(tmp_path, full):
    (tmp_path / "trash").write_text("in the way")
    trash = Trash(tmp_path / "trash")
    trash.discard(full)
    trash.close()
    assert not full.exists()


def test_whoever_brings_more_than_may_wait_removes_it(tmp_path, monkeypatch):
    monkeypatch.setattr(trash_module, "MOST_WAITING", 2)
    removed, goes_on = threading.Event(), threading.Event()
    remove = trash_module._remove

    def remove_when_told(targets):
        removed.set()
        assert goes_on.wait(60)
        remove(targets)

    monkeypatch.setattr(trash_module, "_remove", remove_when_told)
    trash = Trash(tmp_path / "trash")
    for number in range(6):
        (tmp_path / f"{number}/deep").mkdir(parents=True)
        trash.discard(tmp_path / str(number))
        if number == 0:
            assert removed.wait(60)  # the thread is busy with the first
    assert not any((tmp_path / str(number)).exists() for number in range(6))
    assert len(list((tmp_path / "trash").iterdir())) == 3
    goes_on.set()
    trash.close()
    assert list((tmp_path / "trash").iterdir()) == []


def test_those_of_a_moment_are_removed_by_one_process(tmp_path, monkeypatch):
    removed = []
    monkeypatch.setattr(trash_module, "_remove", lambda targets: removed.append(len(targets)))
    monkeypatch.setattr(trash_module, "LINGER_SECONDS", 60)
    trash = Trash(tmp_path / "trash")
    for number in range(5):
        (tmp_path / str(number)).mkdir()
        trash.discard(tmp_path / str(number))
    trash.close()
    assert removed == [5]


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
