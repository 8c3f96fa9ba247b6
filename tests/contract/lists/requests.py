"""Filters, sort keys and pages, as clients write them."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta, timezone

from hypothesis import strategies as st

from .columns import COLUMNS, Kind, List
from .model import SAME_TABLE, Filter, Row, Value

FUNCTIONS = ("eq", "ne", "gt", "gte", "lt", "lte", "value_in", "value_not_in", "contains", "not_like")
"""The last two are for text."""
WEST = timezone(-timedelta(hours=2))
RENAMED = {part: f"execution_{part}" for part in ("project", "domain", "name")}
"""What filters of task executions mean by these, though sort keys do not (manager/impl/util/filters.go)."""
PREFIXES = COLUMNS.keys() - {"description"}

OTHER: dict[Kind, list[Value]] = {
    Kind.TEXT: ["", "a", "%", "_", "%b", "a_", "x y", "SUCCEEDED", "é"],
    Kind.INTEGER: [0, 1, -1, 2, 10**12],
    Kind.TIMESTAMP: [0, 1_700_000_000_000_000_000, 1_700_000_060_500_000_000],
    Kind.DURATION: [0.0, 0.25, 60.25, -1.0],
    Kind.BLOB: ["", "1", "x"],
}


def written(value: Value, kind: Kind, other_style: bool = False) -> str:
    """The value as text of a filter."""
    if kind is Kind.TIMESTAMP:
        assert isinstance(value, int)
        seconds, nanoseconds = divmod(value, 10**9)
        moment = datetime.fromtimestamp(seconds, WEST if other_style else UTC).isoformat()
        return f"{moment[:19]}.{nanoseconds:09}{moment[19:] if other_style else 'Z'}"
    if kind is Kind.DURATION and other_style:
        return f"{value:.9f}s"  # Go's durations have no exponents
    return str(value)


def write(function: str, prefix: str | None, column: str, *values: str) -> str:
    """One filter."""
    return f"{function}({f'{prefix}.' if prefix else ''}{column},{';'.join(values)})"


@st.composite
def filters(draw: st.DrawFn, asked: List, rows: Sequence[Row]) -> tuple[str, list[Filter]]:
    """Filters that mostly speak of what is there: as text, and for the model."""
    texts, conditions = [], []
    own = [asked.entity] if asked.entity in PREFIXES else []
    for _ in range(draw(st.integers(0, 3)) if asked.filters else 0):
        prefix = draw(st.sampled_from([None, None, None, *own, *asked.joined]))
        columns = COLUMNS[prefix or asked.entity]
        column = draw(st.sampled_from(sorted(columns)))
        kind = columns[column]
        meant = column
        function = draw(st.sampled_from(FUNCTIONS if kind in (Kind.TEXT, Kind.BLOB) else FUNCTIONS[:-2]))
        joined = prefix if prefix in asked.joined else None
        if asked.entity == "task_execution" and joined is None:
            meant = RENAMED.get(column, column)
        found = {value for row in rows for value in _values(row, joined, meant)}
        candidates = sorted({*found, *OTHER[kind]} - {None, ""})  # type: ignore[type-var]
        many = 3 if function.startswith("value_") else 1
        values = draw(st.lists(st.sampled_from(candidates), min_size=1, max_size=many))
        texts.append(write(function, prefix, column, *(written(value, kind, draw(st.booleans())) for value in values)))
        conditions.append(Filter(function, joined, meant, tuple(values)))
    return "+".join(texts), conditions


def _values(row: Row, joined: str | None, column: str) -> list[Value]:
    if joined is None:
        return [row.columns[column]]
    return [other.columns[column] for other in row.joined.get(SAME_TABLE.get(joined, joined), ())]
