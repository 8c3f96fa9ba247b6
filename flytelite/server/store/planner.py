"""How a query is answered: which rows to look at, in which order, and when to stop."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Sequence
from heapq import nlargest, nsmallest
from itertools import chain, islice
from operator import attrgetter
from typing import Any

from flytelite.errors import Internal
from flytelite.server.store.conditions import Test, sort_key, test
from flytelite.server.store.indexes import Indexes
from flytelite.server.store.interface import Condition, Query
from flytelite.server.store.rows import Row, Rows

CHUNK = 512
"""Rows tested at a time when walking: enough to be quick, few enough to stop soon after the page is full."""

Tests = list[tuple[int, Test]]


def select(
    rows: Rows, indexes: Indexes, query: Query, among: Iterable[str] | None, *, in_order: bool = True
) -> list[Row]:
    """The rows that answer the query, in its order. ``in_order``: whether ``rows`` come in insertion order."""
    tests = _tests(indexes, query.conditions)
    if query.order_by is not None:
        _position(indexes, query.order_by)
    if query.limit is not None and query.limit <= 0:
        return []
    wanted = None if query.limit is None else query.offset + query.limit
    candidates, likely = _candidates(rows, indexes, query.conditions, among)
    may_walk = among is None and (in_order or query.order_by is not None)
    if may_walk and (candidates is None or _walk_is_cheaper(len(rows), len(candidates), likely, wanted)):
        found = _walk(rows, indexes, query, tests, wanted)
    else:
        found = _ordered(
            _satisfying(rows.values() if candidates is None else candidates, tests), indexes, query, wanted
        )
    return found[query.offset : wanted]


def count(rows: Rows, indexes: Indexes, conditions: Sequence[Condition], among: Iterable[str] | None) -> int:
    """How many rows satisfy all conditions."""
    tests = _tests(indexes, conditions)
    candidates, _ = _candidates(rows, indexes, conditions, among)
    if candidates is None:
        candidates = rows.values()
    return len(_satisfying(candidates, tests)) if tests else len(candidates)


def _tests(indexes: Indexes, conditions: Iterable[Condition]) -> Tests:
    return [(_position(indexes, condition.column), test(condition)) for condition in conditions]


def _position(indexes: Indexes, column: str) -> int:
    position = indexes.position.get(column)
    if position is None:
        raise Internal(f"{column} is not a column of this table; its columns: {', '.join(indexes.columns) or 'none'}")
    return position


def _candidates(
    rows: Rows, indexes: Indexes, conditions: Sequence[Condition], among: Iterable[str] | None
) -> tuple[Collection[Row] | None, float]:
    """The rows named by ``among``, else by the most selective index (None when no index helps), and how many rows are
    likely to satisfy all that the indexes know, as if conditions were independent."""
    if among is not None:
        named = [rows[key] for key in dict.fromkeys(among) if key in rows]
        return named, len(named)
    best: Collection[Row] | None = None
    total = likely = float(len(rows))
    for condition in conditions:
        equality = indexes.equality.get(condition.column)
        groups = equality.groups(condition) if equality else None
        if groups is None or not rows:
            continue
        size = sum(map(len, groups))
        likely *= size / total
        if best is None or size < len(best):
            best = groups[0] if len(groups) == 1 else list(chain.from_iterable(groups))
    for column in {condition.column for condition in conditions} & indexes.sorted.keys():
        index = indexes.sorted[column]
        low, high = index.bounds(conditions, column)
        likely *= (high - low) / (total or 1)
        if high - low < (len(rows) if best is None else len(best)):
            best = index.rows[low:high]
    return best, likely


def _walk_is_cheaper(total: int, candidates: int, likely: float, wanted: int | None) -> bool:
    """Whether a page is full sooner by walking all rows in order than by collecting and sorting the candidates.

    If matches are spread evenly, a walk looks at total / likely rows for each row of the page.
    """
    return wanted is not None and wanted * total < candidates * likely


def _walk(rows: Rows, indexes: Indexes, query: Query, tests: Tests, wanted: int | None) -> list[Row]:
    """Rows in the query's order from an order that is kept, until there are as many as wanted."""
    walk: Iterator[Row]
    if query.order_by is None:
        walk = iter(reversed(rows.values()) if query.descending else rows.values())
    else:
        index = indexes.sort(query.order_by, rows.values())
        low, high = index.bounds(query.conditions, query.order_by)
        places = range(high - 1, low - 1, -1) if query.descending else range(low, high)
        walk = map(index.rows.__getitem__, places)
    found: list[Row] = []
    while (wanted is None or len(found) < wanted) and (chunk := list(islice(walk, CHUNK))):
        found += _satisfying(chunk, tests)
    return found


def _satisfying(rows: Collection[Row], tests: Tests) -> list[Row]:
    satisfying = list(rows)
    for position, holds in tests:
        satisfying = [row for row in satisfying if holds(row.columns[position])]
    return satisfying


def _ordered(rows: list[Row], indexes: Indexes, query: Query, wanted: int | None) -> list[Row]:
    key: Any = attrgetter("order")
    if query.order_by is not None:
        position = indexes.position[query.order_by]
        key = lambda row: (*sort_key(row.columns[position]), row.order)  # noqa: E731
    if wanted is not None and wanted < len(rows) // 8:  # a heap of one page is cheaper than sorting all
        return (nlargest if query.descending else nsmallest)(wanted, rows, key=key)
    return sorted(rows, key=key, reverse=query.descending)
