"""The filter expressions of list requests: ``eq(project.name,flytesnacks)+gte(created_at,2024-01-01T00:00:00Z)``.

How the values of columns are kept in documents, and so how filters compare them:

- TEXT: the text itself; phases and other enums by name in upper case (``SUCCEEDED``)
- INTEGER: an int
- TIMESTAMP: UTC text with nine digits of fraction, ``2024-05-24T21:43:12.000000000Z`` (``timestamp_text``), whose
  order as text is its order in time
- DURATION: seconds as a float (``duration_seconds``)
- OPAQUE: known by name, kept nowhere (``closure``, ``digest``, ``deleted_at``): satisfies no comparison

Source of the grammar: flyteadmin/pkg/manager/impl/util/filters.go, flyteadmin/pkg/common/filters.go.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC, date, datetime
from enum import StrEnum
from functools import lru_cache
from math import inf

from google.protobuf import duration_pb2, timestamp_pb2

from flytelite.errors import InvalidArgument
from flytelite.server.admin import durations
from flytelite.server.admin.validation import invalid
from flytelite.server.store.interface import Condition, Operator, Scalar

PREFIXES = {
    "task": "t",
    "workflow": "w",
    "launch_plan": "l",
    "execution": "e",
    "node_execution": "ne",
    "task_execution": "te",
    "entities": "nen",
    "named_entity_metadata": "nem",
    "project": "p",
    "signal": "s",
    "admin_tag": "at",
    "execution_admin_tag": "eat",
    "execution_tag": "et",
}
"""The entities that a field can name before its first dot, and their codes in error messages."""

_MANY = frozenset({Operator.IN, Operator.NOT_IN})
_PATTERNS = frozenset({Operator.CONTAINS, Operator.NOT_LIKE})
_SPACE = " \t\n\f\r"
_INTEGER = re.compile(r"\s*[+-]?[0-9]{1,19}\s*")
_NUMBER = re.compile(r"[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]{1,3})?")
_EPOCH = date(1970, 1, 1).toordinal()
_FRACTION = re.compile(r"(.*[0-9:])[.,]([0-9]+)(.*)")


class Kind(StrEnum):
    """How a column's values are kept; see the module's text."""

    TEXT = "text"
    INTEGER = "integer"
    TIMESTAMP = "timestamp"
    DURATION = "duration"
    OPAQUE = "opaque"


@dataclass(frozen=True)
class Filter:
    """One expression, unchecked: the function's name, the entity it names (None: the listed one), field and values."""

    function: str
    entity_prefix: str | None
    field: str
    values: tuple[str, ...]


def parse(text: str) -> list[Filter]:
    """The expressions of a request's ``filters``, which all must hold; none for the empty text.

    Raises InvalidArgument ``invalid value for filters`` when an expression is malformed.
    """
    return [_expression(part) for part in text.split("+")] if text else []


def _expression(text: str) -> Filter:
    # The same split as the greedy regular expression (.+)\((.+),\s?(.+)\), without its backtracking.
    end = text.rfind(")")
    comma = text.rfind(",", 0, max(end - 1, 0))
    parenthesis = text.rfind("(", 1, max(comma - 1, 1))
    if end < 0 or comma < 0 or parenthesis < 0:
        raise invalid("filters")
    value = text[comma + 1 : end]
    if len(value) > 1 and value[0] in _SPACE:
        value = value[1:]
    prefix, dot, rest = text[parenthesis + 1 : comma].partition(".")
    named = bool(dot) and prefix in PREFIXES
    return Filter(
        function=text[:parenthesis],
        entity_prefix=prefix if named else None,
        field=rest if named else text[parenthesis + 1 : comma],
        values=tuple(value.split(";")),
    )


def condition(filter: Filter, column: str, kind: Kind) -> Condition:
    """The filter as a comparison of that column.

    Raises InvalidArgument for a value that is none of the kind, an unknown function, a function that does not fit
    the kind, and several values where the function takes one (the last two fail in FlyteAdmin's database).
    """
    values = tuple(_value(value, kind, filter.field) for value in filter.values)
    try:
        operator = Operator(filter.function)
    except ValueError:
        raise InvalidArgument(f"unrecognized filter function: {filter.function}") from None
    if operator not in _MANY and len(values) != 1:
        raise InvalidArgument(f"filter function {operator} takes one value, got {len(values)} for {filter.field}")
    if operator in _PATTERNS and kind not in (Kind.TEXT, Kind.OPAQUE):
        raise InvalidArgument(f"filter function {operator} cannot be applied to {filter.field}, which is no text")
    return Condition(column, operator, values)


def timestamp_text(stamp: timestamp_pb2.Timestamp) -> str:
    """A Timestamp as a TIMESTAMP column keeps it."""
    return f"{_second_text(stamp.seconds)}.{stamp.nanos:09}Z"


@lru_cache(maxsize=1024)  # what belongs together happens together
def _second_text(since_epoch: int) -> str:
    days, rest = divmod(since_epoch, 86400)
    hours, rest = divmod(rest, 3600)
    minutes, seconds = divmod(rest, 60)
    return f"{date.fromordinal(_EPOCH + days)}T{hours:02}:{minutes:02}:{seconds:02}"


def duration_seconds(duration: duration_pb2.Duration) -> float:
    """A Duration as a DURATION column keeps it."""
    return float(duration.seconds + duration.nanos / 1e9)


def _value(text: str, kind: Kind, field: str) -> Scalar:
    if kind is Kind.INTEGER:
        if not _INTEGER.fullmatch(text):
            raise InvalidArgument(f"invalid value [{text}] for {field}: an integer is needed")
        return int(text)
    if kind is Kind.TIMESTAMP:
        return _moment(text, field)
    if kind is Kind.DURATION:
        return _duration(text)
    return text


def _moment(text: str, field: str) -> str:
    fraction = _FRACTION.fullmatch(text.strip())
    whole, digits = (fraction[1] + fraction[3], fraction[2]) if fraction else (text.strip(), "")
    try:
        moment = datetime.fromisoformat(whole)
        moment = moment.astimezone(UTC) if moment.tzinfo else moment.replace(tzinfo=UTC)
    except (ValueError, OverflowError):
        raise InvalidArgument(f"invalid value [{text}] for {field}: an RFC 3339 timestamp is needed") from None
    return f"{moment.replace(tzinfo=None, microsecond=0).isoformat()}.{digits[:9]:0<9}Z"


def _duration(text: str) -> float:
    try:
        seconds = float(text) if _NUMBER.fullmatch(text) else durations.parse(text)
    except ValueError:
        seconds = inf
    if abs(seconds) > durations.MAX_SECONDS:
        raise InvalidArgument(f"Failed to parse duration [{text}]")
    return seconds
