"""Writing a compacted segment: current documents, copied from where they are, and beside them the contents."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import NamedTuple

from flytelite.server.store import contents, entries, segments
from flytelite.server.store.contents import ContentsWriter
from flytelite.server.store.disk import Disk, SyncedOften
from flytelite.server.store.entries import REMOVED, Header, StoredChange
from flytelite.server.store.folded import Folded
from flytelite.server.store.interface import Scalar
from flytelite.server.store.rows import Row
from flytelite.server.store.segments import Segment

Removed = tuple[str, str]
"""The table and key of a document that is no more, while an older segment may still hold it."""


class Pick(NamedTuple):
    """A row to copy, and where its document was when it was picked."""

    table: str
    row: Row
    columns: tuple[Scalar, ...]
    segment: Segment
    place: int


class Group(NamedTuple):
    """What to copy of a partition; ``whole`` unless some of its documents still wait for the disk."""

    name: str
    picks: list[Pick]
    removed: list[Removed]
    whole: bool


class Copier:
    """A segment in the making. All but making and dropping it blocks, and runs in a thread."""

    def __init__(self, directory: Path, disk: Disk, first: int, last: int) -> None:
        """For entries from first to last. Raises OSError when the disk refuses."""
        self._directory = directory
        self._disk = disk
        self._header = Header(last, last)
        self._lines = 0
        self._last_line = b""
        path = directory / segments.name(first, last)
        self._temporary = path.with_name(f"{path.name}{segments.TEMPORARY}")
        disk.remove(self._temporary)
        self.segment = Segment(path, first, last, disk.create(self._temporary))
        self._synced = SyncedOften(disk, self.segment.descriptor)
        try:
            self._contents = ContentsWriter(path, disk)
        except OSError:
            self.segment.close()
            raise

    def begin(self, tables: Mapping[str, int], order: int) -> None:
        """Note how many parts of a key name its partition, by table, and the highest place in insertion order."""
        self._contents.write({"tables": tables, "order": order})

    def copy_rows(self, table: str, columns: Sequence[str], picks: Sequence[Pick]) -> list[int]:
        """Write documents of one table as one line; returns their new places."""
        base = self.segment.size
        stored = self._write(self._header, _documents(picks))
        self.segment.documents += sum(change.length for change in stored)
        self._contents.write(
            {
                "table": table,
                "columns": columns,
                "keys": [pick.row.key for pick in picks],
                "orders": [pick.row.order for pick in picks],
                "offsets": [base + change.offset for change in stored],
                "lengths": [change.length for change in stored],
                "values": [contents.pack(column) for column in zip(*(pick.columns for pick in picks), strict=True)],
            }
        )
        return [segments.place(base + change.offset, change.length) for change in stored]

    def copy_removed(self, removed: Sequence[Removed]) -> None:
        """Write that these documents are no more."""
        self._write(self._header, [(table, key, 0, REMOVED) for table, key in removed])
        self._contents.write({"removed": removed})

    def copy_groups(self, groups: Sequence[Group]) -> list[tuple[Folded, list[int]]]:
        """Write each partition as one line; returns where that is, and the new places of its documents."""
        copied = []
        for group in groups:
            base = self.segment.size
            removed = [(table, key, 0, REMOVED) for table, key in group.removed]
            stored = self._write(self._header, [*_documents(group.picks), *removed])[: len(group.picks)]
            counts: dict[str, int] = {}
            for pick in group.picks:
                counts[pick.table] = counts.get(pick.table, 0) + 1
            folded = Folded(self.segment, segments.place(base, self.segment.size - base), tuple(sorted(counts.items())))
            copied.append((folded, [segments.place(base + change.offset, change.length) for change in stored]))
        self._list_partitions(zip((group.name for group in groups), (folded for folded, _ in copied), strict=True))
        return copied

    def copy_lines(self, partitions: Sequence[tuple[str, Folded]]) -> list[Folded]:
        """Copy partitions that are lines already, as they are."""
        copied = []
        for _, folded in partitions:
            line = folded.line()
            copied.append(folded._replace(segment=self.segment, place=segments.place(self.segment.size, len(line))))
            self._append(line)
        self._list_partitions(zip((name for name, _ in partitions), copied, strict=True))
        return copied

    def complete(self) -> None:
        """Give both files their last lines and their names."""
        self._write(self._header._replace(lines=self._lines), [])
        self._disk.sync(self.segment.descriptor)
        self._contents.complete(self.segment.size, contents.end_of(self._last_line))
        self._disk.rename(self._temporary, self.segment.path)
        self._disk.sync_directory(self._directory)

    def drop(self) -> None:
        """Give up: nothing refers to the files."""
        self.segment.close()
        self._disk.remove(self._temporary)
        self._contents.drop()

    def _write(self, header: Header, documents: Sequence[tuple[str, str, int, bytes]]) -> list[StoredChange]:
        line, stored = entries.encode(header, datetime.now(UTC).isoformat(timespec="milliseconds"), documents)
        self._append(line)
        return stored

    def _append(self, line: bytes) -> None:
        self._disk.write(self.segment.descriptor, line, self.segment.size)
        self.segment.size += len(line)
        self._lines += 1
        self._last_line = line
        self._synced.wrote(len(line))

    def _list_partitions(self, partitions: Iterable[tuple[str, Folded]]) -> None:
        listed = list(partitions)
        self.segment.documents += sum(segments.length(folded.place) for _, folded in listed)
        self._contents.write(
            {
                "partitions": [name for name, _ in listed],
                "offsets": [segments.offset(folded.place) for _, folded in listed],
                "lengths": [segments.length(folded.place) for _, folded in listed],
                "counts": contents.pack([folded.counts for _, folded in listed]),
            }
        )


def _documents(picks: Sequence[Pick]) -> list[tuple[str, str, int, bytes]]:
    return [(pick.table, pick.row.key, pick.row.order, pick.segment.read(pick.place)) for pick in picks]
