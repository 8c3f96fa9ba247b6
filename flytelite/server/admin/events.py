"""The event RPCs: how an engine tells what became of executions, nodes and attempts.

Each event is checked first and then applied in one batch, so a refused event changes nothing. The rules of each kind
are in workflow_events.py, node_events.py and task_events.py.
"""

from __future__ import annotations

from typing import Any

from flyteidl.admin import event_pb2, execution_pb2
from flyteidl.core import identifier_pb2

from flytelite.config import Settings
from flytelite.errors import NotFound
from flytelite.server.admin import event_checks, node_events, phases, task_events, validation, workflow_events
from flytelite.server.admin.changes import Changes, ExecutionChanged
from flytelite.server.admin.clock import Clock, now
from flytelite.server.admin.executions import Executions
from flytelite.server.admin.filters import timestamp_text
from flytelite.server.admin.identifiers import (
    execution_key,
    missing_entity,
    node_execution_key,
    task_execution_key,
    text,
)
from flytelite.server.admin.literal_maps import LiteralMaps
from flytelite.server.admin.message_printing import print_message
from flytelite.server.admin.node_executions import NodeExecutions
from flytelite.server.admin.records import Record
from flytelite.server.admin.task_executions import TaskExecutions
from flytelite.server.store.interface import Store


