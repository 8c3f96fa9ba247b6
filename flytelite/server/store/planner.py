"""How a query is answered: from a few candidates that an index names, or by walking all rows in order."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from heapq import nlargest, nsmallest
from itertools import chain

from flytelite.errors import Internal
from flytelite.server.store import totals
from flytelite.server.store.indexes import Indexes
from flytelite.server.store.interface import Condition, Query
from flytelite.server.store.orderings import row_key
from flytelite.server.store.row_filter import RowFilter
from flytelite.server.store.rows import Row, Rows

FEW = 2048
"""So many candidates are looked at and sorted for each page. Of more, a walk remembers how many a filter keeps."""


def select(rows: Rows, indexes: Indexes, query: Query, among: Iterable[str] | None) -> list[Row]:
    """The rows that answer the query, in its order; ``among`` names those to look at by their keys."""
    filter = _filter(rows, indexes, query.conditions)
    if query.order_by is not None:
        _check(indexes, query.order_by)
    if query.limit is not None and query.limit <= 0:
        return []
    candidates = _named(rows, among) if among is not None else _candidates(rows, indexes, query.conditions)
    if candidates is None:
        known, ordering = None, indexes.ordering(query.order_by)
        is_far = 2 * query.offset > totals.at_most(len(rows), indexes, filter.uncertain)
        if is_far and not ordering.remembers(filter):
            known = totals.total(len(rows), indexes, filter.uncertain)
        return ordering.page(filter, descending=query.descending, offset=query.offset, limit=query.limit, total=known)
    wanted = None if query.limit is None else query.offset + query.limit
    return _ordered(filter.keep(list(candidates)), indexes, query, wanted)[query.offset : wanted]


def position(rows: Rows, indexes: Indexes, query: Query, key: str, among: Iterable[str] | None) -> int | None:
    """How many rows come before that of ``key`` in the query's whole list; None when it is not in it."""
    filter = _filter(rows, indexes, query.conditions)
    row = rows.get(key)
    if row is None or not filter.keep([row]):
        return None
    candidates = _named(rows, among) if among is not None else _candidates(rows, indexes, query.conditions)
    if candidates is None:
        return indexes.ordering(query.order_by).position(
            filter,
            row,
            descending=query.descending,
            total=lambda: totals.total(len(rows), indexes, filter.uncertain),
        )
    found = _ordered(filter.keep(list(candidates)), indexes, query, None)
    return found.index(row) if row in found else None


def count(rows: Rows, indexes: Indexes, conditions: Sequence[Condition], among: Iterable[str] | None) -> int:
    """How many rows satisfy all conditions."""
    filter = _filter(rows, indexes, conditions)
    candidates = _named(rows, among) if among is not None else _candidates(rows, indexes, conditions)
    if candidates is not None:
        return len(filter.keep(list(candidates)))
    # To look at many rows pays only if what is found is remembered, as orderings do.
    known = totals.total(len(rows), indexes, filter.uncertain, most=len(rows) // 8)
    return indexes.inserted.count(filter) if known is None else known


def _filter(rows: Rows, indexes: Indexes, conditions: Sequence[Condition]) -> RowFilter:
    for condition in conditions:
        _check(indexes, condition.column)
    certain = []
    for condition in conditions:
        equality = indexes.equality.get(condition.column)
        groups = equality.groups(condition) if equality else None
        if groups is not None and sum(map(len, groups)) == len(rows):
            certain.append(condition)
    return RowFilter(tuple(conditions), indexes.position, certain)


def _check(indexes: Indexes, column: str) -> None:
    if column not in indexes.position:
        columns = ", ".join(indexes.columns) or "none"
        raise Internal(f"{column} is not a column of this table; its columns: {columns}")


def _named(rows: Rows, keys: Iterable[str]) -> list[Row]:
    return [rows[key] for key in dict.fromkeys(keys) if key in rows]


def _candidates(rows: Rows, indexes: Indexes, conditions: Sequence[Condition]) -> Collection[Row] | None:
    """The rows that the most selective index names, if they are few; None when no index helps as much."""
    least = FEW if indexes.schema.partition else min(FEW, len(rows) // 4)
    best: list[Collection[Row]] | None = None
    for condition in conditions:
        equality = indexes.equality.get(condition.column)
        groups = equality.groups(condition) if equality else None
        if groups is not None and (size := sum(map(len, groups))) <= least:
            least, best = size, list(groups)
    for column in {condition.column for condition in conditions} & indexes.sorted.keys():
        blocks = indexes.sorted[column].within(conditions)
        if (size := sum(len(block.rows) for block in blocks)) <= least:
            least, best = size, [block.rows for block in blocks]
    return None if best is None else list(chain.from_iterable(best))


def _ordered(rows: Collection[Row], indexes: Indexes, query: Query, wanted: int | None) -> list[Row]:
    key = row_key(None if query.order_by is None else indexes.position[query.order_by])
    if wanted is not None and wanted < len(rows) // 8:  # a heap of one page is cheaper than sorting all
        return (nlargest if query.descending else nsmallest)(wanted, rows, key=key)
    return sorted(rows, key=key, reverse=query.descending)
