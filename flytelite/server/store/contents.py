"""What a compacted segment holds and where, so that opening a store need not read its documents.

A file of JSON lines beside the segment, made from it and of no worth without it: where it is missing or does not fit,
the segment itself is read.
"""

from __future__ import annotations

import io
import os
from binascii import crc32
from collections.abc import Hashable, Iterable, Iterator, Sequence
from itertools import repeat
from pathlib import Path
from typing import Any, TypeVar

import orjson

from flytelite.server.store.disk import Disk, SyncedOften
from flytelite.server.store.segments import Segment

FORMAT = 2
SUFFIX = ".contents"
END_BYTES = 20

T = TypeVar("T", bound=Hashable)


class ContentsWriter:
    """Writes the file under a temporary name, a line at a time."""

    def __init__(self, segment: Path, disk: Disk) -> None:
        self._path = path_of(segment)
        self._temporary = self._path.with_name(f"{self._path.name}.tmp")
        self._disk = disk
        self._crc = self._size = 0
        disk.remove(self._temporary)
        self._descriptor: int | None = disk.create(self._temporary)
        self._synced = SyncedOften(disk, self._descriptor)

    def write(self, line: dict[str, Any]) -> None:
        """Add a line."""
        assert self._descriptor is not None
        encoded = orjson.dumps(line) + b"\n"
        self._crc = crc32(encoded, self._crc)
        self._disk.write(self._descriptor, encoded, self._size)
        self._size += len(encoded)
        self._synced.wrote(len(encoded))

    def complete(self, segment_bytes: int, segment_end: str) -> None:
        """Write the last line, which says what the file belongs to (``end_of`` the segment), and give it its name."""
        fits = {"format": FORMAT, "segment_bytes": segment_bytes, "segment_end": segment_end}
        self.write({**fits, "crc32": f"{self._crc:08x}"})
        if self._descriptor is not None:
            self._disk.sync(self._descriptor)
        self._close()
        self._disk.rename(self._temporary, self._path)

    def drop(self) -> None:
        """Give up."""
        self._close()
        self._disk.remove(self._temporary)

    def _close(self) -> None:
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None


def pack(column: Sequence[T]) -> tuple[list[T], list[int] | None]:
    """Each value once, and for each row which one is its: most columns repeat a few values, most partitions are alike.

    No numbers where all rows have the same value, or each its own.
    """
    values = {value: number for number, value in enumerate(dict.fromkeys(column))}
    plain = len(values) in (1, len(column))
    return list(values), None if plain else [values[value] for value in column]


def unpack(packed: tuple[list[T], list[int] | None], rows: int) -> Iterable[T]:
    """The values of so many rows."""
    values, numbers = packed
    if numbers is not None:
        return map(values.__getitem__, numbers)
    return values if len(values) == rows else repeat(values[0], rows)


def path_of(segment: Path) -> Path:
    """Where the contents of a segment are."""
    return segment.with_suffix(SUFFIX)


def end_of(text: bytes) -> str:
    """What tells the end of a segment, or its last line, from any other: its checksum."""
    return text[-END_BYTES:].decode(errors="replace")


def read(segment: Segment) -> Iterator[dict[str, Any]] | None:
    """The lines but the last; None when the file is missing, damaged, or belongs to another file of that name."""
    try:
        end = os.pread(segment.descriptor, END_BYTES, max(0, segment.size - END_BYTES))
        text = path_of(segment.path).read_bytes()
        body_end = text.rindex(b"\n", 0, len(text) - 1) + 1
        last = orjson.loads(text[body_end:])
        fits = {"segment_bytes": segment.size, "segment_end": end_of(end)}
        body = memoryview(text)[:body_end]
        is_old = last["format"] == 1
        if not is_old and last["format"] != FORMAT:
            return None
        if any(last[name] != value for name, value in fits.items()) or int(last["crc32"], 16) != crc32(body):
            return None
    except (OSError, ValueError, KeyError, TypeError):
        return None
    return map(_of_format_1, _lines(body)) if is_old else _lines(body)


def _lines(body: memoryview) -> Iterator[dict[str, Any]]:
    """One at a time: what they hold is large."""
    for line in io.BytesIO(body):
        yield orjson.loads(line)


def _of_format_1(line: dict[str, Any]) -> dict[str, Any]:
    """A line as it is now: then only the columns of rows were packed."""
    if "partitions" in line:
        return {**line, "counts": pack([tuple(map(tuple, counts)) for counts in line["counts"]])}
    return line
