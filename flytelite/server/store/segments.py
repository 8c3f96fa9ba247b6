"""A file of the journal, and where in it a document is."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path
from typing import Any

import orjson

from flytelite.errors import Unavailable

SUFFIX = ".jsonl"
TEMPORARY = ".tmp"
_NAME = re.compile(r"journal-(\d{12})(?:-(\d{12}))?\.jsonl")
_LENGTH_BITS = 32
_LOOKED_AT_ONCE = 64 * 1024


@dataclass(eq=False)
class Segment:
    """A file with the entries ``first``, ``first + 1``, ….

    ``last`` is given for a compacted one: it stands for all entries from first to last. ``documents`` counts the bytes
    of documents in it and ``live`` those of documents that are current; ``removed`` names what its entries removed.
    ``number`` tells it apart in this process.
    """

    path: Path
    first: int
    last: int | None
    descriptor: int
    size: int = 0
    documents: int = 0
    live: int = 0
    removed: list[tuple[str, str]] = field(default_factory=list)
    number: int = field(default_factory=count().__next__)

    @property
    def current_bytes(self) -> int:
        """About how much of the file is current documents and what belongs to them."""
        return self.size * self.live // self.documents if self.documents else 0

    def read(self, place: int) -> bytes:
        """The bytes at that place. Raises Unavailable naming the file and the offset when they cannot be read."""
        start, size = offset(place), length(place)
        try:
            text = os.pread(self.descriptor, size, start)
        except OSError as error:
            raise Unavailable(f"{self.path} cannot be read at byte {start}: {error.strerror}") from error
        if len(text) != size:
            raise Unavailable(f"{self.path} ends before byte {start + size}, where a document should be")
        return text

    def document(self, place: int) -> dict[str, Any]:
        """The document at that place. Raises Unavailable when it cannot be read or is no JSON any more."""
        try:
            document: dict[str, Any] = orjson.loads(self.read(place))
        except orjson.JSONDecodeError as error:
            raise Unavailable(f"{self.path} is damaged at byte {offset(place)}: {error}") from error
        return document

    def close(self) -> None:
        os.close(self.descriptor)


def size_of(file: Path) -> int:
    """The size of a segment without the blanks after its last line, where the next lines would have been written."""
    with file.open("rb") as opened:
        size = opened.seek(0, os.SEEK_END)
        while size:
            start = max(0, size - _LOOKED_AT_ONCE)
            opened.seek(start)
            rest = opened.read(size - start).rstrip(b" ")
            if rest:
                return start + len(rest)
            size = start
    return 0


def place(offset: int, length: int) -> int:
    """An offset and a length as one number, which is what millions of rows keep."""
    return offset << _LENGTH_BITS | length


def offset(place: int) -> int:
    """The offset in a place."""
    return place >> _LENGTH_BITS


def length(place: int) -> int:
    """The length in a place."""
    return place & ((1 << _LENGTH_BITS) - 1)


def name(first: int, last: int | None = None) -> str:
    """The file name of a segment."""
    return f"journal-{first:012d}{'' if last is None else f'-{last:012d}'}{SUFFIX}"


def parse_name(name: str) -> tuple[int, int | None] | None:
    """The entries that a file name promises: first, and last if compacted. None for another file."""
    match = _NAME.fullmatch(name)
    if match is None:
        return None
    return int(match[1]), None if match[2] is None else int(match[2])
