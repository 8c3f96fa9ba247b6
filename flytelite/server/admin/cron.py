"""Cron expressions of launch plan schedules: five fields, or a descriptor such as ``@daily`` or ``@every 90m``.

They are what FlyteAdmin's parser accepts, https://pkg.go.dev/github.com/robfig/cron/v3 (ParseStandard), and fire when
its scheduler does. Times are UTC, as Flyte's documentation has them, unless the expression names a time zone.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta, tzinfo

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
_YEARS = 5
"""How far ahead a time is looked for; what does not fire until then, such as 30 February, never does."""
_MINUTE = timedelta(minutes=1)
_NUMBER = re.compile(r"\+?[0-9]{1,9}")


@dataclass(frozen=True)
class Field:
    """One field: the values at which it fires, and whether it was written as a plain ``*`` or ``?``."""

    values: frozenset[int]
    any: bool


@dataclass(frozen=True)
class Cron:
    """Fires at each minute that all fields agree on; ``days`` and ``weekdays`` need both only when one is ``any``.

    Weekday 0 is Sunday. Times are those of ``timezone``, None being the machine's own. A time that a clock set forward
    leaves out does not fire that day, and one that a clock set back repeats fires twice.
    """

    minutes: Field
    hours: Field
    days: Field
    months: Field
    weekdays: Field
    timezone: tzinfo | None = UTC

    def next_after(self, moment: datetime) -> datetime | None:
        """The first time later than ``moment``, which knows its time zone; None when it does not fire within years."""
        if not all(field.values for field in (self.minutes, self.hours, self.days, self.months, self.weekdays)):
            return None
        candidate = moment.astimezone(UTC).replace(second=0, microsecond=0) + _MINUTE
        last_year = candidate.year + _YEARS
        while True:
            local = candidate.astimezone(self.timezone)
            if local.year > min(last_year, datetime.max.year - 1):
                return None
            if not self._includes(local.date()):
                candidate = self._start_of(local.date() + timedelta(days=1))
            elif local.hour not in self.hours.values:
                candidate += _MINUTE * (60 - local.minute)
            elif local.minute not in self.minutes.values:
                candidate += _MINUTE
            else:
                return candidate

    def _includes(self, day: date) -> bool:
        of_month, of_week = day.day in self.days.values, day.isoweekday() % 7 in self.weekdays.values
        either = of_month and of_week if self.days.any or self.weekdays.any else of_month or of_week
        return either and day.month in self.months.values

    def _start_of(self, day: date) -> datetime:
        return datetime.combine(day, time(), self.timezone).astimezone(UTC)


@dataclass(frozen=True)
class Every:
    """Fires each time so many whole seconds have passed."""

    seconds: int

    def next_after(self, moment: datetime) -> datetime | None:
        """The first time later than ``moment``, when it fired last; None beyond all years."""
        try:
            return moment.astimezone(UTC).replace(microsecond=0) + timedelta(seconds=self.seconds)
        except OverflowError:
            return None


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
    timezone: tzinfo | None = UTC
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


def _timezone(name: str) -> tzinfo | None:
    if name == "Local":
        return None
    if name in ("", "UTC"):
        return UTC
    from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

    try:
        return ZoneInfo(name)
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
