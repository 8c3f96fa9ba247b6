"""Events as FlytePropeller sends them.

Rules: ``flytepropeller/pkg/controller/nodes/transformers.go`` and ``.../nodes/task/transformer.go``.
"""

from __future__ import annotations

import time
from typing import Any

from flyteidl.core import execution_pb2, identifier_pb2
from flyteidl.event import event_pb2
from google.protobuf import struct_pb2, timestamp_pb2

from flytelite.engine.executors.interface import Outcome

PRODUCER = "propeller"
EVENT_VERSION = 1

WorkflowPhase = execution_pb2.WorkflowExecution
NodePhase = execution_pb2.NodeExecution
TaskPhase = execution_pb2.TaskExecution

WORKFLOW_TERMINAL = frozenset(
    {WorkflowPhase.SUCCEEDED, WorkflowPhase.FAILED, WorkflowPhase.ABORTED, WorkflowPhase.TIMED_OUT}
)
NODE_TERMINAL = frozenset(
    {
        NodePhase.SUCCEEDED,
        NodePhase.FAILED,
        NodePhase.ABORTED,
        NodePhase.SKIPPED,
        NodePhase.TIMED_OUT,
        NodePhase.RECOVERED,
    }
)
TASK_TERMINAL = frozenset({TaskPhase.SUCCEEDED, TaskPhase.FAILED, TaskPhase.ABORTED})


def aborted_if_begun(phase: int) -> int:
    """The last phase of an array's element whose array has ended."""
    return phase if phase in TASK_TERMINAL or phase == TaskPhase.UNDEFINED else TaskPhase.ABORTED


def timestamp(at: float) -> timestamp_pb2.Timestamp:
    """Seconds since the epoch as a message, to the microsecond."""
    microseconds = round(at * 1_000_000)
    return timestamp_pb2.Timestamp(seconds=microseconds // 1_000_000, nanos=microseconds % 1_000_000 * 1000)


def usage(outcome: Outcome) -> struct_pb2.Struct | None:
    """What an attempt's process took, as the custom info of its task execution: bytes, and processor seconds."""
    if outcome.lost or not outcome.peak_memory:
        return None
    found = struct_pb2.Struct()
    found.update({"peak_memory_bytes": outcome.peak_memory, "cpu_seconds": round(outcome.cpu_time, 6)})
    return found


def workflow_event(
    id: identifier_pb2.WorkflowExecutionIdentifier, phase: int, **fields: Any
) -> event_pb2.WorkflowExecutionEvent:
    """A workflow execution event that occurred now."""
    return event_pb2.WorkflowExecutionEvent(
        execution_id=id, producer_id=PRODUCER, phase=phase, occurred_at=timestamp(time.time()), **fields
    )


def node_event(
    execution: identifier_pb2.WorkflowExecutionIdentifier, unique_id: str, phase: int, at: float, **fields: Any
) -> event_pb2.NodeExecutionEvent:
    """A node execution event that occurred at ``at``; fields that are None are left out."""
    return event_pb2.NodeExecutionEvent(
        id=identifier_pb2.NodeExecutionIdentifier(node_id=unique_id, execution_id=execution),
        producer_id=PRODUCER,
        phase=phase,
        occurred_at=timestamp(at),
        reported_at=timestamp(time.time()),
        event_version=EVENT_VERSION,
        **{name: value for name, value in fields.items() if value is not None},
    )


def task_event(
    task: identifier_pb2.Identifier,
    node: identifier_pb2.NodeExecutionIdentifier,
    attempt: int,
    phase: int,
    at: float,
    *,
    reason: str = "",
    **fields: Any,
) -> event_pb2.TaskExecutionEvent:
    """A task execution event that occurred at ``at``; fields that are None are left out."""
    event = event_pb2.TaskExecutionEvent(
        task_id=task,
        parent_node_execution_id=node,
        retry_attempt=attempt,
        producer_id=PRODUCER,
        phase=phase,
        occurred_at=timestamp(at),
        reported_at=timestamp(time.time()),
        event_version=EVENT_VERSION,
        reason=reason,
        **{name: value for name, value in fields.items() if value is not None},
    )
    if reason:
        event.reasons.add(reason=reason, occurred_at=event.occurred_at)
    return event
