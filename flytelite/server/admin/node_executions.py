"""Node executions: reading what node events recorded.

Source: flyteadmin/pkg/manager/impl/node_execution_manager.go.
"""

from __future__ import annotations

import builtins
from collections.abc import Sequence

from flyteidl.admin import node_execution_pb2
from flyteidl.core import compiler_pb2, identifier_pb2, literals_pb2

from flytelite.config import Settings
from flytelite.errors import InvalidArgument, NotFound
from flytelite.server.admin import validation
from flytelite.server.admin.bookmarks import Bookmarks
from flytelite.server.admin.closures import Closures
from flytelite.server.admin.execution_messages import node_urls, trim_error
from flytelite.server.admin.execution_tables import (
    EXECUTION,
    EXECUTIONS,
    NODE_EXECUTION,
    NODE_EXECUTIONS,
    TASK_EXECUTIONS,
)
from flytelite.server.admin.identifiers import execution_key, missing_entity, node_execution_key, task_execution_key
from flytelite.server.admin.listing import Join, Listing, Page, sort_of
from flytelite.server.admin.literal_maps import LiteralMaps, LiteralReader
from flytelite.server.admin.message_parsing import parse
from flytelite.server.admin.objects import Objects
from flytelite.server.admin.records import Record, Records
from flytelite.server.store.interface import Condition, Operator, Query, Store

NodeExecutionRecord = Record[node_execution_pb2.NodeExecution]


