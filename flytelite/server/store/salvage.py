"""A new store out of what can be read of a damaged one."""

from __future__ import annotations

import os
from collections.abc import Iterator
from itertools import chain
from pathlib import Path

from flytelite.errors import Unavailable
from flytelite.server.store import entries, segments
from flytelite.server.store.directory import OLDEST, Directory, check_format
from flytelite.server.store.disk import Disk, refusal
from flytelite.server.store.entries import Header
from flytelite.server.store.examination import parts
from flytelite.server.store.journal import SEGMENT_BYTES
from flytelite.server.store.recovery import Line


def salvage(source: Path, target: Path, disk: Disk | None = None) -> int:
    """Write the readable entries of ``source``, numbered anew, to a store in ``target``; returns how many.

    The history in them is kept with its times. ``source`` is only read. Raises FailedPrecondition when a server
    holds ``target``; Unavailable or ResourceExhausted when the disk refuses.
    """
    try:
        found = check_format(source)
    except Unavailable:  # damaged: that is what salvaging is for
        found = None
    directory = Directory(target, disk or Disk(), OLDEST if found is None else found.of_documents)
    directory.take()
    try:
        return _write(directory, _readable(source))
    except OSError as error:
        raise refusal(target, error) from error
    finally:
        directory.release()


def _readable(source: Path) -> Iterator[Line]:
    for part in parts(source):
        for line in part.lines:
            if line.changes:  # a compacted segment's last line has none, and is not wanted
                yield line


def _write(directory: Directory, lines: Iterator[Line]) -> int:
    written = 0
    for first in lines:
        written = _write_segment(directory, written + 1, chain([first], lines))
    directory.disk.sync_directory(directory.path)
    return written


def _write_segment(directory: Directory, first: int, lines: Iterator[Line]) -> int:
    """Write a segment full of lines, from entry ``first`` on; returns the number of its last."""
    number, size, disk = first - 1, 0, directory.disk
    descriptor = disk.create(directory.path / segments.name(first))
    try:
        for line in lines:
            number += 1
            encoded = _renumbered(line, number)
            disk.write(descriptor, encoded, size)
            size += len(encoded)
            if size >= SEGMENT_BYTES:
                break
        disk.sync(descriptor)
    finally:
        os.close(descriptor)
    return number


def _renumbered(line: Line, number: int) -> bytes:
    changes = [
        (change.table, change.key, change.order, line.text[change.offset : change.offset + change.length])
        for change in line.changes
    ]
    encoded, _ = entries.encode(Header(number, number - 1), entries.time(line.text), changes)
    return encoded
