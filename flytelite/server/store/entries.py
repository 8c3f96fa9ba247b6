"""One line of the journal: an atomic batch of changes, its number, and a checksum at its end (docs/store.md)."""

from __future__ import annotations

from binascii import crc32
from collections.abc import Iterator, Sequence
from typing import NamedTuple

import orjson

REMOVED = b"null"
"""The document of a change that removes."""

_CHANGES = b',"changes":['
_DOCUMENT = b',"document":'
_CHECKSUM = b',"crc32":"'
_TAIL = len(_CHECKSUM) + len(b'01234567"}\n')


class StoredChange(NamedTuple):
    """One change as it stands in a line; ``offset`` and ``length`` are those of the document's JSON text in it."""

    table: str
    key: str
    order: int
    offset: int
    length: int


class Header(NamedTuple):
    """``number`` counts entries from 1. Entries up to ``synced`` were on disk before this one was written.

    The last line of a compacted segment says how many ``lines`` come before it.
    """

    number: int
    synced: int
    lines: int | None = None


def encode(
    header: Header, time: str, changes: Sequence[tuple[str, str, int, bytes]]
) -> tuple[bytes, list[StoredChange]]:
    """The line (with its newline) for changes (table, key, order, document), and where the documents are in it."""
    lines = b"" if header.lines is None else b',"lines":%d' % header.lines
    parts = [
        b'{"entry":%d,"synced":%d,"time":"%b"%b%b' % (header.number, header.synced, time.encode(), lines, _CHANGES)
    ]
    size = len(parts[0])
    stored: list[StoredChange] = []
    for table, key, order, document in changes:
        lead = b'%b{"table":%b,"key":%b,"order":%d,"length":%d%b' % (
            b"," if stored else b"",
            orjson.dumps(table),
            orjson.dumps(key),
            order,
            len(document),
            _DOCUMENT,
        )
        stored.append(StoredChange(table, key, order, size + len(lead), len(document)))
        parts += lead, document, b"}"
        size += len(lead) + len(document) + 1
    parts.append(b"]")
    body = b"".join(parts)
    return b'%b%b%08x"}\n' % (body, _CHECKSUM, crc32(body)), stored


def is_whole(line: bytes) -> bool:
    """Whether the line, with its newline, is as it was written."""
    return line[-_TAIL:] == b'%b%08x"}\n' % (_CHECKSUM, crc32(line[:-_TAIL]))


def header(line: bytes) -> Header:
    """The numbers at the start of a line."""
    fields = orjson.loads(line[: line.index(_CHANGES)] + b"}")
    return Header(fields["entry"], fields["synced"], fields.get("lines"))


def time(line: bytes) -> str:
    """When a line was written."""
    return str(orjson.loads(line[: line.index(_CHANGES)] + b"}")["time"])


def changes(line: bytes) -> Iterator[StoredChange]:
    """The changes of a line. Documents are skipped by their length and not parsed.

    The names searched for cannot occur earlier: inside JSON text every quote is escaped.
    """
    position = line.index(_CHANGES) + len(_CHANGES)
    while line[position : position + 1] == b"{":
        end = line.index(_DOCUMENT, position)
        fields = orjson.loads(line[position:end] + b"}")
        offset = end + len(_DOCUMENT)
        yield StoredChange(fields["table"], fields["key"], fields["order"], offset, fields["length"])
        position = offset + fields["length"] + len(b"},")
