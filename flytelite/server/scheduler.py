"""The scheduler: starts the executions of launch plans' schedules when their time has come.

Rules: flyteadmin/scheduler/core/gocron_scheduler.go, .../executor/executor_impl.go. What a server missed while it was
down it starts when it is up again, oldest first.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections import Counter
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

from flyteidl.admin import execution_pb2, project_pb2

from flytelite.errors import AlreadyExists, FlyteError, ResourceExhausted, Unavailable
from flytelite.server.admin.changes import Change, Changes, SchedulesChanged
from flytelite.server.admin.clock import Clock, now
from flytelite.server.admin.identifiers import entity_key
from flytelite.server.admin.schedules import Scheduled, Schedules, execution_request
from flytelite.server.store.interface import Store

LOOK_SECONDS = 60.0
"""How long the clock is not looked at while a schedule waits. Timers do not notice that the clock was set, and stand
still while the machine sleeps."""
RETRY_SECONDS = 1.0
"""Until the next attempt when the disk refused the last one."""

log = logging.getLogger(__name__)


class Scheduler:
    """Fires what is due, sleeps until the next time, and wakes when schedules start or stop.

    ``create`` is CreateExecution. ``outcomes`` counts what came of the times that were due: ``created``; ``skipped``
    when the execution was there already or as many run as may; ``refused``.
    """

    def __init__(
        self,
        schedules: Schedules,
        create: Callable[[execution_pb2.ExecutionCreateRequest], Any],
        store: Store,
        changes: Changes,
        clock: Clock = now,
    ) -> None:
        self._schedules = schedules
        self._create = create
        self._store = store
        self._changes = changes
        self._clock = clock
        self._changed = asyncio.Event()
        self._task: asyncio.Task[None] | None = None
        self.outcomes: Counter[str] = Counter()

    async def start(self) -> None:
        """Fire from now on, first of all what was missed."""
        self._task = asyncio.create_task(self._run(), name="scheduler")
        self._task.add_done_callback(_log_death)

    async def stop(self) -> None:
        """Fire no more."""
        if self._task is not None:
            self._task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._task

    async def _run(self) -> None:
        with self._changes.listening(self._listen):
            while True:
                self._changed.clear()
                scheduled = self._schedules.next()
                wait = self._seconds_until(scheduled)
                if scheduled is not None and wait is not None and wait <= 0:
                    await self._fire(scheduled)
                    continue
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(self._changed.wait(), wait)

    def _listen(self, change: Change) -> None:
        if isinstance(change, SchedulesChanged):
            self._changed.set()

    def _seconds_until(self, scheduled: Scheduled | None) -> float | None:
        if scheduled is None or scheduled.next is None:
            return None
        moment: datetime = self._clock().ToDatetime(UTC)
        return min((scheduled.next - moment).total_seconds(), LOOK_SECONDS)

    async def _fire(self, scheduled: Scheduled) -> None:
        """Start the execution, then note that this time is done; dying between the two, the next server finds the
        execution there already."""
        outcome = self._start(scheduled)
        if outcome is None:
            await asyncio.sleep(RETRY_SECONDS)
            return
        self.outcomes[outcome] += 1
        with self._store.batch(insist=True):
            self._schedules.fired(scheduled)
        await self._store.durable(patient=True)

    def _start(self, scheduled: Scheduled) -> str | None:
        """What came of it; None when the disk refuses, so that it must be tried again."""
        name = f"{entity_key(scheduled.launch_plan)} for {scheduled.next}"
        try:
            self._create(execution_request(scheduled))
        except AlreadyExists as error:
            log.info("schedule of %s: %s", name, error)
            return "skipped"
        except (ResourceExhausted, Unavailable) as error:
            log.warning("schedule of %s: waiting: %s", name, error)
            return None
        except FlyteError as error:
            inactive = any(isinstance(detail, project_pb2.InactiveProject) for detail in error.details)
            log.log(logging.INFO if inactive else logging.WARNING, "schedule of %s: refused: %s", name, error)
            return "refused"
        except Exception:
            log.exception("schedule of %s failed inside flytelite", name)
            return "refused"
        log.debug("schedule of %s: started", name)
        return "created"


def _log_death(task: asyncio.Task[None]) -> None:
    if not task.cancelled() and (error := task.exception()) is not None:
        log.error("the scheduler died of a bug; no schedule fires until the server is restarted", exc_info=error)
