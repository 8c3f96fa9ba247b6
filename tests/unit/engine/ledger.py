"""A ledger that stands in for the control plane."""

from __future__ import annotations

import asyncio
import dataclasses
from pathlib import Path

from flyteidl.admin import execution_pb2, launch_plan_pb2, node_execution_pb2, signal_pb2, task_execution_pb2
from flyteidl.core import execution_pb2 as core
from flyteidl.core import identifier_pb2, literals_pb2
from flyteidl.event import event_pb2

from flytelite.engine.events import NODE_TERMINAL, TASK_TERMINAL, WORKFLOW_TERMINAL
from flytelite.engine.record import Launch, ReservationHolder
from flytelite.errors import AlreadyExists, FailedPrecondition, NotFound

PROJECT, DOMAIN = "flytesnacks", "development"


def key_of(message) -> bytes:
    return message.SerializeToString(deterministic=True)


class Ledger:
    """ReadView and EventSink in memory: it applies events by the control plane's rules and keeps their order."""

    _STATE = (
        "launches",
        "executions",
        "nodes",
        "parents",
        "tasks",
        "notes",
        "artifacts",
        "reservations",
        "maps",
        "signals",
        "plans",
        "events",
        "dynamic",
    )

    def __init__(self) -> None:
        self.launches: dict[bytes, Launch] = {}
        self.executions: dict[bytes, execution_pb2.Execution] = {}
        self.nodes: dict[bytes, node_execution_pb2.NodeExecution] = {}
        self.parents: dict[bytes, bytes] = {}
        self.tasks: dict[bytes, task_execution_pb2.TaskExecution] = {}
        self.notes: dict[str, dict] = {}
        self.artifacts: dict[tuple, object] = {}
        self.reservations: dict[tuple, str] = {}
        self.maps: dict[str, literals_pb2.LiteralMap] = {}
        self.signals: dict[bytes, signal_pb2.Signal] = {}
        self.plans: dict[bytes, launch_plan_pb2.LaunchPlan] = {}
        self.events: list = []
        self.dynamic: dict[bytes, event_pb2.DynamicWorkflowNodeMetadata] = {}
        self.on_create = None
        self.on_terminal = None
        self._waiters: list = []

    # what a test does

    def create(self, name, closure, inputs=None, **spec) -> identifier_pb2.WorkflowExecutionIdentifier:
        id = identifier_pb2.WorkflowExecutionIdentifier(project=PROJECT, domain=DOMAIN, name=name)
        spec = execution_pb2.ExecutionSpec(**{"max_parallelism": 25, **spec})
        self.launches[key_of(id)] = Launch(id, closure, inputs or literals_pb2.LiteralMap(), spec, 0)
        self.executions[key_of(id)] = execution_pb2.Execution(id=id, spec=spec)
        return id

    def override_plugins(self, id, overrides) -> None:
        self.launches[key_of(id)] = dataclasses.replace(self.launches[key_of(id)], plugin_overrides=overrides)

    def terminate(self, id, cause="enough"):
        closure = self.executions[key_of(id)].closure
        closure.phase = core.WorkflowExecution.ABORTING
        closure.abort_metadata.cause = cause

    async def until(self, condition) -> None:
        """Return once the condition holds; it is looked at after each event."""
        if condition():
            return
        future = asyncio.get_running_loop().create_future()
        self._waiters.append((condition, future))
        await future

    async def ended(self, id) -> execution_pb2.ExecutionClosure:
        closure = self.executions[key_of(id)].closure
        await self.until(lambda: closure.phase in WORKFLOW_TERMINAL)
        return closure

    def lines(self, id=None) -> list[str]:
        """The events as short text, in order."""
        return [_line(event) for event in self.events if id is None or _execution_of(event) == id]

    def of(self, node: str) -> list:
        """The events of a node and of its tasks."""
        return [event for event in self.events if _node_of(event) == node]

    def phases(self, node: str) -> list[str]:
        return [_line(event).split(" ", 1)[1] if " " in _line(event) else "" for event in self.of(node)]

    def state(self) -> dict:
        return {name: getattr(self, name) for name in self._STATE}

    def restore(self, state: dict) -> None:
        for name, value in state.items():
            setattr(self, name, value)

    # ReadView

    def launch(self, id):
        found = self.launches.get(key_of(id))
        if found is None:
            raise NotFound("no such execution")
        closure = self.executions[key_of(id)].closure
        return dataclasses.replace(found, phase=closure.phase, abort_cause=closure.abort_metadata.cause)

    def unfinished(self):
        return [one.id for one in self.executions.values() if one.closure.phase not in WORKFLOW_TERMINAL]

    def execution(self, id):
        return self.executions.get(key_of(id))

    def eager_children(self, id):
        return [
            one.id
            for one in self.executions.values()
            if one.spec.labels.values.get("eager-exec") == id.name and one.closure.phase not in WORKFLOW_TERMINAL
        ]

    def execution_outputs(self, id):
        outputs = literals_pb2.LiteralMap()
        outputs.ParseFromString(Path(self.executions[key_of(id)].closure.outputs.uri).read_bytes())
        return outputs

    def node_execution(self, id):
        return self.nodes.get(key_of(id))

    def node_executions(self, id):
        return [node for node in self.nodes.values() if node.id.execution_id == id]

    def children(self, id):
        return [node for key, node in self.nodes.items() if self.parents.get(key) == key_of(id)]

    def task_executions(self, id):
        return [task for task in self.tasks.values() if task.id.node_execution_id == id]

    def launch_plan(self, id):
        return self.plans.get(key_of(id))

    def note(self, key):
        return self.notes.get(key)

    def artifact(self, dataset, tag):
        return self.artifacts.get((key_of(dataset), tag))

    def literal_map(self, uri):
        return self.maps.get(uri)

    # EventSink

    def keep_artifact(self, dataset, tag, artifact, *, replace):
        there = self.artifacts.get((key_of(dataset), tag))
        if there is None:
            self.artifacts[key_of(dataset), tag] = artifact
        elif replace:
            self.artifacts[key_of(dataset), tag] = dataclasses.replace(artifact, id=there.id)
        return self.artifacts[key_of(dataset), tag].id

    def reserve(self, dataset, tag, owner):
        holder = ReservationHolder(self.reservations.setdefault((key_of(dataset), tag), owner))
        self._look()
        return holder

    def release(self, dataset, tag, owner):
        if self.reservations.get((key_of(dataset), tag)) == owner:
            del self.reservations[key_of(dataset), tag]

    def emit(self, *events, notes=None, files=None):
        for event in events:
            if isinstance(event, event_pb2.WorkflowExecutionEvent):
                fresh = self._workflow(event)
            elif isinstance(event, event_pb2.NodeExecutionEvent):
                fresh = self._node(event)
            else:
                fresh = self._task(event)
            if fresh:
                self.events.append(event)
        for key, note in (notes or {}).items():
            if note is None:
                self.notes.pop(key, None)
            else:
                self.notes[key] = dict(note)
        self._look()

    def _look(self):
        for waiting in list(self._waiters):
            if waiting[0]():
                self._waiters.remove(waiting)
                if not waiting[1].done():
                    waiting[1].set_result(None)

    async def durable(self):
        await asyncio.sleep(0)

    def create_execution(self, request):
        id = identifier_pb2.WorkflowExecutionIdentifier(
            project=request.project, domain=request.domain, name=request.name
        )
        if key_of(id) in self.executions:
            raise AlreadyExists("there is one")
        return self.on_create(self, id, request)

    def terminate_execution(self, id, cause):
        self.terminate(id, cause)
        self.on_terminate(id, cause)

    def signal(self, id, type):
        return self.signals.setdefault(key_of(id), signal_pb2.Signal(id=id, type=type))

    def _workflow(self, event):
        closure = self.executions[key_of(event.execution_id)].closure
        if closure.phase in WORKFLOW_TERMINAL:
            raise FailedPrecondition(f"{event.execution_id.name} is terminal")
        if closure.phase == event.phase:
            return False
        if closure.phase == core.WorkflowExecution.ABORTING and event.phase not in WORKFLOW_TERMINAL:
            raise FailedPrecondition("aborting")
        closure.phase = event.phase
        if event.HasField("error"):
            closure.error.CopyFrom(event.error)
        if event.output_uri:
            closure.outputs.uri = event.output_uri
        if event.phase in WORKFLOW_TERMINAL and self.on_terminal is not None:
            self.on_terminal(event.execution_id)
        return True

    def _node(self, event):
        node = self.nodes.get(key_of(event.id))
        if node is None:
            node = self.nodes[key_of(event.id)] = node_execution_pb2.NodeExecution(id=event.id)
            if event.HasField("parent_node_metadata"):
                parent = identifier_pb2.NodeExecutionIdentifier(
                    node_id=event.parent_node_metadata.node_id, execution_id=event.id.execution_id
                )
                assert key_of(parent) in self.nodes, f"{event.id.node_id} has no parent {parent.node_id}"
                self.parents[key_of(event.id)] = key_of(parent)
        elif node.closure.phase == event.phase:
            return False
        if node.closure.phase in NODE_TERMINAL:
            raise FailedPrecondition(f"{event.id.node_id} is terminal")
        closure = node.closure
        closure.phase = event.phase
        node.metadata.spec_node_id = event.spec_node_id or node.metadata.spec_node_id
        node.metadata.is_parent_node |= event.is_parent
        node.metadata.is_dynamic |= event.is_dynamic
        node.input_uri = node.input_uri or event.input_uri
        if event.output_uri:
            closure.output_uri = event.output_uri
        if event.HasField("error"):
            closure.error.CopyFrom(event.error)
        if event.HasField("workflow_node_metadata"):
            closure.workflow_node_metadata.executionId.CopyFrom(event.workflow_node_metadata.execution_id)
        if event.HasField("task_node_metadata"):
            metadata = event.task_node_metadata
            closure.task_node_metadata.checkpoint_uri = metadata.checkpoint_uri
            closure.task_node_metadata.cache_status = metadata.cache_status
            if metadata.HasField("catalog_key"):
                closure.task_node_metadata.catalog_key.CopyFrom(metadata.catalog_key)
            if metadata.HasField("dynamic_workflow"):
                self.dynamic[key_of(event.id)] = metadata.dynamic_workflow
                closure.dynamic_job_spec_uri = metadata.dynamic_workflow.dynamic_job_spec_uri
        closure.deck_uri = event.deck_uri
        return True

    def _task(self, event):
        assert key_of(event.parent_node_execution_id) in self.nodes, "a task event before its node's"
        id = identifier_pb2.TaskExecutionIdentifier(
            task_id=event.task_id, node_execution_id=event.parent_node_execution_id, retry_attempt=event.retry_attempt
        )
        task = self.tasks.get(key_of(id))
        if task is None:
            task = self.tasks[key_of(id)] = task_execution_pb2.TaskExecution(id=id, input_uri=event.input_uri)
        elif task.closure.phase == event.phase and event.phase_version <= task.closure.metadata.generated_name.count(
            "\0"
        ):
            return False
        if task.closure.phase in TASK_TERMINAL:
            raise FailedPrecondition("the task is terminal")
        task.closure.phase = event.phase
        task.closure.task_type = event.task_type
        task.closure.metadata.CopyFrom(event.metadata)
        if event.HasField("error"):
            task.closure.error.CopyFrom(event.error)
        return True


def _execution_of(event):
    if isinstance(event, event_pb2.WorkflowExecutionEvent):
        return event.execution_id
    if isinstance(event, event_pb2.NodeExecutionEvent):
        return event.id.execution_id
    return event.parent_node_execution_id.execution_id


def _node_of(event):
    if isinstance(event, event_pb2.NodeExecutionEvent):
        return event.id.node_id
    return event.parent_node_execution_id.node_id if isinstance(event, event_pb2.TaskExecutionEvent) else ""


def _line(event) -> str:
    if isinstance(event, event_pb2.WorkflowExecutionEvent):
        return f"WE {core.WorkflowExecution.Phase.Name(event.phase)}"
    if isinstance(event, event_pb2.NodeExecutionEvent):
        return f"{event.id.node_id} {core.NodeExecution.Phase.Name(event.phase)}"
    phase = core.TaskExecution.Phase.Name(event.phase)
    return f"{event.parent_node_execution_id.node_id} TE{event.retry_attempt} {phase}"
