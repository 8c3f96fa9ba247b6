"""The conditions of a query as a filter of rows."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any

from flytelite.server.store.conditions import test
from flytelite.server.store.interface import Condition, Operator
from flytelite.server.store.rows import Row

Keep = Callable[[Sequence[Row]], list[Row]]


class RowFilter:
    """Keeps the rows that satisfy all conditions.

    ``name`` tells filters of one table apart. Conditions in ``certain`` are satisfied by all rows at the moment, and
    need no test; the others are ``uncertain``.
    """

    def __init__(
        self, conditions: Sequence[Condition], positions: Mapping[str, int], certain: Collection[Condition] = ()
    ) -> None:
        """``positions`` are those of the columns in a row. Raises Internal when a number of values is wrong."""
        self.conditions = conditions
        self.name = repr(conditions)
        self.uncertain = tuple(one for one in conditions if one not in certain)
        self._keeps = [_keep(one, positions[one.column]) for one in self.uncertain]

    def keep(self, rows: Sequence[Row]) -> Sequence[Row]:
        """Those of the rows that satisfy all conditions, in their order."""
        for keep in self._keeps:
            rows = keep(rows)
        return rows


def _keep(condition: Condition, position: int) -> Keep:
    """Keeps the rows whose column satisfies the condition; for the usual ones without a call for each row."""
    holds = test(condition)
    value = condition.values[0] if len(condition.values) == 1 else None
    quick = _QUICK.get(condition.operator)
    if value is None or quick is None:
        return lambda rows: [row for row in rows if holds(row.columns[position])]

    def keep(rows: Sequence[Row]) -> list[Row]:
        try:
            return quick(rows, position, value)
        except TypeError:  # some values are missing, or of another kind
            return [row for row in rows if holds(row.columns[position])]

    return keep


_QUICK: Mapping[Operator, Callable[[Sequence[Row], int, Any], list[Row]]] = {
    Operator.EQUAL: lambda rows, at, value: [row for row in rows if row.columns[at] == value],
    Operator.GREATER: lambda rows, at, value: [row for row in rows if row.columns[at] > value],
    Operator.GREATER_OR_EQUAL: lambda rows, at, value: [row for row in rows if row.columns[at] >= value],
    Operator.LESS: lambda rows, at, value: [row for row in rows if row.columns[at] < value],
    Operator.LESS_OR_EQUAL: lambda rows, at, value: [row for row in rows if row.columns[at] <= value],
}
"""The comparisons among values of one kind."""
