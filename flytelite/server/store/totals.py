"""How many rows satisfy some conditions, told by the indexes: most rows need not be looked at."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import chain

from flytelite.server.store.indexes import Indexes
from flytelite.server.store.interface import Condition
from flytelite.server.store.row_filter import RowFilter
from flytelite.server.store.rows import Row


def at_most(rows: int, indexes: Indexes, conditions: Iterable[Condition]) -> int:
    """A number of rows that no more than satisfy all conditions, of so many in the table; found at once."""
    return min((size for one in conditions if (size := _of_one(indexes, one)) is not None), default=rows)


def total(rows: int, indexes: Indexes, conditions: Sequence[Condition], most: int | None = None) -> int | None:
    """How many rows satisfy all conditions, of so many in the table; None when indexes do not tell.

    Of the rows that a condition keeps, and of those that it does not, the fewer are looked at; with ``most``, no more
    than so many.
    """
    if not conditions:
        return rows
    if len(conditions) == 1:
        return _of_one(indexes, conditions[0])
    split: tuple[int, Condition] | None = None
    for condition in conditions:
        equality = indexes.equality.get(condition.column)
        groups = equality.groups(condition) if equality else None
        if groups is not None:
            size = sum(map(len, groups))
            fewer = min(size, rows - size)
            if split is None or fewer < split[0]:
                split = fewer, condition
    if split is None:
        return None
    fewer, condition = split
    if most is not None and fewer > most:
        return None
    rest = [one for one in conditions if one is not condition]
    equality = indexes.equality[condition.column]
    groups = equality.groups(condition) or []
    if sum(map(len, groups)) == fewer:
        return _satisfying(indexes, rest, list(chain.from_iterable(groups)))
    of_rest = total(rows, indexes, rest)
    return None if of_rest is None else of_rest - _satisfying(indexes, rest, list(equality.others(condition)))


def _satisfying(indexes: Indexes, conditions: Sequence[Condition], rows: Sequence[Row]) -> int:
    return len(RowFilter(conditions, indexes.position).keep(rows))


def _of_one(indexes: Indexes, condition: Condition) -> int | None:
    equality = indexes.equality.get(condition.column)
    groups = equality.groups(condition) if equality else None
    if groups is not None:
        return sum(map(len, groups))
    ordering = indexes.sorted.get(condition.column)
    return None if ordering is None else ordering.satisfying(condition)
