"""Partitions: documents that are in memory all together or not at all, such as those of one execution."""

from __future__ import annotations

from itertools import islice
from typing import Protocol

from flytelite.server.store import segments
from flytelite.server.store.folded import Folded, FoldedLines
from flytelite.server.store.rows import Row, Rows

KEPT = 256
"""Partitions that stay in memory unchanged after someone looked into them."""

LEFT_AT_ONCE = 8


def name_of(key: str, parts: int) -> str:
    """The partition of a key: its first ``parts`` parts."""
    end = -1
    for _ in range(parts):
        end = key.find("/", end + 1)
        if end < 0:
            return key
    return key[:end]


class Reader(Protocol):
    """A table as partitions come and go."""

    @property
    def columns(self) -> tuple[str, ...]:
        """The names of a row's columns, in their order."""

    def admit(self, row: Row, document: bytes) -> None:
        """Take a row that was read; ``document`` is its JSON text."""

    def forget(self, key: str) -> None:
        """Let go of a row that is on disk only from now on."""


class Partitions:
    """Which partitions are folded (on disk only), and which of those in memory are as they were when read.

    ``rows`` are the rows in memory by table, ``parts`` says how many parts of a key name its partition (0 or absent:
    the table has none). ``changed`` holds the time (on ``clock``, which counts changes) a partition was last changed.
    """

    def __init__(self, rows: dict[str, Rows]) -> None:
        self.rows = rows
        self.tables: dict[str, Reader] = {}
        self.parts: dict[str, int] = {}
        self.folded = FoldedLines()
        self.unchanged: dict[str, Folded] = {}
        self.once_folded: set[str] = set()
        self.changed: dict[str, int] = {}
        self.clock = 0
        self.kept = KEPT

    def columns(self, table: str) -> tuple[str, ...]:
        """The names of the columns that the table's rows hold."""
        return self.tables[table].columns if table in self.tables else ()

    def regroup(self, table: str, parts: int) -> None:
        """From now on so many parts of a key name its partition."""
        if self.parts.get(table, parts) != parts:
            for name in self.enter_all(table):
                self.touch(name)
        self.parts[table] = parts
        self.rows.setdefault(table, {})

    def enter(self, name: str) -> None:
        """Read a partition into memory, if it is not there. Raises Unavailable when it cannot be read."""
        folded = self.folded.get(name)
        if folded is None:
            return
        line = folded.line()
        del self.folded[name]
        self.unchanged[name] = folded
        self.once_folded.add(name)
        for change, place in folded.documents(line):
            row = Row(change.key, change.order, 0, place, folded.segment)
            table = self.tables.get(change.table)
            if table is None:
                self.rows.setdefault(change.table, {})[change.key] = row
                row.weigh(1)
            else:
                table.admit(row, line[change.offset : change.offset + change.length])

    def enter_all(self, table: str) -> list[str]:
        """Read every partition that has documents of that table; returns their names."""
        names = [name for name, folded in self.folded.items() if table in dict(folded.counts)]
        for name in names:
            self.enter(name)
        return names

    def touch(self, name: str) -> None:
        """Note that a partition in memory differs from its line from now on."""
        self.clock += 1
        self.changed[name] = self.clock
        self.unchanged.pop(name, None)

    def refold(self, name: str, old: Folded, new: Folded) -> None:
        """A partition's line was copied: let everything that refers to the old one refer to the new one."""
        if self.folded.get(name) == old:
            self.folded[name] = new
            return
        if self.unchanged.get(name) == old:
            self.unchanged[name] = new
        moved_by = segments.offset(new.place) - segments.offset(old.place)
        for change, place in new.documents(new.line()):
            row = self.rows[change.table].get(change.key)
            before = segments.place(segments.offset(place) - moved_by, change.length)
            if row is not None and row.segment is old.segment and row.content == before:
                row.put(place, new.segment)

    def settle(self, name: str, folded: Folded, clock: int) -> None:
        """A partition in memory was copied to a line; from now on that is where it is, unless it changed since."""
        if self.changed.get(name, 0) <= clock:
            self.changed.pop(name, None)
            self.unchanged[name] = folded

    def leave_some(self) -> None:
        """Forget a few unchanged partitions, the longest in memory first, if too many are in memory."""
        surplus = max(0, len(self.unchanged) - self.kept)
        for name in list(islice(self.unchanged, min(surplus, LEFT_AT_ONCE))):
            folded = self.unchanged[name]
            for change, _ in folded.documents(folded.line()):
                table = self.tables.get(change.table)
                if table is None:
                    self.rows[change.table].pop(change.key).weigh(-1)
                else:
                    table.forget(change.key)
            del self.unchanged[name]
            self.folded[name] = folded
