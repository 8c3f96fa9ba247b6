"""A node that runs a task: one attempt per call, as a process.

Rules: ``flytepropeller/pkg/controller/nodes/task/handler.go``.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from flyteidl.core import execution_pb2, literals_pb2, tasks_pb2
from flyteidl.event import event_pb2
from google.protobuf import struct_pb2

from flytelite.engine import attempts, data, plugins
from flytelite.engine.attempts import SUBMITTED
from flytelite.engine.catalog import Artifact
from flytelite.engine.events import NodePhase, TaskPhase, task_event, usage
from flytelite.engine.executors.interface import Outcome
from flytelite.engine.failures import NodeFailed, verdict
from flytelite.engine.nodes import caching, dynamic, legacy_map
from flytelite.engine.nodes.node import Finished, NodeRun
from flytelite.engine.nodes.progress import Progress
from flytelite.engine.record import Note
from flytelite.engine.tasks import echo, results, task_types
from flytelite.engine.tasks.node_overrides import as_overridden


async def cached(node: NodeRun) -> Finished | None:
    """The outputs of an equal run before, if the node runs a task and that is cached. Raises NodeFailed."""
    template = node.template
    if template is None:
        return None
    found = await _caching(node, template).lookup()
    return None if found is None else await _use(node, found)


async def reserved(node: NodeRun) -> Finished | None:
    """Wait, still queued, until no other run computes what this one would; its outputs if one has meanwhile.

    No deadline of the node counts here. Raises NodeFailed.
    """
    template = node.template
    if template is None or not (cache := _caching(node, template)).serialized:
        return None
    # Noted before it is taken: an engine that is killed leaves to the next one to give it back.
    node.note["reservation"] = cache.reservation
    node.emit()
    found = await cache.reserve(node.slot)
    return None if found is None else await _use(node, found)


async def run(node: NodeRun) -> Finished:
    """Run the current attempt of the task. Raises NodeFailed."""
    template = node.template
    assert template is not None
    cache = _caching(node, template)
    node.task_metadata = None
    if cache.serialized:
        # Taken while the node was queued, and kept from attempt to attempt.
        node.note["reservation"] = cache.reservation
        node.task_metadata = event_pb2.TaskNodeMetadata(reservation_status=caching.Reservation.RESERVATION_ACQUIRED)
        node.afterwards.append(cache.release)
    finished = await _run(node, template)
    deck = node.fields.get("deck_uri")
    outputs = finished.outputs or literals_pb2.LiteralMap()
    node.add_task_metadata(await cache.store(outputs, node.id, Path(deck) if deck else None))
    return finished


def _caching(node: NodeRun, template: tasks_pb2.TaskTemplate) -> caching.Caching:
    held = node.note.get("reservation")
    return caching.Caching(
        node.run, template, template.interface, lambda: node.inputs, node.unique_id, node.attempt, held
    )


async def _use(node: NodeRun, found: Artifact) -> Finished:
    await node.write(node.outputs_file, found.outputs)
    node.task_metadata = caching.hit(found)
    deck = node.output_directory / data.DECK
    if found.deck is not None and await asyncio.to_thread(data.copy_file, found.deck, deck):
        node.fields["deck_uri"] = str(deck)
    return Finished(found.outputs, node.outputs_file)


async def _run(node: NodeRun, template: tasks_pb2.TaskTemplate) -> Finished:
    if node.note.get("dynamic") or node.note.get("futures"):
        return await dynamic.run(node, template)
    if template.type == task_types.CONTAINER_ARRAY:
        return await legacy_map.run(node, template)
    report = Report(node, template)
    try:
        result = await plugins.run(report.work, node.note.get("intent"), report)
    except asyncio.CancelledError:
        report.aborted()
        raise
    report.deck(ended=True, succeeded=isinstance(result, results.Succeeded))
    if isinstance(result, results.Succeeded) and result.futures is not None:
        report.succeeded()
        return await dynamic.run(node, template)
    node.add_task_metadata(event_pb2.TaskNodeMetadata(checkpoint_uri=report.work.checkpoint))
    if isinstance(result, results.Failed):
        raise report.failed(result)
    node.pending_files.update(result.files)
    report.succeeded()
    return Finished(result.outputs, node.outputs_file)


class Report:
    """The task events of one attempt, and the node's that go with them."""

    def __init__(self, node: NodeRun, template: tasks_pb2.TaskTemplate) -> None:
        self.node = node
        self.template = template
        self.known = "intent" in node.note or "waiting" in node.note
        overrides = node.node.task_node.overrides
        self.work = attempts.Work(
            run=node.run,
            template=as_overridden(template, overrides),
            unique_id=node.unique_id,
            attempt=node.attempt,
            inputs=lambda: node.inputs,
            inputs_file=node.inputs_file,
            output_directory=node.output_directory,
            recovered_checkpoint=str(node.note.get("checkpoint", "")),
            overrides=overrides.resources,
        )
        self._progress = Progress(node.note)
        self._usage: struct_pb2.Struct | None = None

    def queued(self, intent: Note | None, *remarks: str, reason: str = SUBMITTED, version: int = 0) -> None:
        """The attempt exists: its intent, its first event and the node's RUNNING are one batch."""
        node = self.node
        if intent is not None:
            node.note["intent"] = dict(intent)
        if "waiting" in node.note:  # it has been reported
            node.emit()
            return
        if version:
            self._progress.remember(TaskPhase.QUEUED, version)
        event = self._event(TaskPhase.QUEUED, reason=reason, phase_version=version)
        for remark in remarks:
            event.reasons.add(reason=remark, occurred_at=event.occurred_at)
        node.pending.append(event)
        self._promise_deck()
        node.advance(NodePhase.RUNNING)
        self.known = True

    def waiting(self, reason: str) -> None:
        """The attempt is in the record, and waits for its part of the machine."""
        if not self.known:
            self.queued(None)
        self.node.note["waiting"] = True
        self.node.emit(self._event(TaskPhase.WAITING_FOR_RESOURCES, reason=reason))

    def goes_on(self) -> None:
        """The attempt is not over."""
        self.node.goes_on()

    def ended(self, outcome: Outcome) -> None:
        """What the process took is told with the attempt's last event."""
        self._usage = usage(outcome)

    def started(self) -> None:
        """The process runs."""
        self.known = True
        self._promise_deck()
        self.node.emit_soon(self._event(TaskPhase.RUNNING, logs=self._logs))

    def progressed(
        self, phase: int, reason: str, logs: Sequence[execution_pb2.TaskLog], custom_info: struct_pb2.Struct
    ) -> None:
        """A job outside of this machine came to a phase, or has something new to say; its end is told by others."""
        version = self._progress.next_version(phase, reason, logs, custom_info)
        if version is not None:
            self.node.emit(self._event(phase, reason=reason, logs=self._logs, phase_version=version))

    def succeeded(self) -> None:
        """The last event, to go out with the node's."""
        uri = str(self.node.outputs_file)
        self.node.pending.append(self._event(TaskPhase.SUCCEEDED, logs=self._logs, output_uri=uri))

    def failed(self, result: results.Failed) -> NodeFailed:
        """The attempt's failure, whose event goes out with the node's or with the next attempt's number."""
        failure = verdict(self.node.note, result.error, result.retryable, result.free)
        self.node.pending.append(self._event(TaskPhase.FAILED, logs=self._logs, error=failure.error))
        return failure

    def aborted(self) -> None:
        """The attempt was ended from outside."""
        if self.node.run.stopping:
            if "intent" in self.node.note:
                self.node.note["stopped"] = True
                self.node.emit()
        elif self.known:
            self.node.pending.append(self._event(TaskPhase.ABORTED, logs=self._logs))

    def deck(self, ended: bool, succeeded: bool) -> None:
        """The deck's URI on the node's last event: only when the file is there.

        A task that does not say whether it makes decks is looked at after success only.
        """
        wanted = self._promises_deck() or (succeeded and not self.template.metadata.HasField("generates_deck"))
        wanted = wanted and self.template.type != echo.TYPE
        path = self.node.output_directory / data.DECK
        exists = wanted and path.is_file()
        self.node.fields["deck_uri"] = str(path) if exists else ""

    @property
    def _logs(self) -> Sequence[execution_pb2.TaskLog]:
        """Where to read what the attempt prints; an echo is no process and prints nothing."""
        if self.template.type == echo.TYPE:
            return ()
        connected = plugins.identifier(self.node.services, self.template) == task_types.CONNECTOR_PLUGIN
        return self._progress.logs if connected else self.work.log_links

    def _promises_deck(self) -> bool:
        return bool(self.template.metadata.generates_deck.value)

    def _promise_deck(self) -> None:
        if self._promises_deck():
            self.node.fields["deck_uri"] = str(self.node.output_directory / data.DECK)

    def _event(
        self, phase: int, *, error: execution_pb2.ExecutionError | None = None, **fields: Any
    ) -> event_pb2.TaskExecutionEvent:
        node = self.node
        metadata = event_pb2.TaskExecutionMetadata(
            generated_name=self.work.name,
            plugin_identifier=plugins.identifier(node.services, self.template),
            instance_class=(
                event_pb2.TaskExecutionMetadata.INTERRUPTIBLE
                if node.interruptible(int(node.note["system_failures"]))
                else event_pb2.TaskExecutionMetadata.DEFAULT
            ),
        )
        return task_event(
            self.template.id,
            node.id,
            node.attempt,
            phase,
            node.now(),
            task_type=self.template.type,
            input_uri=str(node.inputs_file),
            metadata=metadata,
            error=error,
            custom_info=self._progress.custom_info or self._usage,
            **fields,
        )
