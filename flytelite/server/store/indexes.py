"""Indexes of a table's rows: by equal values, and by order of values."""

from __future__ import annotations

from bisect import bisect_left, bisect_right, insort
from collections.abc import Iterable
from typing import Any

from flytelite.server.store.conditions import sort_key
from flytelite.server.store.interface import Condition, Operator, Scalar, TableSchema
from flytelite.server.store.rows import Row

_NONE: frozenset[Row] = frozenset()


class EqualityIndex:
    """The rows of each value of one column."""

    def __init__(self, position: int) -> None:
        self._position = position
        self._rows: dict[Scalar, set[Row]] = {}

    def add(self, row: Row) -> None:
        self._rows.setdefault(row.columns[self._position], set()).add(row)

    def remove(self, row: Row) -> None:
        value = row.columns[self._position]
        rows = self._rows[value]
        rows.remove(row)
        if not rows:
            del self._rows[value]

    def groups(self, condition: Condition) -> list[set[Row] | frozenset[Row]] | None:
        """Disjoint sets that together hold the rows satisfying an EQUAL or IN; None for another operator."""
        if condition.operator is Operator.EQUAL and len(condition.values) == 1:
            return [self._rows.get(condition.values[0], _NONE)]
        if condition.operator is Operator.IN:
            return [self._rows.get(value, _NONE) for value in set(condition.values) if value is not None]
        return None


class SortedIndex:
    """All rows by the value of one column, equal values by insertion order."""

    def __init__(self, position: int, rows: Iterable[Row] = ()) -> None:
        self._position = position
        self.rows = sorted(rows, key=self.key)

    def key(self, row: Row) -> tuple[int, Any, int]:
        """What the rows are ordered by."""
        return *sort_key(row.columns[self._position]), row.order

    def add(self, row: Row) -> None:
        if not self.rows or self.key(self.rows[-1]) < self.key(row):  # the usual case: time goes on
            self.rows.append(row)
        else:
            insort(self.rows, row, key=self.key)

    def remove(self, row: Row) -> None:
        del self.rows[bisect_left(self.rows, self.key(row), key=self.key)]

    def bounds(self, conditions: Iterable[Condition], column: str) -> tuple[int, int]:
        """The slice outside of which no row satisfies all comparisons of ``column``, whose order this is."""
        low, high = 0, len(self.rows)
        for condition in conditions:
            if condition.column != column or len(condition.values) != 1 or condition.values[0] is None:
                continue
            bound = sort_key(condition.values[0])
            match condition.operator:
                case Operator.GREATER:
                    low = max(low, bisect_right(self.rows, bound, key=self._value_key))
                case Operator.GREATER_OR_EQUAL:
                    low = max(low, bisect_left(self.rows, bound, key=self._value_key))
                case Operator.LESS:
                    high = min(high, bisect_left(self.rows, bound, key=self._value_key))
                case Operator.LESS_OR_EQUAL:
                    high = min(high, bisect_right(self.rows, bound, key=self._value_key))
        return low, max(low, high)

    def _value_key(self, row: Row) -> tuple[int, Any]:
        return sort_key(row.columns[self._position])


class Indexes:
    """All indexes of one table. A column that is not declared ``sorted`` is indexed when first sorted by."""

    def __init__(self, schema: TableSchema) -> None:
        self.columns = tuple(sorted(schema.columns | schema.indexed | schema.sorted))
        self.position = {column: position for position, column in enumerate(self.columns)}
        self.equality = {column: EqualityIndex(self.position[column]) for column in sorted(schema.indexed)}
        self.sorted = {column: SortedIndex(self.position[column]) for column in sorted(schema.sorted)}

    def load(self, rows: Iterable[Row]) -> None:
        """Index rows that came all at once, which is far cheaper than one by one."""
        rows = tuple(rows)
        for equality in self.equality.values():
            for row in rows:
                equality.add(row)
        for column in self.sorted:
            self.sorted[column] = SortedIndex(self.position[column], rows)

    def sort(self, column: str, rows: Iterable[Row]) -> SortedIndex:
        """The order of that column; ``rows`` are all rows of the table."""
        if column not in self.sorted:
            self.sorted[column] = SortedIndex(self.position[column], rows)
        return self.sorted[column]

    def add(self, row: Row) -> None:
        for _, index in self._all():
            index.add(row)

    def remove(self, row: Row) -> None:
        for _, index in self._all():
            index.remove(row)

    def move(self, row: Row, columns: tuple[Scalar, ...]) -> None:
        """Give an indexed row other columns."""
        old = row.columns
        changed = [
            index
            for column, index in self._all()
            if sort_key(old[self.position[column]]) != sort_key(columns[self.position[column]])
        ]
        for index in changed:
            index.remove(row)
        row.columns = columns
        for index in changed:
            index.add(row)

    def _all(self) -> list[tuple[str, EqualityIndex | SortedIndex]]:
        return [*self.equality.items(), *self.sorted.items()]
