"""What a list answers, by looking at every row: SQL's rules, as FlyteAdmin's database has them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from typing import Any

Value = str | int | float | None


@dataclass(frozen=True)
class Row:
    """A row: what the answer calls it, its columns, and the rows of other tables that are joined to it."""

    name: Any
    columns: Mapping[str, Value]
    joined: Mapping[str, Sequence[Row]] = field(default_factory=dict)


@dataclass(frozen=True)
class Filter:
    """A condition on a column of the listed entity (``prefix`` is None) or of a joined one."""

    function: str
    prefix: str | None
    column: str
    values: tuple[Value, ...]

    def holds(self, row: Row) -> bool:
        value, wanted = row.columns[self.column], self.values[0]
        if value is None:
            return False  # nothing is known of NULL
        match self.function:
            case "eq":
                return value == wanted
            case "ne":
                return value != wanted
            case "gt":
                return value > wanted  # type: ignore[operator]
            case "gte":
                return value >= wanted  # type: ignore[operator]
            case "lt":
                return value < wanted  # type: ignore[operator]
            case "lte":
                return value <= wanted  # type: ignore[operator]
            case "value_in":
                return value in self.values
            case "value_not_in":
                return value not in self.values
            case "contains":
                return like(str(value), f"%{wanted}%")
            case "not_like":
                return not like(str(value), str(wanted))
        raise ValueError(self.function)


@cache
def like(text: str, pattern: str) -> bool:
    """SQL's LIKE, without escapes."""
    if not pattern:
        return not text
    if pattern[0] == "%":
        return any(like(text[start:], pattern[1:]) for start in range(len(text) + 1))
    return bool(text) and pattern[0] in ("_", text[0]) and like(text[1:], pattern[1:])


SAME_TABLE = {"admin_tag": "execution_tag"}


def listed(
    rows: Sequence[Row], filters: Sequence[Filter], sort_by: str | None = None, descending: bool = False
) -> list[Any]:
    """The names of the rows, in order; a row shows up once for each row joined to it that fits the filters."""
    found = [row for row in rows for _ in range(times(row, filters))]
    if sort_by is not None:
        # NULL is greater than all else, and rows that are alike come as they were inserted.
        found.sort(key=lambda row: ((value := row.columns[sort_by]) is None, 0 if value is None else value))
    return [row.name for row in (reversed(found) if descending else found)]


def times(row: Row, filters: Sequence[Filter]) -> int:
    if not all(filter.holds(row) for filter in filters if filter.prefix is None):
        return 0
    count = 1
    by_table: dict[str, list[Filter]] = {}
    for filter in filters:
        if filter.prefix is not None:
            by_table.setdefault(SAME_TABLE.get(filter.prefix, filter.prefix), []).append(filter)
    for table, together in by_table.items():
        count *= sum(all(filter.holds(other) for filter in together) for other in row.joined.get(table, ()))
    return count
