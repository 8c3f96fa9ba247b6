"""Where the time of an execution went, as a tree of spans.

A span is of the execution, a node, a task or a launched execution, or of an operation between two of their moments,
such as NODE_SETUP. ``depth`` counts how many levels of spans to go down.

Source: flyteadmin/pkg/manager/impl/metrics_manager.go.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from flyteidl.admin import execution_pb2, node_execution_pb2, task_execution_pb2
from flyteidl.core import compiler_pb2, identifier_pb2, metrics_pb2, workflow_pb2
from google.protobuf import duration_pb2, timestamp_pb2

from flytelite.errors import FailedPrecondition
from flytelite.server.admin.executions import Executions
from flytelite.server.admin.identifiers import missing_entity, text
from flytelite.server.admin.node_executions import NodeExecutions
from flytelite.server.admin.task_executions import TaskExecutions
from flytelite.server.admin.workflows import Workflows

START_NODE = "start-node"
END_NODE = "end-node"

Spans = list[metrics_pb2.Span]
NodesBySpecId = Mapping[str, node_execution_pb2.NodeExecution]


@dataclass(frozen=True)
class _Level:
    """One level of nodes: the workflow they belong to, and the closure with what it refers to."""

    workflow: compiler_pb2.CompiledWorkflow
    closure: compiler_pb2.CompiledWorkflowClosure

    def node(self, spec_id: str) -> workflow_pb2.Node:
        template = self.workflow.template
        for node in (*template.nodes, template.failure_node):
            if node.id == spec_id:
                return node
        raise FailedPrecondition(f"failed to discover workflow node '{spec_id}' in workflow '{text(template.id)}'")

    def sub_workflow(self, id: identifier_pb2.Identifier) -> _Level:
        for workflow in self.closure.sub_workflows:
            if workflow.template.id == id:
                return _Level(workflow, self.closure)
        raise FailedPrecondition(f"failed to discover sub-workflow '{text(id)}' in '{text(self.workflow.template.id)}'")

    def last_upstream(self, spec_id: str, nodes: NodesBySpecId) -> timestamp_pb2.Timestamp | None:
        """When the last of the nodes before this one was done."""
        upstream = self.workflow.connections.upstream
        ids = upstream[spec_id].ids if spec_id in upstream else ()
        times = [nodes[id].closure.updated_at for id in ids if id in nodes]
        return max(times, key=_order, default=None)


class ExecutionMetrics:
    """The metrics RPC."""

    def __init__(
        self,
        executions: Executions,
        node_executions: NodeExecutions,
        task_executions: TaskExecutions,
        workflows: Workflows,
    ) -> None:
        self._executions = executions
        self._node_executions = node_executions
        self._task_executions = task_executions
        self._workflows = workflows

    def get(
        self, request: execution_pb2.WorkflowExecutionGetMetricsRequest
    ) -> execution_pb2.WorkflowExecutionGetMetricsResponse:
        """GetExecutionMetrics.

        Raises InvalidArgument, NotFound, and FailedPrecondition when events told of a node that the workflow lacks
        (which FlyteAdmin calls INTERNAL).
        """
        execution = self._executions.get(execution_pb2.WorkflowExecutionGetRequest(id=request.id))
        return execution_pb2.WorkflowExecutionGetMetricsResponse(span=self._execution(execution, request.depth))

    def _execution(self, execution: execution_pb2.Execution, depth: int) -> metrics_pb2.Span:
        closure = execution.closure
        spans: Spans = []
        if depth:
            id = closure.workflow_id
            compiled = self._workflows.closure(id)
            if compiled is None:
                raise missing_entity("WORKFLOW", id)
            nodes = self._nodes(execution.id)
            level = _Level(compiled.primary, compiled)
            start = nodes.get(START_NODE)
            if start is None:
                spans.append(_operation(closure.created_at, closure.updated_at, "WORKFLOW_SETUP"))
            else:
                spans.append(_operation(closure.created_at, start.closure.updated_at, "WORKFLOW_SETUP"))
                spans += self._level(nodes, level, depth - 1)
                spans += _remainder(level.last_upstream(END_NODE, nodes), closure.updated_at, "WORKFLOW_TEARDOWN")
        return metrics_pb2.Span(
            start_time=closure.created_at, end_time=closure.updated_at, workflow_id=execution.id, spans=spans
        )

    def _nodes(self, id: identifier_pb2.WorkflowExecutionIdentifier, parent: str = "") -> NodesBySpecId:
        children = self._node_executions.children(id, parent)
        return {node.metadata.spec_node_id: node for node in children}

    def _level(self, nodes: NodesBySpecId, level: _Level, depth: int) -> Spans:
        spans = []
        for execution in sorted(nodes.values(), key=lambda node: _order(node.closure.created_at)):
            spec_id = execution.metadata.spec_node_id
            if spec_id in (START_NODE, END_NODE):
                continue
            inside = self._node(execution, level.node(spec_id), level, depth)
            upstream = level.last_upstream(spec_id, nodes)
            if upstream is not None:
                inside.insert(0, _operation(upstream, execution.closure.created_at, "NODE_TRANSITION"))
            spans.append(_node_span(execution, inside))
        return spans

    def _node(
        self, execution: node_execution_pb2.NodeExecution, node: workflow_pb2.Node, level: _Level, depth: int
    ) -> Spans:
        """What went on inside one node; nothing is known of array nodes."""
        if not depth:
            return []
        match node.WhichOneof("target"):
            case "task_node" if execution.metadata.is_parent_node:
                return self._dynamic(execution, depth - 1)
            case "task_node":
                return self._task(execution, depth - 1)
            case "branch_node":
                return self._branch(execution, node.branch_node, level, depth - 1)
            case "gate_node":
                return _gate(execution.closure)
            case "workflow_node" if node.workflow_node.HasField("launchplan_ref"):
                return self._launch_plan(execution, depth - 1)
            case "workflow_node":
                return self._sub_workflow(execution, level.sub_workflow(node.workflow_node.sub_workflow_ref), depth - 1)
        return []

    def _task(self, execution: node_execution_pb2.NodeExecution, depth: int) -> Spans:
        closure = execution.closure
        attempts = self._attempts(execution)
        if not attempts:
            return [_operation(closure.created_at, closure.updated_at, "NODE_SETUP")]
        return [
            _operation(closure.created_at, attempts[0].closure.created_at, "NODE_SETUP"),
            *_attempt_spans(attempts, depth),
            *_remainder(attempts[-1].closure.updated_at, closure.updated_at, "NODE_TEARDOWN"),
        ]

    def _dynamic(self, execution: node_execution_pb2.NodeExecution, depth: int) -> Spans:
        closure = execution.closure
        attempts = self._attempts(execution)
        if not attempts:
            return [_operation(closure.created_at, closure.updated_at, "NODE_SETUP")]
        spans = [_operation(closure.created_at, attempts[0].closure.created_at, "NODE_SETUP")]
        spans += _attempt_spans(attempts, depth)
        made = attempts[-1].closure.updated_at
        nodes = self._nodes(execution.id.execution_id, execution.id.node_id)
        if not nodes:
            return spans + _remainder(made, closure.updated_at, "NODE_RESET")
        workflow = self._node_executions.dynamic_workflow(
            node_execution_pb2.GetDynamicNodeWorkflowRequest(id=execution.id)
        ).compiled_workflow
        spans.append(_operation(made, _started(nodes), "NODE_RESET"))
        return spans + self._children(closure, nodes, _Level(workflow.primary, workflow), depth)

    def _sub_workflow(self, execution: node_execution_pb2.NodeExecution, level: _Level, depth: int) -> Spans:
        closure = execution.closure
        nodes = self._nodes(execution.id.execution_id, execution.id.node_id)
        if not nodes:
            return [_operation(closure.created_at, closure.updated_at, "NODE_SETUP")]
        setup = _operation(closure.created_at, _started(nodes), "NODE_SETUP")
        return [setup, *self._children(closure, nodes, level, depth)]

    def _children(
        self, closure: node_execution_pb2.NodeExecutionClosure, nodes: NodesBySpecId, level: _Level, depth: int
    ) -> Spans:
        teardown = _remainder(level.last_upstream(END_NODE, nodes), closure.updated_at, "NODE_TEARDOWN")
        return self._level(nodes, level, depth) + teardown

    def _branch(
        self,
        execution: node_execution_pb2.NodeExecution,
        branch: workflow_pb2.BranchNode,
        level: _Level,
        depth: int,
    ) -> Spans:
        closure = execution.closure
        taken = list(self._nodes(execution.id.execution_id, execution.id.node_id).values())
        if not taken:
            return [_operation(closure.created_at, closure.updated_at, "NODE_SETUP")]
        if len(taken) != 1:
            raise FailedPrecondition(
                f"invalid branch node execution: expected 1 but found {len(taken)} node execution(s)"
            )
        child = taken[0]
        inside = self._node(child, _arm(branch, child.metadata.spec_node_id), level, depth)
        return [
            _operation(closure.created_at, child.closure.created_at, "NODE_SETUP"),
            _node_span(child, inside),
            *_remainder(child.closure.updated_at, closure.updated_at, "NODE_TEARDOWN"),
        ]

    def _launch_plan(self, execution: node_execution_pb2.NodeExecution, depth: int) -> Spans:
        closure = execution.closure
        if not closure.HasField("workflow_node_metadata"):
            return [_operation(closure.created_at, closure.updated_at, "NODE_SETUP")]
        launched = self._executions.find(closure.workflow_node_metadata.executionId)
        if launched is None:
            raise missing_entity("execution", closure.workflow_node_metadata.executionId)
        return [
            _operation(closure.created_at, launched.closure.created_at, "NODE_SETUP"),
            self._execution(launched, depth),
            *_remainder(launched.closure.updated_at, closure.updated_at, "NODE_TEARDOWN"),
        ]

    def _attempts(self, execution: node_execution_pb2.NodeExecution) -> Sequence[task_execution_pb2.TaskExecution]:
        attempts = self._task_executions.of_node(execution.id)
        return sorted(attempts, key=lambda attempt: _order(attempt.closure.created_at))


def _attempt_spans(attempts: Sequence[task_execution_pb2.TaskExecution], depth: int) -> Spans:
    spans = []
    before: task_execution_pb2.TaskExecution | None = None
    for attempt in attempts:
        if before is not None:
            spans.append(_operation(before.closure.updated_at, attempt.closure.created_at, "NODE_RESET"))
        if depth:
            spans.append(_attempt_span(attempt))
        before = attempt
    return spans


def _attempt_span(attempt: task_execution_pb2.TaskExecution) -> metrics_pb2.Span:
    closure = attempt.closure
    spans = []
    if not closure.HasField("started_at"):
        spans.append(_operation(closure.created_at, closure.updated_at, "TASK_SETUP"))
    else:
        spans.append(_operation(closure.created_at, closure.started_at, "TASK_SETUP"))
        if not _is_set(closure.duration):
            spans.append(_operation(closure.started_at, closure.updated_at, "TASK_RUNTIME"))
        else:
            end = _after(closure.started_at, closure.duration)
            spans.append(_operation(closure.started_at, end, "TASK_RUNTIME"))
            spans += _remainder(end, closure.updated_at, "TASK_TEARDOWN")
    return metrics_pb2.Span(start_time=closure.created_at, end_time=closure.updated_at, task_id=attempt.id, spans=spans)


def _gate(closure: node_execution_pb2.NodeExecutionClosure) -> Spans:
    if not closure.HasField("started_at"):
        return [_operation(closure.created_at, closure.updated_at, "NODE_SETUP")]
    setup = _operation(closure.created_at, closure.started_at, "NODE_SETUP")
    if not _is_set(closure.duration):
        return [setup, _operation(closure.started_at, closure.updated_at, "NODE_IDLE")]
    end = _after(closure.started_at, closure.duration)
    return [
        setup,
        _operation(closure.started_at, end, "NODE_IDLE"),
        _operation(end, closure.updated_at, "NODE_TEARDOWN"),
    ]


def _arm(branch: workflow_pb2.BranchNode, spec_id: str) -> workflow_pb2.Node:
    block = branch.if_else
    for node in (block.case.then_node, *(other.then_node for other in block.other), block.else_node):
        if node.id == spec_id:
            return node
    raise FailedPrecondition(f"failed to identify branch node final node definition for nodeID '{spec_id}'")


def _started(nodes: NodesBySpecId) -> timestamp_pb2.Timestamp:
    start = nodes.get(START_NODE)
    return timestamp_pb2.Timestamp() if start is None else start.closure.updated_at


def _node_span(execution: node_execution_pb2.NodeExecution, spans: Spans) -> metrics_pb2.Span:
    closure = execution.closure
    return metrics_pb2.Span(
        start_time=closure.created_at, end_time=closure.updated_at, node_id=execution.id, spans=spans
    )


def _operation(start: timestamp_pb2.Timestamp, end: timestamp_pb2.Timestamp, operation: str) -> metrics_pb2.Span:
    return metrics_pb2.Span(start_time=start, end_time=end, operation_id=operation)


def _remainder(start: timestamp_pb2.Timestamp | None, end: timestamp_pb2.Timestamp, operation: str) -> Spans:
    """The operation up to ``end``, unless its start is unknown or lies after the end."""
    return [] if start is None or _order(end) < _order(start) else [_operation(start, end, operation)]


def _order(stamp: timestamp_pb2.Timestamp) -> tuple[int, int]:
    return stamp.seconds, stamp.nanos


def _is_set(duration: duration_pb2.Duration) -> bool:
    return bool(duration.seconds or duration.nanos)


def _after(start: timestamp_pb2.Timestamp, duration: duration_pb2.Duration) -> timestamp_pb2.Timestamp:
    end = timestamp_pb2.Timestamp()
    end.FromNanoseconds(start.ToNanoseconds() + duration.ToNanoseconds())
    return end
