"""The node executions of one execution as a tree of plain records, cheap to read again and again."""

from __future__ import annotations

import datetime
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from flyteidl.admin import node_execution_pb2, task_execution_pb2
from flyteidl.core import execution_pb2, identifier_pb2

from flytelite.cli.client import Client
from flytelite.cli.gates import Gate, Gates

LOG_NAME = "log file"
"""How the logs begin that are files; those of a map task's items are numbered."""
_OWN_LOG = re.compile(r"(log file|task log)(-\d+)?")
"""What flytelite's own logs of an attempt are called, the second of which is the first by HTTP."""
_SUBMITTED = "task submitted"
"""The reason of an attempt of which there is nothing to say; of other Flytes too."""
_BOUNDARY = ("start-node", "end-node")
_NOT_STARTED = (execution_pb2.NodeExecution.UNDEFINED, execution_pb2.NodeExecution.QUEUED)
_OVER = (
    execution_pb2.NodeExecution.SUCCEEDED,
    execution_pb2.NodeExecution.FAILED,
    execution_pb2.NodeExecution.ABORTED,
    execution_pb2.NodeExecution.SKIPPED,
    execution_pb2.NodeExecution.TIMED_OUT,
    execution_pb2.NodeExecution.RECOVERED,
)


class Link(NamedTuple):
    """Where more is to be seen of an attempt, as a connector tells it."""

    name: str
    uri: str

    @property
    def text(self) -> str:
        """Both in a line."""
        return f"{self.name} {self.uri}".strip()


@dataclass(frozen=True)
class Attempts:
    """What the task executions of a node say."""

    count: int = 0
    task: str = ""
    logs: tuple[str, ...] = ()
    failure_log: str = ""
    """Of the last attempt, of a map task the last item that failed."""
    links: tuple[Link, ...] = ()
    """All that are no log of flytelite's own."""
    last_links: tuple[Link, ...] = ()
    """Of the last attempt, of a map task the last item that has some."""
    items: tuple[int, int] | None = None
    """Of a map task: items done, items in all."""
    peak_memory: float = 0.0
    """Bytes: the most that one process had."""
    cpu_seconds: float = 0.0
    """Of all processes together."""
    reason: str = ""
    """What was said last of the last attempt, if anything."""


@dataclass(frozen=True)
class NodeView:
    """One node execution and, below it, those of its sub-workflow, branch, dynamic part or child execution."""

    message: node_execution_pb2.NodeExecution
    attempts: Attempts
    children: tuple[NodeView, ...] = field(default=())
    gate: Gate | None = None
    """Known of gates that were seen waiting."""

    @property
    def id(self) -> str:
        """The node's name in its workflow."""
        return str(self.message.metadata.spec_node_id or self.message.id.node_id)

    @property
    def key(self) -> str:
        """What tells it from every other node execution, those of child executions included."""
        return _key(self.message)

    @property
    def phase(self) -> int:
        """A flyteidl.core.NodeExecution.Phase."""
        return int(self.message.closure.phase)

    @property
    def phase_name(self) -> str:
        """E.g. ``RUNNING``."""
        return str(execution_pb2.NodeExecution.Phase.Name(self.phase))

    @property
    def what(self) -> str:
        """What it runs or waits for; empty for what only holds other nodes, and before it is known."""
        return self.attempts.task or (self.gate.text if self.gate is not None else "")

    @property
    def remark(self) -> str:
        """While it runs: what people should know, e.g. which containers of its pod are missing, or where its job is."""
        reason = self.attempts.reason if self.phase == execution_pb2.NodeExecution.RUNNING else _SUBMITTED
        return "" if reason == _SUBMITTED else (reason.splitlines() or [""])[0]

    @property
    def waits_for(self) -> Gate | None:
        """The gate that has not opened yet."""
        return self.gate if self.phase == execution_pb2.NodeExecution.RUNNING else None

    @property
    def elapsed(self) -> datetime.timedelta | None:
        """How long it ran, or has been running until now; None before it started."""
        closure = self.message.closure
        if not closure.HasField("started_at"):
            return None
        if self.phase == execution_pb2.NodeExecution.RUNNING:
            started: datetime.datetime = closure.started_at.ToDatetime(datetime.UTC)
            return datetime.datetime.now(datetime.UTC) - started
        if not closure.HasField("duration"):
            return None
        duration: datetime.timedelta = closure.duration.ToTimedelta()
        return duration

    def walk(self, depth: int = 0) -> Iterator[tuple[int, NodeView]]:
        """This node and all below it, with how deep they lie."""
        yield depth, self
        for child in self.children:
            yield from child.walk(depth + 1)