class NodeExecutions:
    """The node execution RPCs. Messages handed out are shared: never change one."""

    def __init__(self, store: Store, settings: Settings, literal_maps: LiteralMaps, objects: Objects) -> None:
        self.records = Records(store, NODE_EXECUTIONS, node_execution_pb2.NodeExecution)
        self._bookmarks = Bookmarks(self.records.table)
        self.closures = Closures(store)
        self._executions = store.table(EXECUTIONS)
        self._task_executions = store.table(TASK_EXECUTIONS)
        self._literals = LiteralReader(literal_maps, objects, settings)

    def get(self, request: node_execution_pb2.NodeExecutionGetRequest) -> node_execution_pb2.NodeExecution:
        """GetNodeExecution. Raises NotFound."""
        record = self._existing(request.id)
        if record.extra["event_version"] == 0 and _is_unmarked_parent(record):
            shown = node_execution_pb2.NodeExecution()
            shown.CopyFrom(record.message)
            _mark_parent(shown, record)
            return shown
        return record.message

    def list(self, request: node_execution_pb2.NodeExecutionListRequest) -> node_execution_pb2.NodeExecutionList:
        """ListNodeExecutions: those at the top level, or the children of ``unique_parent_id``.

        Raises InvalidArgument, and NotFound for an unknown parent.
        """
        execution = request.workflow_execution_id
        try:
            validation.execution_identifier(execution)
        except InvalidArgument:
            raise validation.missing("execution_id") from None
        validation.limit(request.limit)
        parent = execution_key(execution)
        if request.unique_parent_id:
            id = identifier_pb2.NodeExecutionIdentifier(execution_id=execution, node_id=request.unique_parent_id)
            parent = self._existing(id).key
        return self._page(request, execution_key(execution), parent)

    def list_for_task(
        self, request: node_execution_pb2.NodeExecutionForTaskListRequest
    ) -> node_execution_pb2.NodeExecutionList:
        """ListNodeExecutionsForTask. Raises InvalidArgument, and NotFound for an unknown task execution."""
        id = validation.with_task_type(request.task_execution_id)
        validation.task_execution_identifier(id)
        validation.limit(request.limit)
        parent = task_execution_key(id)
        if parent not in self._task_executions:
            raise missing_entity("task execution", id)
        return self._page(request, execution_key(id.node_execution_id.execution_id), parent)

    def data(
        self, request: node_execution_pb2.NodeExecutionGetDataRequest
    ) -> node_execution_pb2.NodeExecutionGetDataResponse:
        """GetNodeExecutionData; data that is not there is an empty map. Raises NotFound."""
        record = self._existing(request.id)
        closure = record.message.closure
        response = node_execution_pb2.NodeExecutionGetDataResponse(
            flyte_urls=node_urls(record.message.id, bool(closure.deck_uri))
        )
        workflow = self._dynamic_workflow(record)
        if workflow is not None:
            response.dynamic_workflow.id.CopyFrom(workflow.primary.template.id)
            response.dynamic_workflow.compiled_workflow.CopyFrom(workflow)
            response.dynamic_workflow.dynamic_job_spec_uri = closure.dynamic_job_spec_uri
        self._literals.fill(response, record.message.input_uri, closure.output_uri)
        return response

    def literals(self, id: identifier_pb2.NodeExecutionIdentifier, kind: str) -> literals_pb2.LiteralMap:
        """The inputs (``i``) or outputs (``o``).

        Raises NotFound, and ResourceExhausted when no answer can hold them.
        """
        message = self._existing(id).message
        return self._literals.alone(message.input_uri if kind == "i" else message.closure.output_uri)

    def dynamic_workflow(
        self, request: node_execution_pb2.GetDynamicNodeWorkflowRequest
    ) -> node_execution_pb2.DynamicNodeWorkflowResponse:
        """GetDynamicNodeWorkflow. Raises NotFound when there is no such node, or no event told of a workflow."""
        workflow = self._dynamic_workflow(self._existing(request.id))
        if workflow is None:
            raise NotFound("node does not contain dynamic workflow")
        return node_execution_pb2.DynamicNodeWorkflowResponse(compiled_workflow=workflow)

    def find(self, id: identifier_pb2.NodeExecutionIdentifier) -> node_execution_pb2.NodeExecution | None:
        """The node execution, or None."""
        record = self.records.get(node_execution_key(id))
        return None if record is None else record.message

    def of_execution(
        self, id: identifier_pb2.WorkflowExecutionIdentifier
    ) -> builtins.list[node_execution_pb2.NodeExecution]:
        """Every node execution, nested ones too, in the order they were created."""
        of_execution = Condition("execution", Operator.EQUAL, (execution_key(id),))
        return [record.message for record in self.records.find(Query((of_execution,)))]

    def children(
        self, execution: identifier_pb2.WorkflowExecutionIdentifier, parent: str = ""
    ) -> builtins.list[node_execution_pb2.NodeExecution]:
        """The children of the node whose unique id is ``parent``, or the nodes at the top level, as created."""
        key = execution_key(execution)
        if parent:
            key = node_execution_key(identifier_pb2.NodeExecutionIdentifier(execution_id=execution, node_id=parent))
        listed = Condition("parent", Operator.EQUAL, (key,))
        return [record.message for record in self.records.find(Query((listed,)))]

    def _existing(self, id: identifier_pb2.NodeExecutionIdentifier) -> NodeExecutionRecord:
        record = self.records.get(node_execution_key(id))
        if record is None:
            raise missing_entity("node execution", id)
        return record

    def _dynamic_workflow(self, record: NodeExecutionRecord) -> compiler_pb2.CompiledWorkflowClosure | None:
        kept = record.extra.get("dynamic_workflow")
        if kept is None:
            return None
        return self.closures.get(kept["closure"], parse(kept["id"], identifier_pb2.Identifier))

    def _page(
        self,
        request: node_execution_pb2.NodeExecutionListRequest | node_execution_pb2.NodeExecutionForTaskListRequest,
        execution: str,
        parent: str,
    ) -> node_execution_pb2.NodeExecutionList:
        scope = (Condition("parent", Operator.EQUAL, (parent,)),)
        page = Listing(self.records, NODE_EXECUTION, [self._join(execution, scope)], self._bookmarks).page(
            rpc="ListNodeExecutions",
            limit=request.limit,
            token=request.token,
            filters=request.filters,
            sort_by=sort_of(request),
            scope=scope,
        )
        return _shown(page)

    def _join(self, execution: str, scope: Sequence[Condition]) -> Join:
        """The one execution to which all rows of a list belong: they all satisfy a condition on it, or none does."""

        def keys(conditions: Sequence[Condition]) -> builtins.list[str]:
            fits = self._executions.count(conditions, among=[execution])
            return self.records.table.keys(Query(tuple(scope))) if fits else []

        return Join((EXECUTION,), keys)


def _shown(page: Page[node_execution_pb2.NodeExecution]) -> node_execution_pb2.NodeExecutionList:
    response = node_execution_pb2.NodeExecutionList(token=page.token)
    for record in page.records:
        shown = response.node_executions.add()
        shown.CopyFrom(record.message)
        trim_error(shown.closure)
        if _is_unmarked_parent(record):
            _mark_parent(shown, record)
    return response


def _is_unmarked_parent(record: NodeExecutionRecord) -> bool:
    """Whether children exist of a node that no event called a parent, such as a branch."""
    metadata = record.message.metadata
    return bool(record.extra.get("has_children")) and not (metadata.is_parent_node or metadata.is_dynamic)


def _mark_parent(shown: node_execution_pb2.NodeExecution, record: NodeExecutionRecord) -> None:
    shown.metadata.is_parent_node = True
    shown.metadata.is_dynamic = "dynamic_workflow" in record.extra
