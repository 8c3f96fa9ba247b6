"""Which tables a snapshot carries, what their messages are, and under which keys they must be."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

from flyteidl.admin import (
    common_pb2,
    description_entity_pb2,
    execution_pb2,
    launch_plan_pb2,
    node_execution_pb2,
    project_pb2,
    signal_pb2,
    task_execution_pb2,
    task_pb2,
    workflow_pb2,
)
from flyteidl.core import compiler_pb2, identifier_pb2
from google.protobuf.message import Message

from flytelite.server.admin.closures import CLOSURES
from flytelite.server.admin.description_entities import DESCRIPTION_ENTITIES
from flytelite.server.admin.execution_tables import (
    EXECUTION_TAGS,
    EXECUTIONS,
    NODE_EXECUTIONS,
    SIGNALS,
    TASK_EXECUTIONS,
)
from flytelite.server.admin.identifiers import (
    entity_key,
    execution_key,
    join,
    node_execution_key,
    task_execution_key,
)
from flytelite.server.admin.literal_maps import LITERAL_MAPS
from flytelite.server.admin.named_entities import NAMED_ENTITIES
from flytelite.server.admin.projects import PROJECTS
from flytelite.server.admin.registry_tables import LAUNCH_PLANS, TASKS, WORKFLOWS
from flytelite.server.store.interface import Document, TableSchema


class Entry(NamedTuple):
    """One document of a snapshot."""

    table: str
    key: str
    document: Document


@dataclass(frozen=True)
class Carried:
    """A table that snapshots carry. ``key`` gives the key of a message, where the message alone tells."""

    schema: TableSchema
    message_type: type[Message] | None = None
    key: Callable[[Any], str] | None = None


ENTITY_TABLES: Mapping[int, str] = {
    identifier_pb2.TASK: TASKS.name,
    identifier_pb2.WORKFLOW: WORKFLOWS.name,
    identifier_pb2.LAUNCH_PLAN: LAUNCH_PLANS.name,
}
OF_EXECUTION = frozenset({EXECUTION_TAGS.name, NODE_EXECUTIONS.name, TASK_EXECUTIONS.name, SIGNALS.name})
"""Tables whose keys begin with the key of the execution that their documents belong to."""

CARRIED: Mapping[str, Carried] = {
    carried.schema.name: carried
    for carried in (
        Carried(PROJECTS, project_pb2.Project, lambda message: str(message.id)),
        Carried(TASKS, task_pb2.Task, lambda message: entity_key(message.id)),
        Carried(CLOSURES, compiler_pb2.CompiledWorkflowClosure),
        Carried(WORKFLOWS, workflow_pb2.Workflow, lambda message: entity_key(message.id)),
        Carried(LAUNCH_PLANS, launch_plan_pb2.LaunchPlan, lambda message: entity_key(message.id)),
        Carried(
            NAMED_ENTITIES,
            common_pb2.NamedEntity,
            lambda message: named_entity_key(message.resource_type, message.id),
        ),
        Carried(
            DESCRIPTION_ENTITIES,
            description_entity_pb2.DescriptionEntity,
            lambda message: description_key(message.id.resource_type, entity_key(message.id)),
        ),
        Carried(LITERAL_MAPS),
        Carried(EXECUTIONS, execution_pb2.Execution, lambda message: execution_key(message.id)),
        Carried(EXECUTION_TAGS),
        Carried(NODE_EXECUTIONS, node_execution_pb2.NodeExecution, lambda message: node_execution_key(message.id)),
        Carried(TASK_EXECUTIONS, task_execution_pb2.TaskExecution, lambda message: task_execution_key(message.id)),
        Carried(SIGNALS, signal_pb2.Signal, lambda message: signal_key(message.id)),
    )
}


def named_entity_key(resource_type: int, id: Any) -> str:
    """The key of the NamedEntity of that type (a ResourceType); ``id`` is any identifier with a name."""
    return join(resource_type, id.project, id.domain, id.name)


def description_key(resource_type: int, key: str) -> str:
    """The key of the DescriptionEntity of what has that key in the table of its type."""
    return f"{join(resource_type)}/{key}"


def signal_key(id: identifier_pb2.SignalIdentifier) -> str:
    """The key of a signal."""
    return f"{execution_key(id.execution_id)}/{join(id.signal_id)}"


def execution_of(key: str) -> str:
    """The key of the execution that a document of a table in ``OF_EXECUTION`` belongs to."""
    return "/".join(key.split("/", 3)[:3])
