"""Which phases are final, and their names in columns and messages (``flyteadmin/pkg/common/executions.go``)."""

from __future__ import annotations

from typing import Any

from flyteidl.core import execution_pb2

from flytelite.server.admin.validation import invalid

WORKFLOW = execution_pb2.WorkflowExecution.Phase
NODE = execution_pb2.NodeExecution.Phase
TASK = execution_pb2.TaskExecution.Phase

WORKFLOW_TERMINAL = frozenset({WORKFLOW.SUCCEEDED, WORKFLOW.FAILED, WORKFLOW.TIMED_OUT, WORKFLOW.ABORTED})
NODE_TERMINAL = frozenset({NODE.SUCCEEDED, NODE.FAILED, NODE.TIMED_OUT, NODE.ABORTED, NODE.SKIPPED, NODE.RECOVERED})
TASK_TERMINAL = frozenset({TASK.SUCCEEDED, TASK.FAILED, TASK.ABORTED})

UNFINISHED = tuple(name for name, value in WORKFLOW.items() if value not in WORKFLOW_TERMINAL)
"""The names of all phases of a workflow execution that are not terminal."""


def name(phases: Any, phase: int) -> str:
    """The name of a phase of ``WORKFLOW``, ``NODE`` or ``TASK``. Raises InvalidArgument for a number without one."""
    try:
        return str(phases.Name(phase))
    except ValueError:
        raise invalid("phase") from None
