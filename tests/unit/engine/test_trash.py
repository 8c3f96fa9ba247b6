"""What attempts leave behind is out of the way at once and removed soon."""

from __future__ import annotations

import pytest

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
