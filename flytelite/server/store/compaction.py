"""Copying what is current out of old segments, so that their files can go and opening need not read them."""

from __future__ import annotations

import asyncio
from array import array
from collections import defaultdict
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Iterator, Sequence
from itertools import chain, groupby, islice
from pathlib import Path
from typing import TypeVar

from flytelite.errors import FlyteError
from flytelite.server.pace import Pace
from flytelite.server.store import segments
from flytelite.server.store.copier import Copier, Group, Pick, Removed
from flytelite.server.store.disk import Disk
from flytelite.server.store.folded import Folded
from flytelite.server.store.partitions import LEFT_AT_ONCE, Partitions, name_of
from flytelite.server.store.rows import Row
from flytelite.server.store.segments import Segment

COPIED_AT_ONCE = 1024 * 1024
OVERHEAD = 10 * 1024
"""Bytes to copy at a time; a document, however small, counts as so many more."""
VISITED_AT_ONCE = 2000
LINES_AT_ONCE = 100
"""Rows, and lines, that the event loop looks at before it turns to others."""

T = TypeVar("T")


def choose(found: Sequence[Segment], segment_bytes: int) -> list[Segment]:
    """The segments to compact now, if any; the last one, which grows, is never among them.

    All others, when more than half of them, and more than a segment, is history: that bounds the disk (twice the
    current documents) and the work (a byte is copied for a byte freed). Else those that were never compacted, when
    they are two segments full: that bounds what opening has to replay.
    """
    sealed = list(found[:-1])
    current = sum(segment.current_bytes for segment in sealed)
    if sum(segment.size for segment in sealed) - current > current + segment_bytes:
        return sealed
    fresh = [segment for segment in sealed if segment.last is None]
    return fresh if sum(segment.size for segment in fresh) >= 2 * segment_bytes else []


class Copied:
    """The copied rows of a table. There may be millions, so what is noted of them is nothing that the garbage collector
    looks at each time: plain numbers, and tuples of text."""

    def __init__(self) -> None:
        self.keys: list[tuple[str, ...]] = []
        self.segments, self.old, self.new = array("Q"), array("Q"), array("Q")

    def add(self, picks: Sequence[Pick], places: Iterable[int]) -> None:
        """Note that these were copied to these places."""
        self.keys.append(tuple(pick.row.key for pick in picks))
        self.segments.extend(pick.segment.number for pick in picks)
        self.old.extend(pick.place for pick in picks)
        self.new.extend(places)

    def moves(self) -> Iterator[tuple[str, int, int, int]]:
        """The key of each, the number of the segment it was in, its place there, and its new place."""
        return zip(chain.from_iterable(self.keys), self.segments, self.old, self.new, strict=True)


class CopiedLines:
    """The copied lines of partitions, as text and numbers too."""

    def __init__(self) -> None:
        self._names: list[tuple[str, ...]] = []
        self._old: list[tuple[int, ...]] = []
        self._new: list[tuple[int, ...]] = []

    def add(self, names: Iterable[str], old: Iterable[int], new: Iterable[int]) -> None:
        """Note that these lines were copied."""
        self._names.append(tuple(names))
        self._old.append(tuple(old))
        self._new.append(tuple(new))

    def moves(self) -> Iterator[tuple[str, int, int]]:
        """The name of each partition, where its line was, and where it is."""
        return zip(*map(chain.from_iterable, (self._names, self._old, self._new)), strict=True)  # type: ignore[arg-type]


