"""When an attempt of a node, or of an array's element, has to have ended.

Rules: ``flytepropeller/pkg/controller/nodes/executor.go`` (execute): the time is looked at after the handler has run.
"""

from __future__ import annotations

import asyncio
from contextlib import suppress
from types import TracebackType
from typing import Protocol

from flytelite.engine.alarm import Alarm
from flytelite.engine.failures import NodeFailed, NodeTimedOut
from flytelite.errors import FlyteError

RECORD_SECONDS = 1.0
"""How long ending an attempt waits for the record that says why: a disk that is full may be full of it."""


class Late(Protocol):
    """Whose deadline it is."""

    def tell_late(self) -> None:
        """Record that the attempt is late."""

    async def durable(self) -> None:
        """Wait for the record."""


class Deadline:
    """Cancels the block that it is entered for when the time has come, as ``asyncio.timeout`` does.

    That it has come is on record before anything is ended: the next engine must not take the killed process for one
    that failed by itself. A time that came while no engine ran counts only once it is known that the attempt
    ``goes_on``, if there is something to ``take_up``: what has ended by now has ended in time.
    """

    def __init__(self, left: float, late: NodeFailed | NodeTimedOut, whose: Late, take_up: bool) -> None:
        self.late = late
        self._left = left
        self._whose = whose
        self._waits = take_up and left <= 0
        self._limit = asyncio.timeout(None)
        self._alarm: Alarm | None = None
        self._expiring: asyncio.Task[None] | None = None

    @property
    def passed(self) -> bool:
        """Whether the block is being ended, or was."""
        return self._limit.expired()

    @property
    def reason(self) -> str:
        """Why what runs inside of the node is ended."""
        return self.late.error.message if isinstance(self.late, NodeFailed) else "node timed out"

    def goes_on(self) -> None:
        """What an earlier engine began has not ended yet, or something new begins."""
        if self._waits:
            self._waits = False
            self._begin_to_expire()

    async def __aenter__(self) -> Deadline:
        await self._limit.__aenter__()
        if not self._waits:
            self._alarm = Alarm(self._left, self._begin_to_expire)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._waits = False
        if self._alarm is not None:
            self._alarm.cancel()
        if self._expiring is not None:
            self._expiring.cancel()
        await self._limit.__aexit__(kind, error, trace)

    def _begin_to_expire(self) -> None:
        self._expiring = asyncio.create_task(self._expire())

    async def _expire(self) -> None:
        with suppress(FlyteError, TimeoutError):  # what the record refuses, the node hears with its next event
            self._whose.tell_late()
            async with asyncio.timeout(RECORD_SECONDS):
                await self._whose.durable()
        self._limit.reschedule(asyncio.get_running_loop().time())
