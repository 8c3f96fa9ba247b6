"""One node of one execution while it runs: its names, directories, record and events."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from flyteidl.core import identifier_pb2, literals_pb2, tasks_pb2, workflow_pb2
from flyteidl.event import event_pb2

from flytelite.engine import data, notes, offloading
from flytelite.engine.events import NODE_TERMINAL, NodePhase, node_event
from flytelite.engine.failures import (
    SYSTEM,
    SYSTEM_FAILURES,
    failed,
    fresh_note,
    next_attempt,
)
from flytelite.engine.level import Level
from flytelite.engine.naming import START_NODE, Parent, unique_node_id
from flytelite.engine.nodes.deadline import Deadline
from flytelite.engine.places import Slot
from flytelite.engine.record import Event, Note, UnsyncedFiles
from flytelite.engine.run import Run, Services
from flytelite.errors import FlyteError

LINGER_SECONDS = 0.02
"""How long an event may wait for the node's next one: a batch costs more than an event in it."""

_ORDER = {
    NodePhase.UNDEFINED: 0,
    NodePhase.QUEUED: 1,
    NodePhase.RUNNING: 2,
    NodePhase.DYNAMIC_RUNNING: 3,
    **dict.fromkeys(NODE_TERMINAL, 4),
}


@dataclass(frozen=True)
class Finished:
    """What a handler returns: the outputs, and the file they are in if clients shall be told of one."""

    outputs: literals_pb2.LiteralMap | None = None
    uri: Path | None = None
    phase: int = NodePhase.SUCCEEDED


