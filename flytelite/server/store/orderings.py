"""The rows of a table in one order, cut into blocks that remember how many of their rows satisfy a filter.

A page deep in a filtered list skips whole blocks by these numbers, and looks at the rows of one or two.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right, insort
from collections import OrderedDict
from collections.abc import Callable, Iterable, Iterator, Mapping
from operator import attrgetter
from typing import Any

from flytelite.server.store.conditions import sort_key
from flytelite.server.store.interface import Condition, Operator
from flytelite.server.store.row_filter import RowFilter
from flytelite.server.store.rows import Row

BLOCK_ROWS = 512
FILTERS = 16
"""Filters whose numbers are kept: those of the lists that people look at, not of all that were ever asked for."""


_COMPARISONS: Mapping[Operator, tuple[bool | None, bool | None]] = {
    Operator.EQUAL: (False, True),
    Operator.GREATER: (True, None),
    Operator.GREATER_OR_EQUAL: (False, None),
    Operator.LESS: (None, False),
    Operator.LESS_OR_EQUAL: (None, True),
}
"""Where the rows that satisfy a comparison begin and end: before equal values (False), after them (True), or with the
first or last value of that kind (None)."""


class Block:
    """Some rows that follow one another, at least one."""

    __slots__ = ("rows",)

    def __init__(self, rows: list[Row]) -> None:
        self.rows = rows


def row_key(position: int | None) -> Callable[[Row], Any]:
    """What rows are ordered by: the value of the column at that position, then insertion; without one, insertion."""
    if position is None:
        return attrgetter("order")
    return lambda row: (*sort_key(row.columns[position]), row.order)


class Ordering:
    """All rows by the value of one column, equal values by insertion; without a column, by insertion alone."""

    def __init__(self, column: str | None = None, position: int = 0, rows: Iterable[Row] = ()) -> None:
        """``position`` is that of the column in a row."""
        self._column = column
        self._position = position
        self._key = row_key(None if column is None else position)
        ordered = sorted(rows, key=attrgetter("order"))
        if column is not None:
            ordered = _by_value(ordered, position)
        self._blocks = [Block(ordered[start : start + BLOCK_ROWS]) for start in range(0, len(ordered), BLOCK_ROWS)]
        self._counts: OrderedDict[str, dict[Block, int]] = OrderedDict()

    def __iter__(self) -> Iterator[Row]:
        for block in self._blocks:
            yield from block.rows

    def add(self, row: Row) -> None:
        """Take a row in."""
        key = self._key(row)
        if not self._blocks:
            self._blocks.append(Block([row]))
            return
        number = min(bisect_left(self._blocks, key, key=self._last_key), len(self._blocks) - 1)
        block = self._blocks[number]
        if self._last_key(block) < key:  # the usual case: time goes on
            block.rows.append(row)
        else:
            insort(block.rows, row, key=self._key)
        self._forget(block)
        if len(block.rows) > 2 * BLOCK_ROWS:
            self._blocks.insert(number + 1, Block(block.rows[BLOCK_ROWS:]))
            del block.rows[BLOCK_ROWS:]

    def remove(self, row: Row) -> None:
        """Let go of a row whose columns are as they were when it came."""
        number = self._find(row)
        block = self._blocks[number]
        del block.rows[bisect_left(block.rows, self._key(row), key=self._key)]
        self._forget(block)
        if not block.rows:
            del self._blocks[number]

    def touch(self, row: Row) -> None:
        """Note that other columns of a row change."""
        if self._counts:
            self._forget(self._blocks[self._find(row)])

    def page(
        self, filter: RowFilter, *, descending: bool, offset: int, limit: int | None, total: int | None = None
    ) -> list[Row]:
        """Rows that satisfy the filter, in this order or its reverse: ``limit`` of them after the first ``offset``.

        With ``total``, how many satisfy it, a page is looked for from the end that is nearer.
        """
        if total is None or limit is None or 2 * offset <= total:
            return self._walk(filter, descending=descending, offset=offset, limit=limit)
        if offset >= total:
            return []
        after = max(0, total - offset - limit)
        return self._walk(filter, descending=not descending, offset=after, limit=total - offset - after)[::-1]

    def position(
        self, filter: RowFilter, row: Row, *, descending: bool, total: Callable[[], int | None] = lambda: None
    ) -> int:
        """How many rows that satisfy the filter come before this one, which does too, in this order or its reverse.

        If ``total`` tells how many satisfy it, those after it are counted instead when there are fewer blocks of them;
        it is not asked when those before it are near or remembered.
        """
        number = self._find(row)
        block = self._blocks[number]
        low, high = self._span(filter.conditions)
        rows = filter.keep(block.rows)
        here = rows.index(row)
        before, after = (high - number, number - low) if descending else (number - low, high - number)
        known = None if before <= after or self.remembers(filter) else total()
        if descending is (known is None):
            later = self._count(filter, self._blocks[number + 1 : high]) + len(rows) - 1 - here
            return later if known is None else known - 1 - later
        earlier = self._count(filter, self._blocks[low:number]) + here
        return earlier if known is None else known - 1 - earlier

    def remembers(self, filter: RowFilter) -> bool:
        """Whether a walk is cheap: of most blocks it is known how many of their rows satisfy the filter."""
        return 2 * len(self._counts.get(filter.name, ())) >= len(self._blocks)

    def count(self, filter: RowFilter) -> int:
        """How many rows satisfy the filter."""
        return self._count(filter, self.within(filter.conditions))

    def satisfying(self, condition: Condition) -> int | None:
        """How many rows satisfy a comparison of the column whose order this is; None for one that keeps no order."""
        value = condition.values[0] if len(condition.values) == 1 else None
        if value is None or condition.operator not in _COMPARISONS:
            return None
        kind, _ = bound = sort_key(value)
        first, last = _COMPARISONS[condition.operator]
        low = self._rank((kind,) if first is None else bound, after=first is True)
        high = self._rank((kind + 1,) if last is None else bound, after=last is True)
        return max(0, high - low)

    def within(self, conditions: Iterable[Condition]) -> list[Block]:
        """The blocks outside of which no row satisfies all comparisons of the column whose order this is."""
        low, high = self._span(conditions)
        return self._blocks[low:high]

    def _walk(self, filter: RowFilter, *, descending: bool, offset: int, limit: int | None) -> list[Row]:
        counts = self._counts_of(filter)
        found: list[Row] = []
        blocks = self.within(filter.conditions)
        for block in reversed(blocks) if descending else blocks:
            count = counts.get(block)
            if count is None or count > offset:
                rows = filter.keep(block.rows)
                count = counts[block] = len(rows)
                found += (rows[::-1] if descending else rows)[offset:]
                if limit is not None and len(found) >= limit:
                    return found[:limit]
            offset = max(0, offset - count)
        return found

    def _rank(self, bound: tuple[Any, ...], *, after: bool) -> int:
        """How many rows have a value less than the bound; with ``after``, one that equals it counts too."""
        bisect = bisect_right if after else bisect_left
        number = bisect(self._blocks, bound, key=self._last_value)
        before = sum(len(block.rows) for block in self._blocks[:number])
        if number == len(self._blocks):
            return before
        return before + bisect(self._blocks[number].rows, bound, key=self._value)

    def _count(self, filter: RowFilter, blocks: Iterable[Block]) -> int:
        counts = self._counts_of(filter)
        total = 0
        for block in blocks:
            count = counts.get(block)
            if count is None:
                count = counts[block] = len(filter.keep(block.rows))
            total += count
        return total

    def _span(self, conditions: Iterable[Condition]) -> tuple[int, int]:
        low, high = 0, len(self._blocks)
        for condition in conditions:
            if condition.column != self._column or len(condition.values) != 1 or condition.values[0] is None:
                continue
            bound = sort_key(condition.values[0])
            if condition.operator in (Operator.GREATER, Operator.GREATER_OR_EQUAL, Operator.EQUAL):
                low = max(low, bisect_left(self._blocks, bound, key=self._last_value))
            if condition.operator in (Operator.LESS, Operator.LESS_OR_EQUAL, Operator.EQUAL):
                high = min(high, bisect_right(self._blocks, bound, key=self._first_value))
        return low, high

    def _value(self, row: Row) -> tuple[int, Any]:
        return sort_key(row.columns[self._position])

    def _last_key(self, block: Block) -> Any:
        return self._key(block.rows[-1])

    def _last_value(self, block: Block) -> tuple[int, Any]:
        return self._value(block.rows[-1])

    def _first_value(self, block: Block) -> tuple[int, Any]:
        return self._value(block.rows[0])

    def _find(self, row: Row) -> int:
        return bisect_left(self._blocks, self._key(row), key=self._last_key)

    def _forget(self, block: Block) -> None:
        for counts in self._counts.values():
            counts.pop(block, None)

    def _counts_of(self, filter: RowFilter) -> dict[Block, int]:
        """How many rows satisfy the filter, by block, as far as it is known."""
        counts = self._counts.setdefault(filter.name, {})
        self._counts.move_to_end(filter.name)
        if len(self._counts) > FILTERS:
            self._counts.popitem(last=False)
        return counts


def _by_value(rows: Iterable[Row], position: int) -> list[Row]:
    """The rows, which come by insertion, in the order of ``row_key``; made without a key for each of them."""
    numbers: list[Row] = []
    texts: list[Row] = []
    missing: list[Row] = []
    for row in rows:
        value = row.columns[position]
        (missing if value is None else texts if isinstance(value, str) else numbers).append(row)
    for some in numbers, texts:
        some.sort(key=lambda row: row.columns[position])  # type: ignore[arg-type,return-value]  # all of one kind
    return [*numbers, *texts, *missing]
