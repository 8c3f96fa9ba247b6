"""How many files the server may have open, which is not what its tasks may.

Each attempt that runs takes a descriptor or two, and each client one. What users and macOS set for programs that know
nothing better (256, 1024) is soon used up; tasks get what they would have without a server.
"""

from __future__ import annotations

import contextlib
import resource

ENOUGH = 65536
ALWAYS = 10240
"""What macOS grants whatever it says of more."""

_given, _most = resource.getrlimit(resource.RLIMIT_NOFILE)


def given() -> int:
    """What this process could have open when it was started, and its tasks can."""
    return _given


def raise_limit() -> None:
    """Have this process open as many files as it may, up to what is surely enough."""
    for wanted in (ENOUGH, ALWAYS):
        most = wanted if _most == resource.RLIM_INFINITY else min(wanted, _most)
        if 0 <= _given < most:
            with contextlib.suppress(OSError, ValueError):
                resource.setrlimit(resource.RLIMIT_NOFILE, (most, _most))
                return
