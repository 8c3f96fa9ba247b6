"""Cron expressions of launch plan schedules: five fields, or a descriptor such as ``@daily`` or ``@every 90m``.

They are what FlyteAdmin's parser accepts, https://pkg.go.dev/github.com/robfig/cron/v3 (ParseStandard).
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from flytelite.server.admin import durations

_DESCRIPTORS = {
    "@yearly": "0 0 1 1 *",
    "@annually": "0 0 1 1 *",
    "@monthly": "0 0 1 * *",
    "@weekly": "0 0 * * 0",
    "@daily": "0 0 * * *",
    "@midnight": "0 0 * * *",
    "@hourly": "0 * * * *",
}
_MONTHS = ["jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"]
_WEEKDAYS = ["sun", "mon", "tue", "wed", "thu", "fri", "sat"]
_EVERY = "@every "
_NUMBER = re.compile(r"\+?[0-9]{1,9}")


@dataclass(frozen=True)
class Field:
    """One field: the values at which it fires, and whether it was written as a plain ``*`` or ``?``."""

    values: frozenset[int]
    any: bool


@dataclass(frozen=True)
class Cron:
    """Fires at each minute that all fields agree on; ``days`` and ``weekdays`` need both only when one is ``any``.

    Weekday 0 is Sunday. Without a ``timezone`` times are those of the server.
    """

    minutes: Field
    hours: Field
    days: Field
    months: Field
    weekdays: Field
    timezone: ZoneInfo | None = None


@dataclass(frozen=True)
class Every:
    """Fires each time so many whole seconds have passed."""

    seconds: int


@dataclass(frozen=True)
class _Bounds:
    low: int
    high: int
    names: Mapping[str, int]


_BOUNDS = (
    _Bounds(0, 59, {}),
    _Bounds(0, 23, {}),
    _Bounds(1, 31, {}),
    _Bounds(1, 12, {name: number for number, name in enumerate(_MONTHS, 1)}),
    _Bounds(0, 6, {name: number for number, name in enumerate(_WEEKDAYS)}),
)


def parse(text: str) -> Cron | Every:
    """The schedule that the text stands for. Raises ValueError saying what is wrong."""
    timezone = None
    expression = text
    if text.startswith(("TZ=", "CRON_TZ=")):
        zone, _, expression = text.partition("=")[2].partition(" ")
        expression = expression.strip()
        timezone = _timezone(zone)
    if expression.startswith(_EVERY):
        return Every(max(int(_duration(expression)), 1))
    if expression.startswith("@") and expression not in _DESCRIPTORS:
        raise ValueError(f"unrecognized descriptor: {expression}")
    fields = _DESCRIPTORS.get(expression, expression).split()
    if len(fields) != len(_BOUNDS):
        raise ValueError(f"expected exactly {len(_BOUNDS)} fields, found {len(fields)}: {text}")
    minutes, hours, days, months, weekdays = map(_field, fields, _BOUNDS)
    return Cron(minutes, hours, days, months, weekdays, timezone)


def _timezone(name: str) -> ZoneInfo | None:
    if name == "Local":
        return None
    try:
        return ZoneInfo(name or "UTC")
    except (ZoneInfoNotFoundError, ValueError, OSError):
        raise ValueError(f"unknown time zone {name}") from None


def _duration(expression: str) -> float:
    try:
        return durations.parse(expression.removeprefix(_EVERY))
    except ValueError as error:
        raise ValueError(f"{expression} has no duration: {error}") from None


def _field(text: str, bounds: _Bounds) -> Field:
    values: set[int] = set()
    any = False
    for part in filter(None, text.split(",")):
        start, end, step, starred = _range(part, bounds)
        values.update(range(start, end + 1, step))
        any |= starred
    return Field(frozenset(values), any)


def _range(text: str, bounds: _Bounds) -> tuple[int, int, int, bool]:
    span, *steps = text.split("/")
    low, *highs = span.split("-")
    if len(highs) > 1 or len(steps) > 1:
        raise ValueError(f"too many hyphens or slashes: {text}")
    step = _number(steps[0], text) if steps else 1
    if low in ("*", "?"):
        start, end = bounds.low, bounds.high
    else:
        start = _number_or_name(low, bounds, text)
        end = _number_or_name(highs[0], bounds, text) if highs else start
        if steps and not highs:
            end = bounds.high
    if start < bounds.low or end > bounds.high:
        raise ValueError(f"{text} goes beyond {bounds.low} to {bounds.high}")
    if start > end:
        raise ValueError(f"the beginning of {text} lies beyond its end")
    if step == 0:
        raise ValueError(f"the step of {text} must not be 0")
    return start, end, step, low in ("*", "?") and step == 1


def _number_or_name(text: str, bounds: _Bounds, part: str) -> int:
    named = bounds.names.get(text.lower())
    return _number(text, part) if named is None else named


def _number(text: str, part: str) -> int:
    if not _NUMBER.fullmatch(text):
        raise ValueError(f"{text!r} in {part} is no number")
    return int(text)
