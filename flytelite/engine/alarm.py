"""Waiting for a moment that may be hours away, on a machine that sleeps and whose clock is set.

Rules: ``flytepropeller/pkg/controller/nodes/executor.go``: what has to end in time is measured by the clock.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable

LOOK_SECONDS = 60.0
"""How long the clock is not looked at. Timers stand still while the machine sleeps, and nothing tells afterwards."""


class Alarm:
    """Calls ``ring`` once so many seconds have passed: by the clock, or by the timer when the clock was set back."""

    def __init__(self, seconds: float, ring: Callable[[], None], clock: Callable[[], float] = time.time) -> None:
        self._loop = asyncio.get_running_loop()
        self._ring = ring
        self._clock = clock
        self._moment, self._due = clock() + seconds, self._loop.time() + seconds
        self._timer = self._loop.call_soon(self._look)

    def cancel(self) -> None:
        """Do not ring."""
        self._timer.cancel()

    def _look(self) -> None:
        left = min(self._moment - self._clock(), self._due - self._loop.time())
        if left > 0:
            self._timer = self._loop.call_later(min(left, LOOK_SECONDS), self._look)
        else:
            self._ring()


async def sleep(seconds: float) -> None:
    """Return once so many seconds have passed."""
    passed = asyncio.Event()
    alarm = Alarm(seconds, passed.set)
    try:
        await passed.wait()
    finally:
        alarm.cancel()
