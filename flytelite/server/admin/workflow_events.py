"""What a workflow event is allowed to do to an execution, and what it writes.

Source: flyteadmin/pkg/manager/impl/execution_manager.go, flyteadmin/pkg/repositories/transformers/execution.go.
"""

from __future__ import annotations

from typing import Any

from flyteidl.admin import execution_pb2
from flyteidl.core import execution_pb2 as core_execution_pb2

from flytelite.errors import AlreadyExists, FailedPrecondition, InvalidArgument
from flytelite.server.admin import event_checks, phases
from flytelite.server.admin.filters import duration_seconds, timestamp_text
from flytelite.server.admin.identifiers import text
from flytelite.server.admin.literal_maps import LiteralMaps
from flytelite.server.admin.records import Record

PHASE = phases.WORKFLOW
_REASSIGNABLE = frozenset({PHASE.UNDEFINED, PHASE.QUEUED})


def check_request(event: Any, max_output_bytes: int) -> None:
    """Raise InvalidArgument for an event of no execution, ResourceExhausted for outputs that are too large."""
    if not event.ByteSize():
        raise InvalidArgument("Workflow event handler was called without event")
    if not event.HasField("execution_id"):
        raise InvalidArgument(f"Workflow event handler request event doesn't have an execution id - {text(event)}")
    event_checks.output_size(event.output_data, max_output_bytes)


def check(event: Any, record: Record[execution_pb2.Execution]) -> None:
    """Raise AlreadyExists for a phase recorded before, FailedPrecondition for one that cannot follow."""
    stored, phase = record.message.closure.phase, event.phase
    stored_name, name = phases.name(PHASE, stored), phases.name(PHASE, phase)
    if phase != PHASE.QUEUED:  # a repeated QUEUED announces another cluster
        if stored == phase:
            raise AlreadyExists(
                f"This phase {stored_name} was already recorded for workflow execution {text(event.execution_id)}"
            )
        event_checks.producer(event.producer_id, record.columns["cluster"])
    if stored in phases.WORKFLOW_TERMINAL:
        raise event_checks.already_terminal(
            f"Invalid phase change from {stored_name} to {name} for workflow execution {text(event.execution_id)}",
            stored_name,
        )
    if stored == PHASE.RUNNING and phase == PHASE.QUEUED:
        raise FailedPrecondition(
            f"Cannot go from {stored_name} to {name} for workflow execution {text(event.execution_id)}"
        )
    if stored == PHASE.ABORTING and phase not in phases.WORKFLOW_TERMINAL:
        raise FailedPrecondition(
            f"Invalid phase change from aborting to {name} for workflow execution {text(event.execution_id)}"
        )
    event_checks.times(event)


def apply(event: Any, record: Record[execution_pb2.Execution], literal_maps: LiteralMaps) -> None:
    """Change the record (an ``edit`` copy) as the WorkflowExecutionEvent says."""
    closure, columns = record.message.closure, record.columns
    closure.phase = event.phase
    closure.updated_at.CopyFrom(event.occurred_at)
    columns["phase"] = phases.name(PHASE, event.phase)
    columns["execution_updated_at"] = timestamp_text(event.occurred_at)
    if event.phase == PHASE.RUNNING:
        closure.started_at.CopyFrom(event.occurred_at)
        columns["started_at"] = columns["execution_updated_at"]
    elif event.phase in phases.WORKFLOW_TERMINAL and closure.HasField("started_at"):
        closure.duration.CopyFrom(event_checks.elapsed(closure.started_at, event.occurred_at))
        columns["duration"] = duration_seconds(closure.duration)
    if event.phase in _REASSIGNABLE and event.producer_id not in event_checks.DEFAULT_PRODUCERS:
        columns["cluster"] = event.producer_id
        record.message.spec.metadata.system_metadata.execution_cluster = event.producer_id
    _set_result(event, record, literal_maps)
    if event.phase == PHASE.ABORTED and not closure.HasField("abort_metadata"):
        # FlyteAdmin adds this whenever it reads such an execution.
        closure.abort_metadata.cause = columns["abort_cause"]


def _set_result(event: Any, record: Record[execution_pb2.Execution], literal_maps: LiteralMaps) -> None:
    closure = record.message.closure
    if event.output_uri:
        closure.outputs.uri = event.output_uri
    elif event.HasField("output_data"):
        closure.outputs.uri = literal_maps.offload(event.output_data)
    elif event.HasField("error"):
        closure.error.CopyFrom(event.error)
        record.columns["error_kind"] = error_kind(event.error)
        record.columns["error_code"] = event.error.code


def error_kind(error: core_execution_pb2.ExecutionError) -> str:
    """The name of an ExecutionError's kind, or its number when it has none."""
    kinds = core_execution_pb2.ExecutionError.ErrorKind
    return str(kinds.Name(error.kind)) if error.kind in kinds.values() else str(error.kind)