class NodeReader:
    """Reads the tree of an execution; what is over and has not changed is not asked for again."""

    def __init__(self, client: Client) -> None:
        self._client = client
        self._settled: dict[str, NodeView] = {}
        self._gates = Gates(client)
        self._seen: dict[str, Gate] = {}

    def read(
        self,
        id: identifier_pb2.WorkflowExecutionIdentifier,
        above: Sequence[node_execution_pb2.NodeExecution] = (),
        filters: str = "",
    ) -> tuple[NodeView, ...]:
        """The nodes of an execution, or below the last of ``above``, without the start and end nodes.

        ``filters`` choose among these nodes, not among those below them.
        """
        parent = above[-1].id.node_id if above else ""
        views = [
            self._view(execution, above)
            for execution in self._client.node_executions(id, parent, filters)
            if execution.metadata.spec_node_id not in _BOUNDARY and execution.id.node_id not in _BOUNDARY
        ]
        return tuple(sorted(views, key=lambda view: _natural(view.id)))

    def _view(
        self, execution: node_execution_pb2.NodeExecution, above: Sequence[node_execution_pb2.NodeExecution]
    ) -> NodeView:
        settled = self._settled.get(_key(execution))
        if settled is not None and settled.message == execution:
            return settled
        child = execution.closure.workflow_node_metadata.executionId
        children: tuple[NodeView, ...] = ()
        if child.name:
            children = self.read(child)
        elif execution.metadata.is_parent_node:
            children = self.read(execution.id.execution_id, (*above, execution))
        attempts = self._attempts(execution)
        gate = None if attempts.count or children else self._gate(execution, above)
        view = NodeView(execution, attempts, children, gate)
        if execution.closure.phase in _OVER:
            self._settled[view.key] = view
        return view

    def _attempts(self, execution: node_execution_pb2.NodeExecution) -> Attempts:
        if execution.closure.phase in _NOT_STARTED:
            return Attempts()
        return _attempts(list(self._client.task_executions(execution.id)))

    def _gate(
        self, execution: node_execution_pb2.NodeExecution, above: Sequence[node_execution_pb2.NodeExecution]
    ) -> Gate | None:
        """Of a node that waits, or was seen waiting before; what has run is not looked up."""
        key = _key(execution)
        is_parent = execution.metadata.is_parent_node or bool(execution.closure.workflow_node_metadata.executionId.name)
        if execution.closure.phase == execution_pb2.NodeExecution.RUNNING and not is_parent and key not in self._seen:
            found = self._gates.find(execution, above)
            if found is not None:
                self._seen[key] = found
        return self._seen.get(key)


def failed_leaves(nodes: tuple[NodeView, ...]) -> list[NodeView]:
    """The nodes where a failure began: those that failed and have no failed node below them."""
    failed = {execution_pb2.NodeExecution.FAILED, execution_pb2.NodeExecution.TIMED_OUT}
    found = []
    for node in nodes:
        if node.phase not in failed | {execution_pb2.NodeExecution.FAILING}:
            continue
        found += failed_leaves(node.children) or [node]
    return found


def _attempts(executions: list[task_execution_pb2.TaskExecution]) -> Attempts:
    if not executions:
        return Attempts()
    last = executions[-1]
    parts = sorted(last.closure.metadata.external_resources, key=lambda part: part.retry_attempt)
    items = {part.index: part for part in parts}.values()  # of each item its last attempt
    failed = [item for item in items if item.phase == execution_pb2.TaskExecution.FAILED]
    failure_logs = [path for part in failed or [last.closure] for path in _paths(part.logs)]
    usages = [dict(info) for execution in executions for info in _infos(execution.closure) if "cpu_seconds" in info]
    logs = [log for execution in executions for part in _logs(execution.closure) for log in part]
    last_links = [links for part in _logs(last.closure) if (links := tuple(_links(part)))]
    return Attempts(
        count=max(execution.id.retry_attempt for execution in executions) + 1,
        task=last.id.task_id.name,
        logs=tuple(_paths(logs)),
        failure_log=failure_logs[-1] if failure_logs else "",
        links=tuple(_links(logs)),
        last_links=last_links[-1] if last_links else (),
        items=(sum(item.phase == execution_pb2.TaskExecution.SUCCEEDED for item in items), len(items))
        if items
        else None,
        peak_memory=max((usage["peak_memory_bytes"] for usage in usages), default=0.0),
        cpu_seconds=sum(usage["cpu_seconds"] for usage in usages),
        reason=last.closure.reason,
    )


def _logs(closure: task_execution_pb2.TaskExecutionClosure) -> Iterator[Iterable[Any]]:
    """The TaskLogs of an attempt and, of a map task's, of each of its items."""
    yield closure.logs
    for item in closure.metadata.external_resources:
        yield item.logs


def _infos(closure: task_execution_pb2.TaskExecutionClosure) -> Iterator[Any]:
    """The custom info of an attempt and, of a map task's, of all its items."""
    yield closure.custom_info
    for item in closure.metadata.external_resources:
        yield item.custom_info


def _paths(logs: Iterable[Any]) -> Iterator[str]:
    return (log.uri.removeprefix("file://") for log in logs if log.name.startswith(LOG_NAME))


def _links(logs: Iterable[Any]) -> Iterator[Link]:
    return (Link(log.name, log.uri) for log in logs if not _OWN_LOG.fullmatch(log.name))


def _key(execution: node_execution_pb2.NodeExecution) -> str:
    return f"{execution.id.execution_id.name}/{execution.id.node_id}"


def _natural(id: str) -> list[tuple[int, str]]:
    """A sort key that puts n2 before n10."""
    return [(int(part), "") if part.isdigit() else (-1, part) for part in re.split(r"(\d+)", id)]
