"""Durations as Go reads them: ``300ms``, ``-1.5h``, ``2h45m``."""

from __future__ import annotations

import re
from decimal import Decimal

from google.protobuf import duration_pb2

_UNITS = {
    "ns": 1,
    "us": 10**3,
    "µs": 10**3,
    "μs": 10**3,
    "ms": 10**6,
    "s": 10**9,
    "m": 60 * 10**9,
    "h": 3600 * 10**9,
}
_PART = re.compile(r"(\d+\.?\d*|\.\d+)(ns|us|µs|μs|ms|s|m|h)")
_MOST = 2**63 - 1


def parse(text: str) -> duration_pb2.Duration:
    """The duration. Raises ValueError."""
    sign = -1 if text.startswith("-") else 1
    rest = text[1:] if text[:1] in ("-", "+") else text
    total = Decimal(0)
    position = 0
    for part in _PART.finditer(rest):
        if part.start() != position:
            break
        total += Decimal(part[1]) * _UNITS[part[2]]
        position = part.end()
    if rest != "0" and (not rest or position != len(rest)):
        raise ValueError(f"{text!r} is no duration; valid ones are e.g. 300ms, -1.5h, 2h45m")
    if total > _MOST:
        raise ValueError(f"the duration {text!r} is too long")
    nanoseconds = sign * int(total)
    duration = duration_pb2.Duration()
    duration.FromNanoseconds(nanoseconds)
    return duration
