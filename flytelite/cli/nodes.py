"""The node executions of one execution as a tree of plain records, cheap to read again and again."""

from __future__ import annotations

import datetime
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from flyteidl.core import execution_pb2, identifier_pb2

from flytelite.cli.client import Client

LOG_NAME = "log file"
_BOUNDARY = ("start-node", "end-node")


@dataclass(frozen=True)
class Attempts:
    """What the task executions of a node say."""

    count: int = 0
    task: str = ""
    logs: tuple[str, ...] = ()
    items: tuple[int, int] | None = None
    """Of a map task: items done, items in all."""


@dataclass(frozen=True)
class NodeView:
    """One node execution and, below it, those of its sub-workflow, branch, dynamic part or child execution."""

    id: str
    identifier: identifier_pb2.NodeExecutionIdentifier
    phase: int
    started_at: datetime.datetime | None
    duration: datetime.timedelta | None
    attempts: Attempts
    children: tuple[NodeView, ...] = field(default=())

    @property
    def key(self) -> str:
        """What tells it from every other node execution, those of child executions included."""
        return _key(self.identifier)

    @property
    def phase_name(self) -> str:
        """E.g. ``RUNNING``."""
        return str(execution_pb2.NodeExecution.Phase.Name(self.phase))

    @property
    def elapsed(self) -> datetime.timedelta | None:
        """How long it ran, or has been running until now; None before it started."""
        if self.phase == execution_pb2.NodeExecution.RUNNING and self.started_at is not None:
            return datetime.datetime.now(datetime.UTC) - self.started_at
        return self.duration if self.started_at is not None else None

    def walk(self, depth: int = 0) -> Iterator[tuple[int, NodeView]]:
        """This node and all below it, with how deep they lie."""
        yield depth, self
        for child in self.children:
            yield from child.walk(depth + 1)


class NodeReader:
    """Reads the tree of an execution; what has not changed since the last time is not asked for again."""

    def __init__(self, client: Client) -> None:
        self._client = client
        self._attempts: dict[str, tuple[tuple[int, int], Attempts]] = {}

    def read(self, id: identifier_pb2.WorkflowExecutionIdentifier, parent: str = "") -> tuple[NodeView, ...]:
        """The nodes of an execution, or below one of its nodes, without the start and end nodes."""
        views = [
            self._view(execution)
            for execution in self._client.node_executions(id, parent)
            if execution.metadata.spec_node_id not in _BOUNDARY and execution.id.node_id not in _BOUNDARY
        ]
        return tuple(sorted(views, key=lambda view: _natural(view.id)))

    def _view(self, execution: Any) -> NodeView:
        closure = execution.closure
        child = closure.workflow_node_metadata.executionId
        children: tuple[NodeView, ...] = ()
        if child.name:
            children = self.read(child)
        elif execution.metadata.is_parent_node:
            children = self.read(execution.id.execution_id, execution.id.node_id)
        return NodeView(
            id=execution.metadata.spec_node_id or execution.id.node_id,
            identifier=execution.id,
            phase=closure.phase,
            started_at=_moment(closure, "started_at"),
            duration=closure.duration.ToTimedelta() if closure.HasField("duration") else None,
            attempts=self._attempts_of(execution),
            children=children,
        )

    def _attempts_of(self, execution: Any) -> Attempts:
        key = _key(execution.id)
        updated = (execution.closure.updated_at.seconds, execution.closure.updated_at.nanos)
        known = self._attempts.get(key)
        # A running task reports progress of its own (logs, map items), so only an ended node is settled.
        if known is not None and known[0] == updated and _is_over(execution.closure.phase):
            return known[1]
        if execution.closure.phase in (execution_pb2.NodeExecution.UNDEFINED, execution_pb2.NodeExecution.QUEUED):
            return Attempts()
        attempts = _attempts(list(self._client.task_executions(execution.id)))
        self._attempts[key] = (updated, attempts)
        return attempts


def failed_leaves(nodes: tuple[NodeView, ...]) -> list[NodeView]:
    """The nodes where a failure began: those that failed and have no failed node below them."""
    failed = {execution_pb2.NodeExecution.FAILED, execution_pb2.NodeExecution.TIMED_OUT}
    found = []
    for node in nodes:
        if node.phase not in failed | {execution_pb2.NodeExecution.FAILING}:
            continue
        found += failed_leaves(node.children) or [node]
    return found


def _attempts(executions: list[Any]) -> Attempts:
    if not executions:
        return Attempts()
    last = executions[-1]
    resources = last.closure.metadata.external_resources
    done = sum(resource.phase == execution_pb2.TaskExecution.SUCCEEDED for resource in resources)
    return Attempts(
        count=max(execution.id.retry_attempt for execution in executions) + 1,
        task=last.id.task_id.name,
        logs=tuple(
            log.uri.removeprefix("file://")
            for execution in executions
            for log in [*execution.closure.logs, *_item_logs(execution)]
            if log.name == LOG_NAME
        ),
        items=(done, len(resources)) if resources else None,
    )


def _item_logs(execution: Any) -> list[Any]:
    return [log for resource in execution.closure.metadata.external_resources for log in resource.logs]


def _key(id: identifier_pb2.NodeExecutionIdentifier) -> str:
    return f"{id.execution_id.name}/{id.node_id}"


def _natural(id: str) -> list[tuple[int, str]]:
    """A sort key that puts n2 before n10."""
    return [(int(part), "") if part.isdigit() else (-1, part) for part in re.split(r"(\d+)", id)]


def _is_over(phase: int) -> bool:
    return phase in (
        execution_pb2.NodeExecution.SUCCEEDED,
        execution_pb2.NodeExecution.FAILED,
        execution_pb2.NodeExecution.ABORTED,
        execution_pb2.NodeExecution.SKIPPED,
        execution_pb2.NodeExecution.TIMED_OUT,
        execution_pb2.NodeExecution.RECOVERED,
    )


def _moment(closure: Any, name: str) -> datetime.datetime | None:
    return getattr(closure, name).ToDatetime(datetime.UTC) if closure.HasField(name) else None