class Events:
    """CreateWorkflowEvent, CreateNodeEvent, CreateTaskEvent."""

    def __init__(
        self,
        store: Store,
        *,
        settings: Settings,
        executions: Executions,
        node_executions: NodeExecutions,
        task_executions: TaskExecutions,
        literal_maps: LiteralMaps,
        changes: Changes,
        clock: Clock = now,
    ) -> None:
        self._store = store
        self._max_output_bytes = settings.max_inline_bytes
        self._executions = executions.records
        self._nodes = node_executions.records
        self._closures = node_executions.closures
        self._tasks = task_executions.records
        self._literal_maps = literal_maps
        self._changes = changes
        self._clock = clock

    def create_workflow_event(
        self, request: event_pb2.WorkflowExecutionEventRequest
    ) -> event_pb2.WorkflowExecutionEventResponse:
        """CreateWorkflowEvent.

        Raises InvalidArgument, ResourceExhausted for inline outputs above the limit, NotFound, AlreadyExists for a
        phase recorded before and FailedPrecondition (detail EventFailureReason) for a change that cannot be.
        """
        event = request.event
        workflow_events.check_request(event, self._max_output_bytes)
        record = self._executions.edit(execution_key(event.execution_id))
        if record is None:
            raise missing_entity("execution", event.execution_id)
        workflow_events.check(event, record)
        with self._store.batch():
            workflow_events.apply(event, record, self._literal_maps)
            record.columns["updated_at"] = self._time()
            self._executions.put(record)
        self._publish(event.execution_id, terminal=event.phase in phases.WORKFLOW_TERMINAL)
        return event_pb2.WorkflowExecutionEventResponse()

    def create_node_event(self, request: event_pb2.NodeExecutionEventRequest) -> event_pb2.NodeExecutionEventResponse:
        """CreateNodeEvent.

        Raises InvalidArgument, NotFound when the execution, a parent or a launched execution does not exist,
        AlreadyExists for a phase recorded before and FailedPrecondition (detail EventFailureReason).
        """
        event = request.event
        validation.require(event.ByteSize(), "event")
        validation.require(event.id.node_id, "node_id")
        self._check_execution(event)
        record = self._nodes.edit(node_execution_key(event.id))
        if record is not None:
            node_events.check(event, record)
            self._check_launched(event)
        event_checks.times(event)
        with self._store.batch():
            if record is None:
                record = node_events.create(event, self._adopt(event), self._literal_maps)
                record.columns["created_at"] = self._time()
            else:
                node_events.update(event, record, self._literal_maps)
            self._keep_dynamic_workflow(event, record)
            record.columns["updated_at"] = self._time()
            self._nodes.put(record)
        self._publish(event.id.execution_id)
        return event_pb2.NodeExecutionEventResponse()

    def create_task_event(self, request: event_pb2.TaskExecutionEventRequest) -> event_pb2.TaskExecutionEventResponse:
        """CreateTaskEvent.

        Raises InvalidArgument, ResourceExhausted for inline outputs above the limit, NotFound when the execution or
        the node does not exist, AlreadyExists for a phase and version recorded before and FailedPrecondition (detail
        EventFailureReason).
        """
        event = request.event
        task_events.check_request(event, self._max_output_bytes)
        node = event.parent_node_execution_id
        event_checks.producer(event.producer_id, self._existing(node.execution_id).columns["cluster"])
        id = task_events.identifier(event)
        record = self._tasks.edit(task_execution_key(id))
        if record is not None:
            task_events.check(event, record)
        elif node_execution_key(node) not in self._nodes:
            raise NotFound(
                f"Failed to get existing node execution id: [{text(node)}] "
                f"with err: {missing_entity('node execution', node).message}"
            )
        with self._store.batch():
            if record is None:
                record = task_events.create(event, id, self._literal_maps)
                record.columns["created_at"] = self._time()
            else:
                task_events.update(event, record, self._literal_maps)
            record.columns["updated_at"] = self._time()
            self._tasks.put(record)
        self._publish(node.execution_id)
        return event_pb2.TaskExecutionEventResponse()

    def _existing(self, id: identifier_pb2.WorkflowExecutionIdentifier) -> Record[execution_pb2.Execution]:
        record = self._executions.get(execution_key(id))
        if record is None:
            raise missing_entity("execution", id)
        return record

    def _check_execution(self, event: Any) -> None:
        id = event.id.execution_id
        try:
            cluster = self._existing(id).columns["cluster"]
        except NotFound as error:
            raise NotFound(f"Failed to get existing execution id: [{text(id)}] with err: {error.message}") from None
        event_checks.producer(event.producer_id, cluster)

    def _check_launched(self, event: Any) -> None:
        """An execution that a node says it launched must exist."""
        if event.HasField("workflow_node_metadata"):
            self._existing(event.workflow_node_metadata.execution_id)

    def _adopt(self, event: Any) -> str | None:
        """Note at the parent of a new node that it has children; returns the parent's key, None at the top level."""
        if event.HasField("parent_node_metadata"):
            return self._adopt_below_node(
                identifier_pb2.NodeExecutionIdentifier(
                    execution_id=event.id.execution_id, node_id=event.parent_node_metadata.node_id
                )
            )
        if event.HasField("parent_task_metadata"):
            return self._adopt_below_task(event.parent_task_metadata.id)
        return None

    def _adopt_below_node(self, id: identifier_pb2.NodeExecutionIdentifier) -> str:
        parent = self._nodes.get(node_execution_key(id))
        if parent is None:
            raise missing_entity("node execution", id)
        if not parent.extra.get("has_children"):
            self._nodes.put(Record(parent.key, parent.message, parent.columns, {**parent.extra, "has_children": True}))
        return parent.key

    def _adopt_below_task(self, id: identifier_pb2.TaskExecutionIdentifier) -> str:
        parent = self._tasks.edit(task_execution_key(id))
        if parent is None:
            raise missing_entity("task execution", id)
        if not parent.message.is_parent:
            parent.message.is_parent = True
            self._tasks.put(parent)
        return parent.key

    def _keep_dynamic_workflow(self, event: Any, record: Any) -> None:
        """Keep the workflow that a dynamic node made; later events without one leave it in place."""
        dynamic = event.task_node_metadata.dynamic_workflow
        if dynamic.HasField("compiled_workflow"):
            record.extra["dynamic_workflow"] = {
                "id": print_message(dynamic.compiled_workflow.primary.template.id),
                "closure": self._closures.put(dynamic.compiled_workflow),
            }

    def _time(self) -> str:
        return timestamp_text(self._clock())

    def _publish(self, id: identifier_pb2.WorkflowExecutionIdentifier, terminal: bool = False) -> None:
        self._changes.publish(ExecutionChanged(id, terminal))
