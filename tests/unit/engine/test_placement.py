from __future__ import annotations

import fcntl
import os
import struct
from pathlib import Path

import pytest

from flytelite.engine import placement


def flags(directory: Path) -> int:
    """The marks of a directory. Skips the test where the file system has none."""
    descriptor = os.open(directory, os.O_RDONLY)
    try:
        answer = fcntl.ioctl(descriptor, placement._GET_FLAGS, bytes(placement._FLAGS.size))
    except OSError as error:
        pytest.skip(f"this file system has no such marks: {error}")
    finally:
        os.close(descriptor)
    return int(struct.unpack("l", answer)[0])


@pytest.mark.parametrize(("journal", "matters"), [("<none>\n", True), ("22148\n", False), (None, False)])
def test_it_matters_on_ext4_without_a_journal(tmp_path: Path, journal: str | None, matters: bool) -> None:
    device = tmp_path.stat().st_dev
    (tmp_path / "devices/sda1").mkdir(parents=True)
    (tmp_path / "dev/block").mkdir(parents=True)
    (tmp_path / f"dev/block/{os.major(device)}:{os.minor(device)}").symlink_to("../../devices/sda1")
    if journal is not None:
        (tmp_path / "fs/ext4/sda1").mkdir(parents=True)
        (tmp_path / "fs/ext4/sda1/journal_task").write_text(journal)
    assert placement.matters(device, tmp_path) is matters


def test_it_does_not_matter_where_the_kernel_tells_nothing(tmp_path: Path) -> None:
    assert placement.matters(tmp_path.stat().st_dev, tmp_path / "sys") is False


def test_new_directories_are_marked_where_it_matters_and_others_left_alone(tmp_path: Path) -> None:
    new, old, impossible = tmp_path / "deep/new", tmp_path / "old", tmp_path / "file/below"
    old.mkdir()
    (tmp_path / "file").touch()
    before = flags(old)
    for directory in (old, impossible, new, new):
        placement.spread(directory)
    mark = placement.TOP_OF_HIERARCHY if placement.matters(tmp_path.stat().st_dev) else 0
    assert flags(new) == before | mark
    assert flags(old) == flags(new.parent) == before
    assert not impossible.exists()


def test_a_directory_that_the_file_system_can_mark_is_marked(tmp_path: Path) -> None:
    before = flags(tmp_path)
    try:
        placement._mark(tmp_path)
    except OSError as error:
        pytest.skip(f"this file system has no such mark: {error}")
    assert flags(tmp_path) == before | placement.TOP_OF_HIERARCHY
