"""Task executions (attempts): reading what task events recorded.

Source: flyteadmin/pkg/manager/impl/task_execution_manager.go.
"""

from __future__ import annotations

import builtins
from collections.abc import Callable, Sequence

from flyteidl.admin import task_execution_pb2
from flyteidl.core import identifier_pb2, literals_pb2

from flytelite.config import Settings
from flytelite.server.admin import validation
from flytelite.server.admin.bookmarks import Bookmarks
from flytelite.server.admin.execution_messages import task_urls
from flytelite.server.admin.execution_tables import (
    ENTITY_PARTS,
    EXECUTION,
    EXECUTIONS,
    NODE_EXECUTION,
    NODE_EXECUTIONS,
    TASK_EXECUTION,
    TASK_EXECUTIONS,
)
from flytelite.server.admin.identifiers import (
    entity_key,
    execution_key,
    missing_entity,
    node_execution_key,
    task_execution_key,
)
from flytelite.server.admin.listing import Join, Listing, sort_of
from flytelite.server.admin.literal_maps import LiteralMaps, LiteralReader
from flytelite.server.admin.objects import Objects
from flytelite.server.admin.records import Record, Records
from flytelite.server.admin.registry_tables import TASK, TASKS
from flytelite.server.store.interface import Condition, Operator, Query, Store, Table

Keys = Callable[[Sequence[Condition]], builtins.list[str]]


class TaskExecutions:
    """The task execution RPCs. Messages handed out are shared: never change one."""

    def __init__(self, store: Store, settings: Settings, literal_maps: LiteralMaps, objects: Objects) -> None:
        self.records = Records(store, TASK_EXECUTIONS, task_execution_pb2.TaskExecution)
        self._bookmarks = Bookmarks(self.records.table)
        self._executions = store.table(EXECUTIONS)
        self._node_executions = store.table(NODE_EXECUTIONS)
        self._tasks = store.table(TASKS)
        self._literals = LiteralReader(literal_maps, objects, settings)

    def get(self, request: task_execution_pb2.TaskExecutionGetRequest) -> task_execution_pb2.TaskExecution:
        """GetTaskExecution. Raises InvalidArgument and NotFound."""
        return self._existing(request.id)

    def list(self, request: task_execution_pb2.TaskExecutionListRequest) -> task_execution_pb2.TaskExecutionList:
        """ListTaskExecutions: the attempts of one node; none when it is unknown. Raises InvalidArgument."""
        node = request.node_execution_id
        validation.node_execution_identifier(node)
        validation.limit(request.limit)
        scope = (Condition("node_execution", Operator.EQUAL, (node_execution_key(node),)),)
        page = Listing(self.records, TASK_EXECUTION, self._joins(node, scope), self._bookmarks).page(
            rpc="ListTaskExecutions",
            limit=request.limit,
            token=request.token,
            filters=request.filters,
            sort_by=sort_of(request),
            scope=scope,
        )
        return task_execution_pb2.TaskExecutionList(
            task_executions=[record.message for record in page.records], token=page.token
        )

    def data(
        self, request: task_execution_pb2.TaskExecutionGetDataRequest
    ) -> task_execution_pb2.TaskExecutionGetDataResponse:
        """GetTaskExecutionData; data that is not there is an empty map. Raises InvalidArgument and NotFound."""
        execution = self._existing(request.id)
        response = task_execution_pb2.TaskExecutionGetDataResponse(flyte_urls=task_urls(execution.id))
        self._literals.fill(response, execution.input_uri, execution.closure.output_uri)
        return response

    def literals(self, id: identifier_pb2.TaskExecutionIdentifier, kind: str) -> literals_pb2.LiteralMap:
        """The inputs (``i``) or outputs (``o``).

        Raises InvalidArgument, NotFound, and ResourceExhausted when no answer can hold them.
        """
        execution = self._existing(id)
        return self._literals.alone(execution.input_uri if kind == "i" else execution.closure.output_uri)

    def find(self, id: identifier_pb2.TaskExecutionIdentifier) -> task_execution_pb2.TaskExecution | None:
        """The attempt, or None."""
        record = self.records.get(task_execution_key(id))
        return None if record is None else record.message

    def of_node(self, id: identifier_pb2.NodeExecutionIdentifier) -> builtins.list[task_execution_pb2.TaskExecution]:
        """The attempts of a node, by retry_attempt."""
        of_node = Condition("node_execution", Operator.EQUAL, (node_execution_key(id),))
        records = self.records.find(Query((of_node,), order_by="retry_attempt"))
        return [record.message for record in records]

    def _existing(self, asked: identifier_pb2.TaskExecutionIdentifier) -> task_execution_pb2.TaskExecution:
        id = validation.with_task_type(asked)
        validation.task_execution_identifier(id)
        found = self.find(id)
        if found is None:
            raise missing_entity("task execution", id)
        return found

    def _joins(self, node: identifier_pb2.NodeExecutionIdentifier, scope: Sequence[Condition]) -> Sequence[Join]:
        """All rows of a list belong to one node of one execution; each has a task of its own."""
        rows = Query(tuple(scope))

        def all_if(table: Table, key: str) -> Keys:
            return lambda conditions: self.records.table.keys(rows) if table.count(conditions, among=[key]) else []

        def of_tasks(conditions: Sequence[Condition]) -> builtins.list[str]:
            listed = {record.key: entity_key(record.message.id.task_id) for record in self.records.find(rows)}
            fitting = set(self._tasks.keys(Query(tuple(conditions)), among=set(listed.values())))
            return [key for key, task in listed.items() if task in fitting]

        return (
            Join((TASK,), of_tasks, stored={part: part for part in ENTITY_PARTS}),
            Join((EXECUTION,), all_if(self._executions, execution_key(node.execution_id))),
            Join((NODE_EXECUTION,), all_if(self._node_executions, node_execution_key(node))),
        )


TaskExecutionRecord = Record[task_execution_pb2.TaskExecution]