class NodeRun:
    """A node on its way through its phases.

    ``note`` is what must survive a restart: the attempt, its failures, when it began, and whatever the handler keeps
    in it. ``pending``, ``pending_notes`` and ``pending_files`` go out in one batch with the node's next event;
    ``afterwards`` is done once the node's end is on record.
    """

    def __init__(self, level: Level, node: workflow_pb2.Node, inside: NodeRun | None = None) -> None:
        self.level = level
        self.node = node
        self.run: Run = level.run
        self.services: Services = level.run.services
        self.parent = level.parent if inside is None else inside.as_parent
        self.unique_id = unique_node_id(self.parent, node.id)
        self.id = identifier_pb2.NodeExecutionIdentifier(node_id=self.unique_id, execution_id=self.run.id)
        above = level.directory if inside is None else inside.output_directory
        self.data_directory = data.node_directory(above, self.parent, node.id)
        self.key = notes.node_key(self.run.id, self.unique_id)
        self.inputs = literals_pb2.LiteralMap()
        self.pending: list[Event] = []
        self.pending_notes: dict[str, Note | None] = {}
        self.pending_files: dict[Path, bytes] = {}
        self.slot = Slot(None)
        self.array: workflow_pb2.ArrayNode = node.array_node
        self.enclosing: NodeRun | None = inside or level.inside
        self.deadline: Deadline | None = None
        self.afterwards: list[Callable[[], None]] = []
        self.fields: dict[str, Any] = {}
        self.task_metadata: event_pb2.TaskNodeMetadata | None = None
        recorded = self.services.view.node_execution(self.id)
        self.recorded = recorded
        self.phase: int = recorded.closure.phase if recorded is not None else NodePhase.UNDEFINED
        self.note: dict[str, Any] = dict(self.services.view.note(self.key) or fresh_note())
        self._last = 0.0
        self._lingering: asyncio.TimerHandle | None = None
        self._output_directory: tuple[int, Path] | None = None

    @property
    def attempt(self) -> int:
        """The number of the current attempt, from 0."""
        return int(self.note["attempt"])

    @property
    def output_directory(self) -> Path:
        """Where the current attempt writes its results."""
        if self._output_directory is None or self._output_directory[0] != self.attempt:
            self._output_directory = self.attempt, data.output_directory(self.data_directory, self.attempt)
        return self._output_directory[1]

    @cached_property
    def inputs_file(self) -> Path:
        """The node's inputs, the same for all attempts."""
        return self.data_directory / data.INPUTS

    @property
    def outputs_file(self) -> Path:
        """The outputs of the current attempt."""
        return self.output_directory / data.OUTPUTS

    @property
    def as_parent(self) -> Parent:
        """This node as the parent of nodes inside it."""
        chained = self.parent is not None and self.parent.in_dynamic_chain
        before = (self.id_before, int(self.note.get("attempt_before", self.attempt)))
        same = before == (self.unique_id, self.attempt)
        return Parent(self.unique_id, self.attempt, chained, None if same else Parent(*before))

    @property
    def handles_failure(self) -> bool:
        """Whether this is a failure node, or inside of one."""
        template = self.level.workflow.template
        if template.HasField("failure_node") and template.failure_node.id == self.node.id:
            return True
        return self.enclosing is not None and self.enclosing.handles_failure

    @property
    def id_before(self) -> str:
        """The node's unique id in the execution that this one recovers."""
        before = None if self.parent is None else self.parent.before
        return self.unique_id if before is None else unique_node_id(before, self.node.id)

    @cached_property
    def template(self) -> tasks_pb2.TaskTemplate | None:
        """The template of a task node."""
        if self.node.WhichOneof("target") != "task_node":
            return None
        return self.level.library.task(self.node.task_node.reference_id)

    @property
    def abort_reason(self) -> str:
        """Why this node is being aborted: a node that it is inside of is late, or what its level says."""
        late = None if self.enclosing is None else self.enclosing.late_reason
        return late or self.level.abort_reason

    @property
    def late_reason(self) -> str | None:
        """Why what is inside of this node is ended, if this node or one that it is inside of is late."""
        if self.deadline is not None and self.deadline.passed:
            return self.deadline.reason
        return None if self.enclosing is None else self.enclosing.late_reason

    def goes_on(self) -> None:
        """What the node waits for has not come yet: its deadline counts, and those of nodes that it is inside of."""
        if self.deadline is not None:
            self.deadline.goes_on()
        if self.enclosing is not None:
            self.enclosing.goes_on()

    def tell_late(self) -> None:
        """Record that the attempt is late."""
        self.note["late"] = True
        self.emit()

    async def durable(self) -> None:
        """Wait for the record."""
        await self.services.sink.durable()

    def now(self) -> float:
        """The time, never earlier than it was before for this node."""
        self._last = max(self._last, time.time(), float(self.note.get("at", 0.0)))
        return self._last

    def add_task_metadata(self, metadata: event_pb2.TaskNodeMetadata) -> None:
        """Let the events from now on tell this too; the message is not changed."""
        told = event_pb2.TaskNodeMetadata()
        if self.task_metadata is not None:
            told.CopyFrom(self.task_metadata)
        told.MergeFrom(metadata)
        self.task_metadata = told

    def event(self, phase: int, **fields: Any) -> event_pb2.NodeExecutionEvent:
        """An event of this node that occurs now."""
        parent = self.parent
        common: dict[str, Any] = {
            "spec_node_id": self.node.id,
            "node_name": self.node.metadata.name,
            "target_entity": self._target(),
            "is_in_dynamic_chain": parent is not None and parent.in_dynamic_chain,
            "is_parent": self.node.workflow_node.WhichOneof("reference") == "sub_workflow_ref",
            "is_array": self.node.WhichOneof("target") == "array_node",
            "task_node_metadata": self.task_metadata,
        }
        if self.node.id != START_NODE:
            common["input_uri"] = str(self.inputs_file)
        if parent is not None:
            common["parent_node_metadata"] = event_pb2.ParentNodeExecutionMetadata(node_id=parent.unique_id)
            common["retry_group"] = str(parent.attempt)
        return node_event(self.run.id, self.unique_id, phase, self.now(), **{**common, **self.fields, **fields})

    def advance(self, phase: int, **fields: Any) -> None:
        """Record that the node has come to this phase, with all that is pending; nothing if it had before."""
        if _ORDER[phase] <= _ORDER[self.phase]:
            self.emit()
            return
        event = self.event(phase, **fields)
        self.phase = phase
        self.emit(event, forget=phase in NODE_TERMINAL)

    def announce(self, phase: int) -> None:
        """Record that the node has come to this phase soon; its next event, if that is sooner, takes this one along."""
        self.emit_soon(self.event(phase))
        self.phase = phase

    def emit_soon(self, *events: Event) -> None:
        """Record what nobody waits for with the node's next event, or else in a moment."""
        self.pending.extend(events)
        if self._lingering is None:
            self._lingering = asyncio.get_running_loop().call_later(LINGER_SECONDS, self.linger_no_more)

    def linger_no_more(self) -> None:
        """Record at once what was to wait for the next event."""
        if self._lingering is None:
            return
        batch = (list(self.pending), dict(self.pending_notes), dict(self.pending_files))
        try:
            self.emit()
        except FlyteError:
            # The node hears of it with its next event.
            self.pending[:0], self.pending_notes, self.pending_files = batch

    def emit(self, *events: Event, forget: bool = False) -> None:
        """Record what is pending, these events and the node's note in one batch."""
        self.note["at"] = max(self._last, float(self.note.get("at", 0.0)))
        batch = [*self.pending, *events]
        notes = {**self.pending_notes, self.key: None if forget else self.note}
        files = UnsyncedFiles(self.run.id, self.pending_files) if self.pending_files else None
        self.drop_pending()
        self.services.sink.emit(*batch, notes=notes, files=files)

    async def write(self, path: Path, literals: literals_pb2.LiteralMap) -> None:
        """Write inputs or outputs, once the disk has space for them; the next event makes them survive power loss."""
        self.pending_files.update(await self.services.files.write(path, literals))

    def drop_pending(self) -> None:
        """Forget what was to go out with the next event."""
        self.pending.clear()
        self.pending_notes.clear()
        self.pending_files = {}
        if self._lingering is not None:
            self._lingering.cancel()
            self._lingering = None

    def finish(self) -> None:
        """Do what was to be done afterwards; a stopping engine leaves it to the next one."""
        actions, self.afterwards = self.afterwards, []
        if not self.run.stopping:
            for action in actions:
                action()

    def start_attempt(self) -> None:
        """The next attempt's number, in the batch that records the end of the one before."""
        self.note = {**next_attempt(self.note), "started_at": self.now()}
        self.emit()
        self.afterwards.clear()

    def interruptible(self, system_failures: int) -> bool:
        """Whether the attempt may be interrupted: the node's wish, else the execution's; never the last one."""
        metadata = self.node.metadata
        given = metadata.WhichOneof("interruptible_value") is not None
        wished = metadata.interruptible if given else self.run.interruptible
        return bool(wished) and system_failures < SYSTEM_FAILURES

    def _target(self) -> identifier_pb2.Identifier | None:
        kind = self.node.WhichOneof("target")
        if kind == "task_node":
            return self.node.task_node.reference_id
        if self.node.workflow_node.WhichOneof("reference") == "launchplan_ref":
            return self.node.workflow_node.launchplan_ref
        return None


async def whole_inputs(node: NodeRun) -> literals_pb2.LiteralMap:
    """The node's inputs for whoever has to look into them: nothing in them is offloaded. Raises NodeFailed."""
    try:
        return await offloading.loaded(node.inputs)
    except offloading.CannotLoad as error:
        raise failed(SYSTEM, "RuntimeExecutionError", str(error)) from error
