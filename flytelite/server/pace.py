"""How work in the background leaves room for what others wait for."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from time import monotonic

STEP_SECONDS = 0.002
"""So long such work goes on before it pauses."""


class Pace:
    """Pauses of work that is done in small steps: each as long as the work since the last one took, so that half of
    the processor, the disk and the interpreter is for others.

    On the event loop, giving others their turn (``asyncio.sleep(0)``) is not enough. A loop that is never idle takes
    the interpreter's lock again before any other thread wakes up, so a thousand short steps in a row keep the journal's
    writer from its work as one long step would.
    """

    def __init__(self, hurried: Callable[[], bool] = lambda: False) -> None:
        """``hurried`` says whether the work is to be done without pauses from now on."""
        self._hurried = hurried
        self._since = monotonic()

    async def pause(self) -> None:
        """Pause work that is done on the event loop, or that it waits for."""
        worked = monotonic() - self._since
        if worked >= STEP_SECONDS:
            await asyncio.sleep(0 if self._hurried() else worked)
            self._since = monotonic()

    def rest(self) -> None:
        """Pause work that is done in a thread."""
        worked = monotonic() - self._since
        if worked >= STEP_SECONDS and not self._hurried():
            time.sleep(worked)
            self._since = monotonic()
