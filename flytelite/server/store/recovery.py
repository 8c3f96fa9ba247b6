"""Reading a journal: what it holds, where it was cut off, and where it is damaged."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import repeat
from operator import attrgetter
from pathlib import Path
from typing import Any, NamedTuple

from flytelite.errors import Unavailable
from flytelite.server.store import closing, contents, entries, segments
from flytelite.server.store.disk import Disk, refusal
from flytelite.server.store.entries import REMOVED, Header, StoredChange
from flytelite.server.store.partitions import Partitions, name_of
from flytelite.server.store.rows import Row, Rows, bulk
from flytelite.server.store.segments import Segment

log = logging.getLogger(__name__)


class Damage(NamedTuple):
    """Something that was written and cannot be read any more."""

    path: Path
    offset: int
    reason: str

    def __str__(self) -> str:
        return f"{self.path} is damaged at byte {self.offset}: {self.reason}"


class Line(NamedTuple):
    """A line of a segment; ``header`` is None, and ``reason`` says why, when it is not as it was written."""

    offset: int
    header: Header | None
    text: bytes = b""
    changes: Sequence[StoredChange] = ()
    reason: str = ""


@dataclass
class Recovered:
    """What a journal holds. ``last`` is the number of its last entry, ``order`` the highest place in insertion order.

    ``columns`` names, by table, the columns that rows hold already. ``obsolete`` are files that a compaction had
    replaced, or had not finished, when its process died. Entries up to ``closed`` were there when the store was last
    closed. ``has_contents``: whether no compacted segment lacks them.
    """

    rows: dict[str, Rows] = field(default_factory=dict)
    columns: dict[str, tuple[str, ...]] = field(default_factory=dict)
    segments: list[Segment] = field(default_factory=list)
    damages: list[Damage] = field(default_factory=list)
    obsolete: list[Path] = field(default_factory=list)
    last: int = 0
    order: int = 0
    closed: int = 0
    has_contents: bool = True

    def __post_init__(self) -> None:
        self.partitions = Partitions(self.rows)
        self._ends_in_damage = False

    def replay(self, segment: Segment, lines: Iterable[Line]) -> None:
        """Apply the lines of the next segment; those that are damaged are noted and left out."""
        gap_is_known = self._begin(segment)
        for line in lines:
            if line.header is None:
                self._note(segment, line.offset, f"{line.reason}, after entry {self.last}")
                gap_is_known = True
                continue
            number = line.header.number
            if segment.last is None and number != self.last + 1 and not gap_is_known:
                self._note(segment, line.offset, f"entry {number} follows entry {self.last}")
            gap_is_known = False
            self.last = max(self.last, number)
            for change in line.changes:
                self._apply(segment, line, change)
        self._ends_in_damage = gap_is_known

    def end(self, directory: Path) -> None:
        """There are no more segments: note it when entries are missing that were there when the store was closed."""
        if self.last >= self.closed or self._ends_in_damage:
            return
        missing = f"entries {self.last + 1} to {self.closed}, which were there when the store was closed, are missing"
        if self.segments:
            self._note(self.segments[-1], self.segments[-1].size, missing)
        else:
            self.damages.append(Damage(directory / segments.name(1), 0, missing))

    def load(self, segment: Segment, listed: Iterable[dict[str, Any]]) -> None:
        """Take what a compacted segment holds from its contents, without reading it."""
        self._begin(segment)
        self.last = max(self.last, segment.last or 0)
        for line in listed:
            if "keys" in line:
                self._load_rows(segment, line)
            elif "partitions" in line:
                self._load_partitions(segment, line)
            elif "removed" in line:
                for table, key in line["removed"]:
                    self._remove(table, key)
            else:
                self.order = max(self.order, line["order"])
                for table, parts in line["tables"].items():
                    self.partitions.regroup(table, parts)

    def _begin(self, segment: Segment) -> bool:
        self.segments.append(segment)
        self._ends_in_damage = False
        if segment.first <= self.last + 1:
            return False
        self._note(segment, 0, f"entries {self.last + 1} to {segment.first - 1}, which come before it, are missing")
        return True

    def _load_rows(self, segment: Segment, line: dict[str, Any]) -> None:
        table, columns = line["table"], tuple(line["columns"])
        rows = self.rows.setdefault(table, {})
        if self.columns.setdefault(table, columns) != columns:
            columns = ()  # another version's columns: they are read from the documents
        keys, lengths = line["keys"], line["lengths"]
        values = [contents.unpack(column, len(keys)) for column in line["values"]]
        known = zip(*values, strict=True) if columns and values else repeat(())
        for key in rows.keys() & keys:
            self._remove(table, key)
        places = map(segments.place, line["offsets"], lengths)
        rows.update(zip(keys, map(Row, keys, line["orders"], repeat(0), places, repeat(segment), known), strict=False))
        segment.documents += sum(lengths)
        segment.live += sum(lengths)

    def _load_partitions(self, segment: Segment, line: dict[str, Any]) -> None:
        names, lengths = line["partitions"], line["lengths"]
        distinct, numbers = line["counts"]
        counts = contents.unpack(([tuple(map(tuple, one)) for one in distinct], numbers), len(names))
        self.partitions.folded.load(names, segment, map(segments.place, line["offsets"], lengths), counts)
        segment.documents += sum(lengths)

    def _apply(self, segment: Segment, line: Line, change: StoredChange) -> None:
        parts = self.partitions.parts.get(change.table, 0)
        if parts:
            name = name_of(change.key, parts)
            try:
                self.partitions.enter(name)
            except Unavailable as error:
                folded = self.partitions.folded[name]
                self._note(folded.segment, segments.offset(folded.place), error.message)
                return
            self.partitions.touch(name)
        rows = self.rows.setdefault(change.table, {})
        if line.text[change.offset : change.offset + change.length] == REMOVED:
            segment.removed.append((change.table, change.key))
            self._remove(change.table, change.key)
            return
        segment.documents += change.length
        place = segments.place(line.offset + change.offset, change.length)
        row = rows.get(change.key)
        if row is None:
            row = rows[change.key] = Row(change.key, change.order, 0, place, segment)
            row.weigh(1)
        else:
            row.order = change.order
            row.columns = ()
            row.put(place, segment)
        self.order = max(self.order, change.order)

    def _remove(self, table: str, key: str) -> None:
        row = self.rows.setdefault(table, {}).pop(key, None)
        if row is not None:
            row.weigh(-1)

    def _note(self, segment: Segment, offset: int, reason: str) -> None:
        self.damages.append(Damage(segment.path, offset, reason))


def recover(path: Path, disk: Disk) -> Recovered:
    """Replay all segments in the directory.

    Changes nothing but an end that was never completed: it is cut off, which the log reports. Raises Unavailable when
    a file cannot be opened.
    """
    with bulk():
        return _recover(path, disk)


def _recover(path: Path, disk: Disk) -> Recovered:
    found = Recovered(closed=closing.last_entry(path))
    current, found.obsolete = current_segments(path)
    for first, last, file in current:
        try:
            segment = Segment(file, first, last, disk.open(file), segments.size_of(file))
        except OSError as error:
            raise refusal(file, error) from error
        if last is not None and found.has_contents:
            listed = contents.read(segment)
            if listed is not None:
                found.load(segment, listed)
                continue
            log.info("the contents of %s are missing or do not fit; reading the segment itself", file)
            found.has_contents = False
        lines: Iterable[Line] = lines_of(segment)
        if file is current[-1][2] and last is None:
            lines = _without_torn_end(segment, list(lines), found, disk)
        found.replay(segment, lines)
    found.end(path)
    used = {contents.path_of(file) for _, _, file in current}
    left = [file for suffix in (contents.SUFFIX, segments.TEMPORARY) for file in path.glob(f"*{suffix}")]
    found.obsolete += (file for file in left if file not in used and not file.is_dir())
    for rows in found.rows.values():
        _put_in_order(rows)
    return found


def current_segments(path: Path) -> tuple[list[tuple[int, int | None, Path]], list[Path]]:
    """The segments in the order of their entries, and those whose entries a compacted segment holds too."""
    names = [(parsed, file) for file in path.iterdir() if (parsed := segments.parse_name(file.name))]
    current: list[tuple[int, int | None, Path]] = []
    obsolete = []
    covered = 0
    for (first, last), file in sorted(names, key=lambda named: (named[0][0], -(named[0][1] or 0))):
        if first <= covered:
            obsolete.append(file)
            continue
        current.append((first, last, file))
        covered = last or covered
    return current, obsolete


def lines_of(segment: Segment) -> Iterator[Line]:
    """The lines of a segment, and a last one without text when the file ends too early."""
    offset = count = 0
    complete = segment.last is None
    reason = "the file was cut off"
    try:
        with segment.path.open("rb") as file:
            while text := file.readline(segment.size - offset):
                line = _line(offset, text)
                if line.header is not None and line.header.lines is not None:
                    complete = line.header.lines == count
                yield line
                offset += len(text)
                count += 1
    except OSError as error:
        complete, reason = False, f"the file cannot be read on ({error.strerror})"
    if not complete:
        yield Line(offset, None, reason=reason)


def _line(offset: int, text: bytes) -> Line:
    if not entries.is_whole(text):
        return Line(offset, None, text, reason="a line does not match its checksum")
    try:
        return Line(offset, entries.header(text), text, list(entries.changes(text)))
    except (ValueError, KeyError, TypeError) as error:
        return Line(offset, None, text, reason=f"a line with a right checksum cannot be understood ({error})")


def torn_end(lines: Sequence[Line], last: int, closed: int) -> int | None:
    """Where in the lines of the last segment an end begins that was never completed; ``last`` is the entry before.

    A group of entries may reach the disk in any order, so whole lines may follow a broken one. They were never
    acknowledged either, unless one of them says that the broken entry was synced, or the store was ``closed`` with that
    entry on disk: then it is damage, and stays.
    """
    bad = next((index for index, line in enumerate(lines) if line.header is None), None)
    if bad is None:
        return None
    number = _last_number(lines[:bad], last) + 1
    synced = max([closed, *(line.header.synced for line in lines[bad:] if line.header)])
    return None if synced >= number else bad


def _last_number(lines: Sequence[Line], last: int) -> int:
    return max((line.header.number for line in lines if line.header), default=last)


def _without_torn_end(segment: Segment, lines: list[Line], found: Recovered, disk: Disk) -> list[Line]:
    """Cut off what was being written when the process or the machine stopped."""
    bad = torn_end(lines, found.last, found.closed)
    if bad is None:
        return lines
    offset = lines[bad].offset
    log.warning(
        "%s ends in an entry that was never completed: dropped %d bytes from byte %d on, after entry %d",
        segment.path,
        segment.size - offset,
        offset,
        _last_number(lines[:bad], found.last),
    )
    if not found.damages:
        try:
            disk.truncate(segment.descriptor, offset)
            disk.sync(segment.descriptor)
        except OSError as error:
            raise refusal(segment.path, error) from error
        segment.size = offset
    return lines[:bad]


def _put_in_order(rows: Rows) -> None:
    in_order = sorted(rows.values(), key=attrgetter("order"))
    if any(row is not placed for row, placed in zip(rows.values(), in_order, strict=True)):
        rows.clear()
        rows.update((row.key, row) for row in in_order)
