"""Indexes of a table's rows: by equal values, and by orders."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator

from flytelite.server.store.interface import Condition, Operator, Scalar, TableSchema
from flytelite.server.store.orderings import Ordering
from flytelite.server.store.rows import Row

Group = dict[Row, None]
"""Rows in the order in which they got their value: most were made one after the other, and are near in memory too."""

_NONE: Group = {}


class EqualityIndex:
    """The rows of each value of one column."""

    def __init__(self, position: int, rows: Iterable[Row] = ()) -> None:
        self._position = position
        groups: defaultdict[Scalar, list[Row]] = defaultdict(list)
        for row in rows:
            groups[row.columns[position]].append(row)
        self._rows = {value: dict.fromkeys(group) for value, group in groups.items()}

    def add(self, row: Row) -> None:
        self._rows.setdefault(row.columns[self._position], {})[row] = None

    def remove(self, row: Row) -> None:
        value = row.columns[self._position]
        rows = self._rows[value]
        del rows[row]
        if not rows:
            del self._rows[value]

    def groups(self, condition: Condition) -> list[Group] | None:
        """Disjoint groups that together hold the rows satisfying an EQUAL or IN; None for another operator."""
        if condition.operator is Operator.EQUAL and len(condition.values) == 1:
            return [self._rows.get(condition.values[0], _NONE)]
        if condition.operator is Operator.IN:
            return [self._rows.get(value, _NONE) for value in set(condition.values) if value is not None]
        return None

    def others(self, condition: Condition) -> Iterator[Row]:
        """The rows that are not in the ``groups`` of an EQUAL or IN."""
        for value, rows in self._rows.items():
            if value not in condition.values or (value is None and condition.operator is Operator.IN):
                yield from rows


class Indexes:
    """All indexes of one table. A column that is not declared ``sorted`` is put in order when first sorted by."""

    def __init__(self, schema: TableSchema) -> None:
        self.schema = schema
        self.columns = tuple(sorted(schema.columns | schema.indexed | schema.sorted))
        self.position = {column: position for position, column in enumerate(self.columns)}
        self.load(())

    def load(self, rows: Collection[Row]) -> None:
        """Index rows that came all at once, which is far cheaper than one by one."""
        self.inserted = Ordering(rows=rows)
        self.equality = {column: EqualityIndex(self.position[column], rows) for column in sorted(self.schema.indexed)}
        self.sorted: dict[str, Ordering] = {}
        self._of_columns: list[tuple[int, EqualityIndex | Ordering]] = [
            (self.position[column], index) for column, index in self.equality.items()
        ]
        for column in sorted(self.schema.sorted):
            self.ordering(column)

    def ordering(self, column: str | None) -> Ordering:
        """All rows in the order of that column, or of insertion."""
        if column is None:
            return self.inserted
        if column not in self.sorted:
            position = self.position[column]
            self.sorted[column] = Ordering(column, position, self.inserted)
            self._of_columns.append((position, self.sorted[column]))
        return self.sorted[column]

    def add(self, row: Row) -> None:
        self.inserted.add(row)
        for _, index in self._of_columns:
            index.add(row)

    def remove(self, row: Row) -> None:
        self.inserted.remove(row)
        for _, index in self._of_columns:
            index.remove(row)

    def move(self, row: Row, columns: tuple[Scalar, ...]) -> None:
        """Give an indexed row other columns."""
        old = row.columns
        if columns == old:
            return
        changed = [index for position, index in self._of_columns if old[position] != columns[position]]
        self.inserted.touch(row)
        for _, index in self._of_columns:
            if index in changed:
                index.remove(row)
            elif isinstance(index, Ordering):
                index.touch(row)
        row.columns = columns
        for index in changed:
            index.add(row)
