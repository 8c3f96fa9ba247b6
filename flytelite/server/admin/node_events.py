"""What a node event is allowed to do to a node execution, and what it writes.

Source: flyteadmin/pkg/manager/impl/node_execution_manager.go,
flyteadmin/pkg/repositories/transformers/node_execution.go.
"""

from __future__ import annotations

from typing import Any

from flyteidl.admin import node_execution_pb2
from flyteidl.core import catalog_pb2

from flytelite.errors import AlreadyExists
from flytelite.server.admin import event_checks, phases
from flytelite.server.admin.filters import duration_seconds, timestamp_text
from flytelite.server.admin.identifiers import execution_key, node_execution_key, text
from flytelite.server.admin.literal_maps import LiteralMaps
from flytelite.server.admin.records import Record
from flytelite.server.admin.workflow_events import error_kind

PHASE = phases.NODE


def check(event: Any, record: Record[node_execution_pb2.NodeExecution]) -> None:
    """Raise AlreadyExists for a phase recorded before, FailedPrecondition when the node has ended."""
    stored = record.message.closure.phase
    if stored == event.phase:
        raise AlreadyExists(f"This phase was already recorded {phases.name(PHASE, stored)} for {text(event.id)}")
    if stored in phases.NODE_TERMINAL:
        name = phases.name(PHASE, event.phase)
        # The detail names the phase that was asked for, not the stored one: so does FlyteAdmin.
        raise event_checks.already_terminal(
            f"Invalid phase change from {phases.name(PHASE, stored)} to {name} for node execution {text(event.id)}",
            name,
        )


def create(event: Any, parent: str | None, literal_maps: LiteralMaps) -> Record[node_execution_pb2.NodeExecution]:
    """The record that the first NodeExecutionEvent of a node makes.

    ``parent`` is the key of the node or task execution under which it is listed; None at the top level.
    """
    execution = event.id.execution_id
    message = node_execution_pb2.NodeExecution(id=event.id)
    message.closure.created_at.CopyFrom(event.occurred_at)
    metadata = message.metadata
    metadata.SetInParent()
    metadata.retry_group = event.retry_group
    metadata.spec_node_id = event.spec_node_id
    columns = {
        "execution": execution_key(execution),
        "parent": execution_key(execution) if parent is None else parent,
        "execution_project": execution.project,
        "execution_domain": execution.domain,
        "execution_name": execution.name,
        "node_id": event.id.node_id,
        "input_uri": "",
        "started_at": None,
        "node_execution_created_at": timestamp_text(event.occurred_at),
        "duration": 0.0,
        "error_kind": None,
        "error_code": None,
        "cache_status": None,
    }
    record = Record(node_execution_key(event.id), message, columns, {"event_version": event.event_version})
    _apply_common(event, record, literal_maps)
    return record


def update(event: Any, record: Record[node_execution_pb2.NodeExecution], literal_maps: LiteralMaps) -> None:
    """Change the record (an ``edit`` copy) as a later NodeExecutionEvent says."""
    closure = record.message.closure
    if event.HasField("workflow_node_metadata") and not closure.HasField("workflow_node_metadata"):
        closure.workflow_node_metadata.executionId.CopyFrom(event.workflow_node_metadata.execution_id)
    _apply_common(event, record, literal_maps)
    dynamic_job_spec_uri = event.task_node_metadata.dynamic_workflow.dynamic_job_spec_uri
    if dynamic_job_spec_uri:
        closure.dynamic_job_spec_uri = dynamic_job_spec_uri


def _apply_common(event: Any, record: Record[node_execution_pb2.NodeExecution], literal_maps: LiteralMaps) -> None:
    message, columns = record.message, record.columns
    message.closure.phase = event.phase
    message.closure.updated_at.CopyFrom(event_checks.recorded_at(event))
    columns["phase"] = phases.name(PHASE, event.phase)
    columns["node_execution_updated_at"] = timestamp_text(message.closure.updated_at)
    metadata = message.metadata
    metadata.is_parent_node |= event.is_parent
    metadata.is_dynamic |= event.is_dynamic
    metadata.is_array |= event.is_array
    if not message.input_uri:
        message.input_uri = literal_maps.offload(event.input_data) if event.HasField("input_data") else event.input_uri
        columns["input_uri"] = message.input_uri
    if event.phase == PHASE.RUNNING:
        message.closure.started_at.CopyFrom(event.occurred_at)
        message.closure.deck_uri = event.deck_uri
        columns["started_at"] = timestamp_text(event.occurred_at)
    if event.phase in phases.NODE_TERMINAL:
        _end(event, record, literal_maps)
    if event.HasField("task_node_metadata"):
        _set_task_metadata(event.task_node_metadata, record)


def _end(event: Any, record: Record[node_execution_pb2.NodeExecution], literal_maps: LiteralMaps) -> None:
    closure, columns = record.message.closure, record.columns
    if closure.HasField("started_at"):
        closure.duration.CopyFrom(event_checks.elapsed(closure.started_at, event.occurred_at))
        columns["duration"] = duration_seconds(closure.duration)
    if event.output_uri:
        closure.output_uri = event.output_uri
    elif event.HasField("output_data"):
        closure.output_uri = literal_maps.offload(event.output_data)
    elif event.HasField("error"):
        closure.error.CopyFrom(event.error)
        columns["error_kind"] = error_kind(event.error)
        columns["error_code"] = event.error.code
    closure.deck_uri = event.deck_uri


def _set_task_metadata(metadata: Any, record: Record[node_execution_pb2.NodeExecution]) -> None:
    stored = node_execution_pb2.TaskNodeMetadata(checkpoint_uri=metadata.checkpoint_uri)
    if metadata.HasField("catalog_key"):
        stored.cache_status = metadata.cache_status
        stored.catalog_key.CopyFrom(metadata.catalog_key)
        statuses = catalog_pb2.CatalogCacheStatus
        known = metadata.cache_status in statuses.values()
        record.columns["cache_status"] = statuses.Name(metadata.cache_status) if known else str(metadata.cache_status)
    record.message.closure.task_node_metadata.CopyFrom(stored)