class Compaction:
    """Makes one compacted segment of the current documents of some ``sealed`` ones that follow one another.

    Runs on the event loop, a little at a time, and copies in a thread. Until the new file has its final name nothing
    refers to it, so the process may die at any point: the next one finds the old files or, beside them, a complete new
    one whose name says which it replaces.
    """

    def __init__(
        self,
        directory: Path,
        disk: Disk,
        partitions: Partitions,
        sealed: Sequence[Segment],
        *,
        last: int,
        durable: Callable[[], Awaitable[None]],
    ) -> None:
        """``last`` is the number of the last entry in ``sealed``; ``durable`` waits for all entries so far.

        Raises OSError when the disk refuses.
        """
        self._partitions = partitions
        self._sealed = frozenset(sealed)
        # Nothing older than the oldest segment can hold what was removed.
        self._removed = [] if sealed[0].first == 1 else [removed for old in sealed for removed in old.removed]
        self._durable = durable
        self._started = partitions.clock
        self._copied: dict[str, Copied] = defaultdict(Copied)
        self._lines = CopiedLines()
        self._folded: list[tuple[str, Folded]] = []
        self._copier = Copier(directory, disk, sealed[0].first, last)
        self._stopped: Callable[[], bool] = lambda: False
        self._pace = Pace()

    async def run(self, order: int, stopped: Callable[[], bool]) -> Segment | None:
        """Write the new segment and move everything to it; None when ``stopped`` says so before it is complete.

        ``order`` is the highest place in insertion order. Raises OSError when the disk refuses, Unavailable when a
        document cannot be read; nothing has changed then.
        """
        self._stopped = stopped
        self._pace = Pace(hurried=stopped)
        try:
            await asyncio.to_thread(self._copier.begin, dict(self._partitions.parts), order)
            for step in (self._copy_tables, self._copy_removed, self._copy_lines, self._copy_groups):
                await step()
                if self._stopped():
                    self._copier.drop()
                    return None
            # A document that waited for the disk when its turn came was not copied: its old text must stay, in the
            # files that are replaced, until the new one is safe.
            await self._durable()
            await asyncio.to_thread(self._copier.complete)
        except (OSError, FlyteError):
            self._copier.drop()
            raise
        await self._move()
        return self._copier.segment

    async def _copy_tables(self) -> None:
        """Copy the documents of tables without partitions."""
        for table in [table for table in self._partitions.rows if not self._partitions.parts.get(table)]:
            columns = self._partitions.columns(table)
            async for rows in self._visit(table):
                picks = self._pick(table, (row for row in rows if row.segment in self._sealed))
                for some in _together(picks, _size):
                    places = await asyncio.to_thread(self._copier.copy_rows, table, columns, some)
                    self._copied[table].add(some, places)
                    await self._pace.pause()

    async def _copy_removed(self) -> None:
        """Write that documents of tables without partitions are no more."""
        parts, rows = self._partitions.parts, self._partitions.rows
        gone = {(table, key) for table, key in self._removed if not parts.get(table) and key not in rows[table]}
        if gone:
            await asyncio.to_thread(self._copier.copy_removed, sorted(gone))

    async def _copy_lines(self) -> None:
        """Copy partitions that are lines of the old segments and were not changed since."""
        names = iter((*self._partitions.folded, *self._partitions.unchanged))
        while some_names := list(islice(names, LINES_AT_ONCE)):
            lines = [(name, line) for name in some_names if (line := self._old_line(name)) is not None]
            for some in _together(lines, lambda line: segments.length(line[1].place)):
                copied = await asyncio.to_thread(self._copier.copy_lines, some)
                pack = self._partitions.folded.pack
                self._lines.add((name for name, _ in some), (pack(old) for _, old in some), map(pack, copied))
                if self._stopped():
                    return
                await self._pace.pause()
            await self._pace.pause()

    def _old_line(self, name: str) -> Folded | None:
        """The line of a partition that is as it stands in the old segments."""
        line = self._partitions.folded.get(name) or self._partitions.unchanged.get(name)
        return line if line is not None and line.segment in self._sealed else None

    async def _copy_groups(self) -> None:
        """Copy each changed partition that has something in the old segments, all of it, as one line."""
        for some in _together(await self._groups(), lambda group: sum(map(_size, group.picks))):
            copied = await asyncio.to_thread(self._copier.copy_groups, some)
            for group, (folded, places) in zip(some, copied, strict=True):
                moves = sorted(zip(group.picks, places, strict=True), key=lambda move: move[0].table)
                for table, of_table in groupby(moves, key=lambda move: move[0].table):
                    self._copied[table].add(*zip(*of_table, strict=True))
                # Whatever became of it meanwhile: a later compaction must keep what was removed from this line.
                self._partitions.once_folded.add(group.name)
                if group.whole:
                    self._folded.append((group.name, folded))
            if self._stopped():
                return
            await self._pace.pause()

    async def _groups(self) -> list[Group]:
        rows: dict[str, list[tuple[str, Row]]] = defaultdict(list)
        removed: dict[str, list[Removed]] = defaultdict(list)
        ours: set[str] = set()
        tables = [(table, parts) for table, parts in self._partitions.parts.items() if parts]
        for table, parts in tables:
            async for visited in self._visit(table):
                for row in visited:
                    name = name_of(row.key, parts)
                    rows[name].append((table, row))
                    if row.segment in self._sealed:
                        ours.add(name)
        for table, key in set(self._removed):
            parts = self._partitions.parts.get(table, 0)
            name = name_of(key, parts)
            if parts and name in self._partitions.once_folded and key not in self._partitions.rows[table]:
                removed[name].append((table, key))
                ours.add(name)
        groups: list[Group] = []
        for name in ours:
            if name in self._partitions.unchanged or name in self._partitions.folded:
                continue
            picks = [pick for table, row in rows[name] for pick in self._pick(table, [row])]
            groups.append(Group(name, picks, removed[name], len(picks) == len(rows[name])))
            if len(groups) % LINES_AT_ONCE == 0:
                await self._pace.pause()
        return groups

    async def _visit(self, table: str) -> AsyncIterator[list[Row]]:
        """All rows of a table in memory, some at a time."""
        rows = self._partitions.rows[table]
        keys = iter(tuple(rows))
        while not self._stopped() and (some := list(islice(keys, VISITED_AT_ONCE))):
            yield [row for key in some if (row := rows.get(key)) is not None]
            await self._pace.pause()

    def _pick(self, table: str, rows: Iterable[Row]) -> list[Pick]:
        """Those rows that are in the table and whose document is on disk."""
        current = self._partitions.rows[table]
        return [
            Pick(table, row, row.columns, row.segment, row.content)
            for row in rows
            if row.segment is not None and isinstance(row.content, int) and current.get(row.key) is row
        ]

    async def _move(self) -> None:
        """Let everything refer to the copies, except what was changed or removed meanwhile."""
        for table, copied in self._copied.items():
            current = self._partitions.rows[table]
            moves = copied.moves()
            while some := list(islice(moves, VISITED_AT_ONCE)):
                for key, segment, old, new in some:
                    row = current.get(key)
                    if row is not None and row.content == old and row.segment and row.segment.number == segment:
                        row.put(new, self._copier.segment)
                await self._pace.pause()
        unpack = self._partitions.folded.unpack
        lines = self._lines.moves()
        while some_lines := list(islice(lines, LINES_AT_ONCE)):
            for name, before, after in some_lines:
                self._partitions.refold(name, unpack(before), unpack(after))
            await self._pace.pause()
        for name, folded in self._folded:
            self._partitions.settle(name, folded, self._started)
        for _ in range(0, len(self._partitions.unchanged), LEFT_AT_ONCE):
            self._partitions.leave_some()
            await self._pace.pause()


def _size(pick: Pick) -> int:
    return segments.length(pick.place)


def _together(items: Iterable[T], size: Callable[[T], int]) -> Iterator[list[T]]:
    """Lists of items for one visit to the copying thread, which shares the interpreter with the event loop."""
    some: list[T] = []
    total = 0
    for item in items:
        some.append(item)
        total += size(item) + OVERHEAD
        if total > COPIED_AT_ONCE:
            yield some
            some, total = [], 0
    if some:
        yield some
