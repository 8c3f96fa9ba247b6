"""What one condition of a query means, as a test of one column's value; and the order of values."""

from __future__ import annotations

import operator
import re
from collections.abc import Callable
from typing import Any

from flytelite.errors import Internal
from flytelite.server.store.interface import Condition, Operator, Scalar

Test = Callable[[Scalar], bool]

_WILDCARDS = frozenset("%_\\")
_NUMBER, _TEXT, _MISSING = range(3)


def sort_key(value: Scalar) -> tuple[int, Any]:
    """Orders any two scalars: numbers, then text, then None, which PostgreSQL sorts as greater than all else."""
    if value is None:
        return _MISSING, 0
    return (_TEXT, value) if isinstance(value, str) else (_NUMBER, value)


def test(condition: Condition) -> Test:
    """The condition as a function of its column's value. Raises Internal when the number of values is wrong."""
    values = condition.values
    if condition.operator is Operator.IN:
        members = frozenset(value for value in values if value is not None)
        return lambda value: value is not None and value in members
    if condition.operator is Operator.NOT_IN:
        return _not_in(values)
    if len(values) != 1:
        raise Internal(f"{condition.operator.value} of column {condition.column} takes one value, not {len(values)}")
    return _SINGLE[condition.operator](values[0])


def like(pattern: str) -> re.Pattern[str]:
    """SQL's LIKE pattern as a regular expression for ``fullmatch``: % is any text, _ any character, \\ escapes.

    Each run up to a % is an atomic group, so that no pattern, however hostile, makes the match backtrack.
    """
    runs: list[str] = [""]
    escaped = False
    for character in pattern:
        if escaped:
            runs[-1] += re.escape(character)
            escaped = False
        elif character == "\\":
            escaped = True
        elif character == "%":
            runs.append("")
        else:
            runs[-1] += "." if character == "_" else re.escape(character)
    if escaped:
        runs[-1] += re.escape("\\")
    if len(runs) == 1:
        return re.compile(runs[0], re.DOTALL)
    first, *middle, last = runs
    return re.compile(first + "".join(f"(?>.*?{run})" for run in middle if run) + f".*{last}", re.DOTALL)


def _equal(wanted: Scalar) -> Test:
    if wanted is None:
        return lambda value: value is None
    return lambda value: value == wanted


def _not_equal(unwanted: Scalar) -> Test:
    if unwanted is None:
        return lambda value: value is not None
    return lambda value: value is not None and value != unwanted


def _not_in(values: tuple[Scalar, ...]) -> Test:
    if None in values:  # SQL: nothing is known to differ from NULL
        return lambda value: False
    members = frozenset(values)
    return lambda value: value is not None and value not in members


def _compared(compare: Callable[[Any, Any], bool]) -> Callable[[Scalar], Test]:
    def against(bound: Scalar) -> Test:
        if bound is None:
            return lambda value: False
        kinds = (str,) if isinstance(bound, str) else (int, float)
        return lambda value: isinstance(value, kinds) and compare(value, bound)

    return against


def _contains(part: Scalar) -> Test:
    if part is None:
        return lambda value: False
    text = str(part)
    if not _WILDCARDS.intersection(text):
        return lambda value: value is not None and text in str(value)
    match = like(f"%{text}%").fullmatch
    return lambda value: value is not None and match(str(value)) is not None


def _not_like(pattern: Scalar) -> Test:
    if pattern is None:
        return lambda value: False
    match = like(str(pattern)).fullmatch
    return lambda value: value is not None and match(str(value)) is None


_SINGLE: dict[Operator, Callable[[Scalar], Test]] = {
    Operator.EQUAL: _equal,
    Operator.NOT_EQUAL: _not_equal,
    Operator.GREATER: _compared(operator.gt),
    Operator.GREATER_OR_EQUAL: _compared(operator.ge),
    Operator.LESS: _compared(operator.lt),
    Operator.LESS_OR_EQUAL: _compared(operator.le),
    Operator.CONTAINS: _contains,
    Operator.NOT_LIKE: _not_like,
}
