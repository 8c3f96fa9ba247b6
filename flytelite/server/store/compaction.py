"""Copying what is current out of segments that are mostly history, so that their files can go."""

from __future__ import annotations

import asyncio
from array import array
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from itertools import islice
from pathlib import Path
from typing import NamedTuple

from flytelite.errors import FlyteError
from flytelite.server.store import entries, segments
from flytelite.server.store.disk import Disk
from flytelite.server.store.entries import Header, StoredChange
from flytelite.server.store.rows import Row, Rows
from flytelite.server.store.segments import Segment

COPIED_AT_ONCE = 100
"""Documents per line of the new segment, and per visit to the copying thread, which shares the interpreter."""
COPIED_BYTES = 1024 * 1024
VISITED_AT_ONCE = 2000
"""Rows that the event loop looks at before it turns to others."""


def is_due(sealed: Sequence[Segment], slack: int) -> bool:
    """Whether more than half of these files, and more than ``slack`` bytes, is history.

    The rule bounds the disk (twice the current documents, and slack) and the work (a byte is copied for a byte freed).
    """
    current = sum(segment.current_bytes for segment in sealed)
    return sum(segment.size for segment in sealed) - current > current + slack


class Pick(NamedTuple):
    """A row to copy, and where its document was when it was picked."""

    row: Row
    segment: Segment
    place: int


class Copies:
    """The copied rows of one table. There may be millions, so their places are plain numbers beside them."""

    def __init__(self, table: Rows) -> None:
        self.table = table
        self.rows: list[Row] = []
        self.old, self.new = array("Q"), array("Q")


class Compaction:
    """Makes one segment of all current documents of the ``sealed`` ones, which must be the oldest of their journal.

    Runs on the event loop, a little at a time, and copies in a thread. Until the new file has its final name nothing
    refers to it, so the process may die at any point: the next one finds the old files or, beside them, a complete new
    one whose name says which it replaces.
    """

    def __init__(
        self,
        directory: Path,
        disk: Disk,
        tables: Mapping[str, Rows],
        sealed: Sequence[Segment],
        *,
        last: int,
        durable: Callable[[], Awaitable[None]],
    ) -> None:
        """``last`` is the number of the last entry in ``sealed``; ``durable`` waits for all entries so far.

        Raises OSError when the disk refuses.
        """
        self._durable = durable
        self._directory = directory
        self._disk = disk
        self._tables = tables
        self._sealed = frozenset(sealed)
        self._header = Header(last, last)
        self._lines = 0
        path = directory / segments.name(sealed[0].first, last)
        self._temporary = path.with_suffix(segments.TEMPORARY)
        disk.remove(self._temporary)
        self._segment = Segment(path, sealed[0].first, last, disk.create(self._temporary))
        self.stopped = False

    async def run(self) -> Segment | None:
        """Write the new segment and move the rows to it; None when ``stopped`` before it was complete.

        Raises OSError when the disk refuses, Unavailable when a document cannot be read; nothing has changed then.
        """
        try:
            copied = [await self._copy_table(name, rows) for name, rows in list(self._tables.items())]
            if self.stopped:
                self._drop()
                return None
            # A document that waited for the disk when its turn came was not copied: its old text must stay, in the
            # files that are replaced, until the new one is safe.
            await self._durable()
            await asyncio.to_thread(self._complete)
        except (OSError, FlyteError):
            self._drop()
            raise
        for copies in copied:
            await self._move(copies)
        return self._segment

    async def _copy_table(self, name: str, rows: Rows) -> Copies:
        copies = Copies(rows)
        visit = iter(list(rows.values()))
        while not self.stopped and (visited := list(islice(visit, VISITED_AT_ONCE))):
            picks = [
                Pick(row, row.segment, row.content)
                for row in visited
                if row.segment in self._sealed and isinstance(row.content, int) and rows.get(row.key) is row
            ]
            for some in _groups(picks):
                copies.new.extend(await asyncio.to_thread(self._copy, name, some))
                copies.rows += [pick.row for pick in some]
                copies.old.extend(pick.place for pick in some)
            await asyncio.sleep(0)
        return copies

    def _copy(self, table: str, picks: Sequence[Pick]) -> list[int]:
        """Write the documents as one line; returns their places. Runs in the thread."""
        base = self._segment.size
        stored = self._write(
            self._header, [(table, row.key, row.order, segment.read(place)) for row, segment, place in picks]
        )
        return [segments.place(base + change.offset, change.length) for change in stored]

    def _write(self, header: Header, documents: Sequence[tuple[str, str, int, bytes]]) -> list[StoredChange]:
        line, stored = entries.encode(header, datetime.now(UTC).isoformat(timespec="milliseconds"), documents)
        self._disk.write(self._segment.descriptor, line)
        self._segment.size += len(line)
        self._segment.documents += sum(change.length for change in stored)
        self._lines += 1
        return stored

    def _complete(self) -> None:
        """Give the file its last line and its name. Runs in the thread."""
        self._write(self._header._replace(lines=self._lines), [])
        self._disk.sync(self._segment.descriptor)
        self._disk.rename(self._temporary, self._segment.path)
        self._disk.sync_directory(self._directory)

    async def _move(self, copies: Copies) -> None:
        """Point rows at their copies, except those that were changed or removed meanwhile."""
        moves = zip(copies.rows, copies.old, copies.new, strict=True)
        while some := list(islice(moves, VISITED_AT_ONCE)):
            for row, old, new in some:
                if row.content == old and row.segment in self._sealed and copies.table.get(row.key) is row:
                    row.put(new, self._segment)
            await asyncio.sleep(0)

    def _drop(self) -> None:
        self._segment.close()
        self._disk.remove(self._temporary)


def _groups(picks: Sequence[Pick]) -> Iterator[list[Pick]]:
    group: list[Pick] = []
    size = 0
    for pick in picks:
        group.append(pick)
        size += segments.length(pick.place)
        if len(group) == COPIED_AT_ONCE or size > COPIED_BYTES:
            yield group
            group, size = [], 0
    if group:
        yield group
