"""How nodes fail, and whether they may try again.

Rules: ``flytepropeller/pkg/controller/nodes/executor.go`` (isEligibleForRetry).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from flyteidl.core import execution_pb2, tasks_pb2, workflow_pb2
from google.protobuf import duration_pb2

from flytelite.engine.tasks.templates import go_duration

SYSTEM_FAILURES = 3
"""System failures a node may have and still try again (max-node-retries-system-failures)."""

ERROR_LIMIT = 100 * 1024
"""Characters of an error message that are kept."""

_LASTING = ("queued_at", "system_failures", "free_failures", "at", "reservation")
"""What a note keeps from one attempt to the next."""

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


def spend(note: dict[str, Any], failure: NodeFailed, attempts: int) -> None:
    """Take the next attempt out of the budget that ``note`` keeps. Raises NodeFailed when there is none left.

    The note is a node's or an array element's: ``attempt``, ``system_failures``, ``free_failures``.
    """
    if failure.free:
        note["free_failures"] = int(note.get("free_failures", 0)) + 1
        return
    counted = int(note["attempt"]) - int(note.get("free_failures", 0))
    final = exhausted(failure.error, counted, int(note["system_failures"]), attempts)
    if final is not None:
        raise final from failure
    if failure.error.kind == SYSTEM:
        note["system_failures"] += 1


def fresh_note() -> dict[str, Any]:
    """The note of a node or element before its first attempt."""
    return {"attempt": 0, "system_failures": 0}


def next_attempt(note: dict[str, Any]) -> dict[str, Any]:
    """The note for the attempt after; what belonged to the last one only is gone."""
    kept = {name: note[name] for name in _LASTING if name in note}
    return {**kept, "attempt": int(note["attempt"]) + 1}


def verdict(
    note: Mapping[str, Any], error: execution_pb2.ExecutionError, retryable: bool, free: bool = False
) -> NodeFailed:
    """A failed attempt as a failure; one that ended because the server was stopped must not cost anybody a retry."""
    if note.get("stopped") and retryable and error.kind == SYSTEM:
        message = "the attempt was ended because flytelite was stopped"
        return NodeFailed(execution_error(SYSTEM, "Interrupted", message), retryable=True, free=True)
    return NodeFailed(error, retryable, free)


def timeout_expired(timeout: duration_pb2.Duration) -> NodeFailed:
    """The failure of an attempt that took longer than its timeout."""
    return failed(USER, "TimeoutExpired", f"task execution timeout [{go_duration(timeout)}] expired", retryable=True)


def seconds(duration: duration_pb2.Duration) -> float:
    """A duration as seconds."""
    return float(duration.seconds + duration.nanos / 1e9)
