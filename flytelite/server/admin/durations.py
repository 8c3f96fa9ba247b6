"""Durations as Go writes them: ``1h30m``, ``-250ms``."""

from __future__ import annotations

import re

MAX_SECONDS = 9223372036.854775
"""What Go's 64-bit nanoseconds can say."""

_PART = re.compile(r"([0-9]+\.?[0-9]*|\.[0-9]+)(ns|us|µs|μs|ms|s|m|h)")
_SECONDS = {"ns": 1e-9, "us": 1e-6, "µs": 1e-6, "μs": 1e-6, "ms": 1e-3, "s": 1.0, "m": 60.0, "h": 3600.0}


def parse(text: str) -> float:
    """The seconds that the text stands for (https://pkg.go.dev/time#ParseDuration). Raises ValueError."""
    sign, unsigned = (text[0], text[1:]) if text[:1] in ("+", "-") else ("", text)
    if unsigned == "0":
        return 0.0
    parts = list(_PART.finditer(unsigned))
    if not parts or "".join(part[0] for part in parts) != unsigned:
        raise ValueError("numbers with units such as 1h30m, 10s or 250ms are needed")
    seconds = sum(float(part[1]) * _SECONDS[part[2]] for part in parts)
    if seconds > MAX_SECONDS:
        raise ValueError("it is too long")
    return -seconds if sign == "-" else seconds
