"""Partitions on disk: where each one's line is. Of hundreds of thousands of them a few numbers each are kept."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, MutableMapping, Sequence
from typing import NamedTuple
from weakref import WeakValueDictionary

from flytelite.errors import Unavailable
from flytelite.server.store import entries, segments
from flytelite.server.store.entries import REMOVED, StoredChange
from flytelite.server.store.segments import Segment

Counts = tuple[tuple[str, int], ...]

_PLACE_BITS = 96
_COUNTS_BITS = 32


class Folded(NamedTuple):
    """A partition on disk: all its documents are in one line of a compacted segment. ``counts``: documents by table."""

    segment: Segment
    place: int
    counts: Counts

    def line(self) -> bytes:
        """The line. Raises Unavailable when it is damaged."""
        line = self.segment.read(self.place)
        if not entries.is_whole(line):
            raise Unavailable(f"{self.segment.path} is damaged at byte {segments.offset(self.place)}")
        return line

    def documents(self, line: bytes) -> Iterator[tuple[StoredChange, int]]:
        """Each document of the line, and its place in the segment."""
        base = segments.offset(self.place)
        for change in entries.changes(line):
            if line[change.offset : change.offset + change.length] != REMOVED:
                yield change, segments.place(base + change.offset, change.length)


class FoldedLines(MutableMapping[str, Folded]):
    """Partitions on disk by name. Those in it count as live in their segments, and in ``documents`` by table.

    Each is kept as one number, which the garbage collector need not look at: a hundred thousand objects would hold up
    requests whenever it walks over them.
    """

    def __init__(self) -> None:
        self.documents: Counter[str] = Counter()
        self._packed: dict[str, int] = {}
        self._segments: WeakValueDictionary[int, Segment] = WeakValueDictionary()
        self._counts: list[Counts] = []
        self._numbers: dict[Counts, int] = {}

    def load(self, names: Sequence[str], segment: Segment, places: Iterable[int], counts: Iterable[Counts]) -> None:
        """Take in the partitions of one segment; they take the place of what was known of partitions of that name."""
        for name in self._packed.keys() & names:
            del self[name]
        self._segments[segment.number] = segment
        numbers = list(map(self._number_of, counts))
        fixed = (segment.number << _COUNTS_BITS) << _PLACE_BITS
        packed = [fixed | number << _PLACE_BITS | place for number, place in zip(numbers, places, strict=True)]
        self._packed.update(zip(names, packed, strict=True))
        segment.live += sum(map(segments.length, packed))  # a place is in the lowest bits
        for number, times in Counter(numbers).items():
            self._count(self._counts[number], times)

    def pack(self, folded: Folded) -> int:
        """What stands for it here; ``unpack`` gives it back for as long as its segment is in use."""
        self._segments[folded.segment.number] = folded.segment
        number = folded.segment.number << _COUNTS_BITS | self._number_of(folded.counts)
        return number << _PLACE_BITS | folded.place

    def unpack(self, packed: int) -> Folded:
        """What ``pack`` was given."""
        number = packed >> _PLACE_BITS
        return Folded(
            self._segments[number >> _COUNTS_BITS],
            packed & ((1 << _PLACE_BITS) - 1),
            self._counts[number & ((1 << _COUNTS_BITS) - 1)],
        )

    def __getitem__(self, name: str) -> Folded:
        return self.unpack(self._packed[name])

    def __setitem__(self, name: str, folded: Folded) -> None:
        self.pop(name, None)
        self._packed[name] = self.pack(folded)
        folded.segment.live += segments.length(folded.place)
        self._count(folded.counts, 1)

    def __delitem__(self, name: str) -> None:
        folded = self.unpack(self._packed.pop(name))
        folded.segment.live -= segments.length(folded.place)
        self._count(folded.counts, -1)

    def __contains__(self, name: object) -> bool:
        return name in self._packed

    def __iter__(self) -> Iterator[str]:
        return iter(self._packed)

    def __len__(self) -> int:
        return len(self._packed)

    def _number_of(self, counts: Counts) -> int:
        """Most partitions are alike."""
        number = self._numbers.get(counts)
        if number is None:
            number = self._numbers[counts] = len(self._counts)
            self._counts.append(counts)
        return number

    def _count(self, counts: Counts, times: int) -> None:
        for table, count in counts:
            self.documents[table] += count * times
