"""How nodes fail, and whether they may try again.

Rules: ``flytepropeller/pkg/controller/nodes/executor.go`` (isEligibleForRetry).
"""

from __future__ import annotations

from flyteidl.core import execution_pb2, tasks_pb2, workflow_pb2
from google.protobuf import duration_pb2

SYSTEM_FAILURES = 3
"""System failures a node may have and still try again (max-node-retries-system-failures)."""

ERROR_LIMIT = 100 * 1024
"""Characters of an error message that are kept."""

USER = execution_pb2.ExecutionError.USER
SYSTEM = execution_pb2.ExecutionError.SYSTEM
UNKNOWN = execution_pb2.ExecutionError.UNKNOWN


class NodeFailed(Exception):
    """The node, or this attempt of it, failed.

    ``retryable`` leaves the decision to the retry budget, which a ``free`` failure does not touch.
    """

    def __init__(self, error: execution_pb2.ExecutionError, retryable: bool = False, free: bool = False) -> None:
        super().__init__(f"{error.code}: {error.message}")
        self.error = error
        self.retryable = retryable
        self.free = free


class NodeTimedOut(Exception):
    """The node did not end before its active deadline."""


def failed(kind: int, code: str, message: str, retryable: bool = False) -> NodeFailed:
    """A failure of that kind, to be raised."""
    return NodeFailed(execution_error(kind, code, message), retryable)


def execution_error(kind: int, code: str, message: str) -> execution_pb2.ExecutionError:
    """An error with a message cut to what Flyte keeps."""
    return execution_pb2.ExecutionError(kind=kind, code=code, message=shortened(message))


def shortened(message: str) -> str:
    """A message of at most ERROR_LIMIT characters: both ends, with a mark where the middle was."""
    if len(message) <= ERROR_LIMIT:
        return message
    mark = "\n... <Message truncated> ...\n"
    half = (ERROR_LIMIT - len(mark)) // 2
    return message[:half] + mark + message[-half:]


def max_attempts(node: workflow_pb2.Node, template: tasks_pb2.TaskTemplate | None) -> int:
    """How often user failures may end an attempt: retries of the node, else of the task, plus one."""
    retries = node.metadata.retries.retries
    if not retries and template is not None:
        retries = template.metadata.retries.retries
    return int(retries) + 1


def exhausted(
    error: execution_pb2.ExecutionError, attempt: int, system_failures: int, attempts: int
) -> NodeFailed | None:
    """The final failure, or None when the budget allows another attempt.

    ``attempt`` counts all attempts from 0, ``system_failures`` those before this one, ``attempts`` is max_attempts.
    """
    if error.kind == SYSTEM:
        current, allowed = system_failures, SYSTEM_FAILURES
    else:
        current, allowed = attempt + 1 - system_failures, attempts
    if current < allowed:
        return None
    kind = execution_pb2.ExecutionError.ErrorKind.Name(error.kind)
    message = f"[{current}/{allowed}] currentAttempt done. Last Error: {kind}::{error.message}"
    return failed(USER, f"RetriesExhausted|{error.code}", message)


def seconds(duration: duration_pb2.Duration) -> float:
    """A duration as seconds."""
    return float(duration.seconds + duration.nanos / 1e9)
