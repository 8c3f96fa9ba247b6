"""The engine's two protocols (engine/record.py), answered from the control plane."""

from __future__ import annotations

from collections.abc import Mapping

from flyteidl.admin import (
    event_pb2 as event_requests,
)
from flyteidl.admin import (
    execution_pb2,
    launch_plan_pb2,
    node_execution_pb2,
    signal_pb2,
    task_execution_pb2,
)
from flyteidl.core import identifier_pb2, literals_pb2, types_pb2
from flyteidl.event import event_pb2

from flytelite.engine.record import CachedArtifact, Event, Launch, Note, ReservationHolder, UnsyncedFiles
from flytelite.errors import AlreadyExists, FailedPrecondition, NotFound
from flytelite.server.admin.catalog.artifacts import Kept
from flytelite.server.admin.control_plane import ControlPlane
from flytelite.server.admin.identifiers import execution_key
from flytelite.server.file_log import FileLog
from flytelite.server.store.interface import Store, TableSchema

EAGER_LABEL = "eager-exec"
"""The label that names the execution whose eager task started this one (``EAGER_TAG_KEY`` of flytekit)."""

NOTES = TableSchema("engine_notes")


class EngineRecord:
    """ReadView and EventSink over one control plane and its store."""

    def __init__(self, control_plane: ControlPlane, store: Store, files: FileLog) -> None:
        self._control_plane = control_plane
        self._store = store
        self._files = files
        self._notes = store.table(NOTES)

    # ReadView

    def launch(self, id: identifier_pb2.WorkflowExecutionIdentifier) -> Launch:
        """Raises NotFound when the execution, or the workflow it runs, is unknown."""
        executions = self._control_plane.executions
        execution = executions.find(id)
        if execution is None:
            raise NotFound(f"execution {id.project}/{id.domain}/{id.name} does not exist")
        workflow_id = execution.closure.workflow_id
        workflow = self._control_plane.workflows.closure(workflow_id)
        if workflow is None:
            raise NotFound(f"workflow {workflow_id.name} of version {workflow_id.version} does not exist")
        platform = executions.platform(id)
        return Launch(
            id=execution.id,
            workflow=workflow,
            inputs=executions.inputs(id),
            spec=executions.resolved_spec(id),
            phase=execution.closure.phase,
            abort_cause=execution.closure.abort_metadata.cause,
            task_resources=platform.task_resources,
            plugin_overrides=platform.plugin_overrides,
        )

    def unfinished(self) -> list[identifier_pb2.WorkflowExecutionIdentifier]:
        """Oldest first."""
        return self._control_plane.executions.unfinished()

    def execution(self, id: identifier_pb2.WorkflowExecutionIdentifier) -> execution_pb2.Execution | None:
        """The execution as it stands."""
        return self._control_plane.executions.find(id)

    def eager_children(
        self, id: identifier_pb2.WorkflowExecutionIdentifier
    ) -> list[identifier_pb2.WorkflowExecutionIdentifier]:
        """flytekit marks them with a label."""
        return self._control_plane.executions.unfinished_labelled(id.project, id.domain, EAGER_LABEL, id.name)

    def execution_outputs(self, id: identifier_pb2.WorkflowExecutionIdentifier) -> literals_pb2.LiteralMap:
        """Raises NotFound."""
        return self._control_plane.executions.outputs(id)

    def node_execution(self, id: identifier_pb2.NodeExecutionIdentifier) -> node_execution_pb2.NodeExecution | None:
        """The node execution as it stands."""
        return self._control_plane.node_executions.find(id)

    def node_executions(self, id: identifier_pb2.WorkflowExecutionIdentifier) -> list[node_execution_pb2.NodeExecution]:
        """Nested ones too, in the order they were created."""
        return self._control_plane.node_executions.of_execution(id)

    def children(self, id: identifier_pb2.NodeExecutionIdentifier) -> list[node_execution_pb2.NodeExecution]:
        """Those directly inside of a node, in the order they were created."""
        return self._control_plane.node_executions.children(id.execution_id, id.node_id)

    def task_executions(self, id: identifier_pb2.NodeExecutionIdentifier) -> list[task_execution_pb2.TaskExecution]:
        """By retry_attempt."""
        return self._control_plane.task_executions.of_node(id)

    def launch_plan(self, id: identifier_pb2.Identifier) -> launch_plan_pb2.LaunchPlan | None:
        """The launch plan of that version."""
        return self._control_plane.launch_plans.find(id)

    def note(self, key: str) -> Note | None:
        """The engine's own bookkeeping."""
        return self._notes.get(key)

    def artifact(self, dataset: identifier_pb2.Identifier, tag: str) -> CachedArtifact | None:
        """What the cache service has under that tag."""
        kept = self._control_plane.artifacts.tagged(dataset, tag)
        return None if kept is None else CachedArtifact(kept.id, kept.data, kept.metadata, kept.dataset_metadata)

    def literal_map(self, uri: str) -> literals_pb2.LiteralMap | None:
        """One that is kept in the store."""
        return self._control_plane.literal_maps.resolve(uri)

    # EventSink

    def emit(
        self,
        *events: Event,
        notes: Mapping[str, Note | None] | None = None,
        files: UnsyncedFiles | None = None,
    ) -> None:
        """One atomic batch; an event recorded before is ignored.

        What has happened cannot be asked for again, so it is taken down however much waits for the disk already. That
        is not much: nodes wait in ``durable`` before they start anything new.
        """
        with self._store.batch(insist=True):
            for event in events:
                self._record(event)
            for key, note in (notes or {}).items():
                if note is None:
                    self._notes.remove(key)
                else:
                    self._notes.put(key, dict(note))
            if files is not None:
                self._files.add(execution_key(files.execution), files.contents)

    async def durable(self) -> None:
        """Wait for the journal; a disk that refuses makes executions wait, not fail."""
        await self._store.durable(patient=True)

    def create_execution(
        self, request: execution_pb2.ExecutionCreateRequest
    ) -> identifier_pb2.WorkflowExecutionIdentifier:
        """Raises what CreateExecution raises."""
        return self._control_plane.executions.create(request).id

    def terminate_execution(self, id: identifier_pb2.WorkflowExecutionIdentifier, cause: str) -> None:
        """A child that has ended, or never was, is left alone."""
        try:
            self._control_plane.executions.terminate(execution_pb2.ExecutionTerminateRequest(id=id, cause=cause))
        except (FailedPrecondition, NotFound):
            return

    def signal(self, id: identifier_pb2.SignalIdentifier, type: types_pb2.LiteralType) -> signal_pb2.Signal:
        """Raises AlreadyExists when the signal has another type."""
        return self._control_plane.signals.get_or_create(signal_pb2.SignalGetOrCreateRequest(id=id, type=type))

    def keep_artifact(
        self, dataset: identifier_pb2.Identifier, tag: str, artifact: CachedArtifact, *, replace: bool
    ) -> str:
        """The id of the artifact that is there now."""
        kept = Kept(artifact.id, artifact.outputs, artifact.metadata, artifact.dataset_metadata)
        with self._store.batch(insist=True):
            return self._control_plane.artifacts.keep(dataset, tag, kept, replace=replace)

    def reserve(self, dataset: identifier_pb2.Identifier, tag: str, owner: str) -> ReservationHolder:
        """Take it unless another has it."""
        with self._store.batch(insist=True):
            holder = self._control_plane.reservations.take(dataset, tag, owner)
        return ReservationHolder(holder.owner, holder.expires_in)

    def release(self, dataset: identifier_pb2.Identifier, tag: str, owner: str) -> None:
        """Give it back."""
        with self._store.batch(insist=True):
            self._control_plane.reservations.give_back(dataset, tag, owner)

    def _record(self, event: Event) -> None:
        events = self._control_plane.events
        try:
            if isinstance(event, event_pb2.WorkflowExecutionEvent):
                events.create_workflow_event(event_requests.WorkflowExecutionEventRequest(event=event))
            elif isinstance(event, event_pb2.NodeExecutionEvent):
                events.create_node_event(event_requests.NodeExecutionEventRequest(event=event))
            else:
                events.create_task_event(event_requests.TaskExecutionEventRequest(event=event))
        except AlreadyExists:
            return  # a step replayed after a restart; flytepropeller/events treats it as success too
