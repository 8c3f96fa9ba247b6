"""One element of an array node: its attempts, and what it remembers of them."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from flyteidl.core import execution_pb2, literals_pb2, tasks_pb2
from google.protobuf import struct_pb2

from flytelite.engine import attempts, data, naming, notes, plugins
from flytelite.engine.attempts import SUBMITTED
from flytelite.engine.catalog import Artifact
from flytelite.engine.events import TASK_TERMINAL, TaskPhase, aborted_if_begun, usage
from flytelite.engine.executors.interface import Outcome
from flytelite.engine.failures import (
    NodeFailed,
    fresh_note,
    max_attempts,
    next_attempt,
    seconds,
    spend,
    timeout_expired,
    verdict,
)
from flytelite.engine.nodes import caching
from flytelite.engine.nodes.deadline import Deadline
from flytelite.engine.nodes.node import NodeRun
from flytelite.engine.nodes.progress import Progress
from flytelite.engine.places import Places, Slot, is_running
from flytelite.engine.record import Note, UnsyncedFiles
from flytelite.engine.tasks import results
from flytelite.engine.tasks.node_overrides import as_overridden
from flytelite.engine.waiting import persistently

if TYPE_CHECKING:
    from flytelite.engine.nodes.array_report import ArrayReport


class Element:
    """``phase`` is a task phase, UNDEFINED until the first attempt; ``error`` is set when the element failed."""

    def __init__(
        self,
        node: NodeRun,
        template: tasks_pb2.TaskTemplate,
        index: int,
        report: ArrayReport,
        inputs: Callable[[int], literals_pb2.LiteralMap],
    ) -> None:
        self.node = node
        self.template = template
        self.index = index
        self.inputs = partial(inputs, index)
        self.outputs: literals_pb2.LiteralMap | None = None
        self.error: execution_pb2.ExecutionError | None = None
        self.key = notes.element_key(node.run.id, node.unique_id, index)
        self.note = dict(node.services.view.note(self.key) or fresh_note())
        self.phase: int = int(self.note.get("phase", TaskPhase.UNDEFINED))
        self.usage: struct_pb2.Struct | None = None
        self._report = report
        self._files: Mapping[Path, bytes] = {}
        self._work: attempts.Work | None = None
        self._progress: tuple[int, Progress] | None = None
        self._deadline: Deadline | None = None

    @property
    def attempt(self) -> int:
        """The number of the current attempt, from 0."""
        return int(self.note["attempt"])

    @property
    def cache_status(self) -> int:
        """What the catalog had to do with the outputs."""
        return int(self.note.get("cache", 0))

    @property
    def has_log(self) -> bool:
        """Whether the current attempt is, or was, a process."""
        return "intent" in self.note

    @property
    def work(self) -> attempts.Work:
        """The current attempt. It is given the whole lists and picks its own items."""
        if self._work is None or self._work.attempt != self.attempt:
            self._work = self._new_work()
        return self._work

    def _new_work(self) -> attempts.Work:
        node = self.node
        overrides = node.array.node.task_node.overrides
        return attempts.Work(
            run=node.run,
            template=as_overridden(self.template, overrides),
            unique_id=naming.element_id(node.as_parent, self.index),
            attempt=self.attempt,
            inputs=self.inputs,
            inputs_file=node.inputs_file,
            output_directory=data.output_directory(node.output_directory / str(self.index), self.attempt),
            element=self.index,
            overrides=overrides.resources,
        )

    @property
    def is_running(self) -> bool:
        """Whether there is a process, or a job, of the current attempt."""
        return is_running(self.note)

    async def run(self, places: Places | None) -> None:
        """Run the element to its end, in one of the places. What the task does never raises."""
        if self.phase in TASK_TERMINAL:
            await self._remember()
            return
        if self.phase == TaskPhase.UNDEFINED and await self._cached():
            return
        async with Slot(places, self.key):
            await self._attempts()

    @property
    def _caching(self) -> caching.Caching:
        interface = caching.element_interface(self.template.interface)
        work = self.work
        held = self.note.get("reservation")
        return caching.Caching(work.run, self.template, interface, self.inputs, work.unique_id, self.attempt, held)

    async def _cached(self) -> bool:
        """Whether an equal run before answers for the element. It is known without ever having been queued."""
        try:
            found = await self._caching.lookup()
        except NodeFailed as failure:
            self._fail(failure)
            return True
        if found is None:
            return False
        await self._use(found)
        return True

    async def _use(self, found: Artifact) -> None:
        path = self.work.results_directory / data.OUTPUTS
        self._files = await self.node.services.files.write(path, found.outputs)
        self.outputs = found.outputs
        self.note["cache"] = int(caching.Status.CACHE_HIT)
        self._change(TaskPhase.SUCCEEDED)

    async def _store(self) -> None:
        """Keep the outputs for runs to come, before anybody hears that there are any."""
        metadata = await self._caching.store(self.outputs or literals_pb2.LiteralMap(), self.node.id)
        if metadata.cache_status:
            self.note["cache"] = int(metadata.cache_status)
        self._change(TaskPhase.SUCCEEDED)

    def _fail(self, failure: NodeFailed) -> None:
        self.error = failure.error
        self.note["error"] = failure.error.message
        self._change(TaskPhase.FAILED)

    async def _remember(self) -> None:
        """An earlier engine brought the element to its end."""
        if self.phase == TaskPhase.SUCCEEDED:
            self.outputs = await data.read_literals(self.work.results_directory / data.OUTPUTS)
        else:
            self.error = execution_pb2.ExecutionError(message=self.note.get("error", ""))

    async def _attempts(self) -> None:
        allowed = max_attempts(self.node.array.node, self.template)
        cache = self._caching
        if cache.serialized:
            # In an array who waits keeps its place; who has begun has the reservation.
            self._note_reservation(cache.reservation)
            if (
                not self.attempt
                and "intent" not in self.note
                and (found := await cache.reserve(Slot(None))) is not None
            ):
                await self._use(found)
                return
        try:
            while not await self._once(allowed):
                pass
        finally:
            if cache.serialized and not self.node.run.stopping:
                cache.release()

    def _note_reservation(self, reservation: Note) -> None:
        """Before it is taken: an engine that is killed leaves to the next one to give it back."""
        if self.note.get("reservation") != reservation:
            self.note["reservation"] = reservation
            self.node.services.sink.emit(notes={self.key: self.note})

    async def _once(self, allowed: int) -> bool:
        """One attempt; whether it was the last one."""
        try:
            self.outputs = await self._attempt()
        except NodeFailed as failure:
            final = self._spend(failure, allowed)
            if final is not None:
                self._fail(final)
                return True
            self._report.add(self, TaskPhase.FAILED)
            self.note = next_attempt(self.note)
            self._change(TaskPhase.UNDEFINED)
            return False
        await self._store()
        return True

    def _spend(self, failure: NodeFailed, allowed: int) -> NodeFailed | None:
        if not failure.retryable:
            return failure
        try:
            spend(self.note, failure, allowed)
        except NodeFailed as final:
            return final
        return None

    async def _attempt(self) -> literals_pb2.LiteralMap | None:
        timeout = self.node.array.node.metadata.timeout
        started = float(self.note.setdefault("started_at", self.node.now()))
        intent = self.note.get("intent")
        if not seconds(timeout):
            return await self._result(intent)
        late = timeout_expired(timeout)
        if self.note.get("late"):
            if intent is not None:
                await persistently(asyncio.ensure_future(plugins.end(self.node.run, intent)))
            raise late
        left = started + seconds(timeout) - self.node.now()
        self._deadline = Deadline(left, late, self, take_up=intent is not None)
        try:
            async with self._deadline:
                return await self._result(intent)
        except TimeoutError:
            if self._deadline.passed:
                raise late from None
            raise

    async def _result(self, intent: Note | None) -> literals_pb2.LiteralMap | None:
        try:
            result = await plugins.run(self.work, intent, self)
        except asyncio.CancelledError:
            self._cancelled()
            raise
        if isinstance(result, results.Failed):
            raise verdict(self.note, result.error, result.retryable, result.free)
        self._files = result.files
        return result.outputs

    def goes_on(self) -> None:
        """The current attempt is not over, or the first one begins."""
        if self._deadline is not None:
            self._deadline.goes_on()
        self.node.goes_on()

    def tell_late(self) -> None:
        """Record that the current attempt is late."""
        self.note["late"] = True
        self.node.services.sink.emit(notes={self.key: self.note})

    async def durable(self) -> None:
        """Wait for the record."""
        await self.node.services.sink.durable()

    def _cancelled(self) -> None:
        if self.node.run.stopping:
            if "intent" in self.note:
                self.note["stopped"] = True
                self.node.services.sink.emit(notes={self.key: self.note})
        elif self.phase != TaskPhase.UNDEFINED:
            self._change(TaskPhase.ABORTED)

    @property
    def is_left_over(self) -> bool:
        """Whether an earlier engine left it running, and it was cancelled before it had taken that up."""
        return not self.node.run.stopping and aborted_if_begun(self.phase) != self.phase

    async def end_left_over(self) -> None:
        """End what is left over of it."""
        if "intent" in self.note:
            await plugins.end(self.node.run, self.note["intent"])
        if "reservation" in self.note:
            caching.give_back(self.node.run, self.note["reservation"])
        self.node.run.forget(self.key)
        self._change(TaskPhase.ABORTED)

    def queued(self, intent: Note | None, *remarks: str, reason: str = SUBMITTED, version: int = 0) -> None:
        """The current attempt exists; what is remarked of it is in its log."""
        if intent is not None:
            self.note["intent"] = dict(intent)
        if self.phase == TaskPhase.WAITING_FOR_RESOURCES:
            self.node.services.sink.emit(notes={self.key: self.note})
        else:
            self._change(TaskPhase.QUEUED)

    def waiting(self, reason: str) -> None:
        """The current attempt exists, and waits for its part of the machine."""
        self._change(TaskPhase.WAITING_FOR_RESOURCES)

    def ended(self, outcome: Outcome) -> None:
        """What the process took is told with the element's next phase."""
        self.usage = usage(outcome)

    def started(self) -> None:
        """The process of the current attempt runs."""
        self._change(TaskPhase.RUNNING)

    def progressed(
        self, phase: int, reason: str, logs: Sequence[execution_pb2.TaskLog], custom_info: struct_pb2.Struct
    ) -> None:
        """A job outside of this machine came to a phase, or has something new to say."""
        if self._progress is None or self._progress[0] != self.attempt:
            self._progress = (self.attempt, Progress(self.note))
        if self._progress[1].next_version(phase, reason, logs, custom_info) is not None:
            self._change(phase)

    @property
    def log_links(self) -> Sequence[execution_pb2.TaskLog]:
        """Where people read what the current attempt prints."""
        return self.work.log_links if self._progress is None else self._progress[1].logs

    def _change(self, phase: int) -> None:
        """The note is written at once; the event may tell of several elements and is sent a little later."""
        self.phase = self.note["phase"] = phase
        files = UnsyncedFiles(self.node.run.id, self._files) if phase == TaskPhase.SUCCEEDED and self._files else None
        self.node.services.sink.emit(notes={self.key: self.note}, files=files)
        self._report.add(self, phase)
