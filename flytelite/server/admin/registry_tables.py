"""The tables of what is registered in versions: tasks, workflows and launch plans.

Columns are those of FlyteAdmin's models (flyteadmin/pkg/repositories/models/) and one of our own: ``project_domain``,
the part of a list that one request can see. A launch plan also keeps the parts of its workflow's identifier, and under
``workflow_key`` that workflow's row.
"""

from __future__ import annotations

from flyteidl.admin import common_pb2, launch_plan_pb2, task_pb2, workflow_pb2
from flyteidl.core import identifier_pb2

from flytelite.server.admin.filters import Kind
from flytelite.server.admin.identifiers import join
from flytelite.server.admin.listing import ROW, Entity
from flytelite.server.admin.records import Records
from flytelite.server.store.interface import Condition, Operator, Store

_VERSION = {"project": Kind.TEXT, "domain": Kind.TEXT, "name": Kind.TEXT, "version": Kind.TEXT}
_INDEXED = ["project_domain", "name", "version"]

TASK = Entity(
    code="t",
    prefix="task",
    columns={
        **ROW,
        **_VERSION,
        "type": Kind.TEXT,
        "short_description": Kind.TEXT,
        "closure": Kind.OPAQUE,
        "digest": Kind.OPAQUE,
    },
)
WORKFLOW = Entity(
    code="w",
    prefix="workflow",
    columns={
        **ROW,
        **_VERSION,
        "short_description": Kind.TEXT,
        "typed_interface": Kind.OPAQUE,
        "remote_closure_identifier": Kind.OPAQUE,
        "digest": Kind.OPAQUE,
    },
)
LAUNCH_PLAN = Entity(
    code="l",
    prefix="launch_plan",
    columns={
        **ROW,
        **_VERSION,
        "state": Kind.INTEGER,
        "schedule_type": Kind.TEXT,
        "launch_condition_type": Kind.TEXT,
        "workflow_id": Kind.OPAQUE,
        "spec": Kind.OPAQUE,
        "closure": Kind.OPAQUE,
        "digest": Kind.OPAQUE,
    },
)
WORKFLOW_PARTS = {part: f"workflow.{part}" for part in _VERSION}
"""Columns of a workflow that launch plans keep too, and under which name."""

TASKS = TASK.schema("tasks", _INDEXED, ["created_at"], extra=["project_domain"])
WORKFLOWS = WORKFLOW.schema("workflows", _INDEXED, ["created_at"], extra=["project_domain"])
LAUNCH_PLANS = LAUNCH_PLAN.schema(
    "launch_plans",
    [*_INDEXED, "state", "schedule_type", "workflow_key", "workflow.name"],
    ["created_at", "updated_at"],
    extra=["project_domain", "workflow_key", *WORKFLOW_PARTS.values()],
)


def tasks(store: Store) -> Records[task_pb2.Task]:
    """Tasks by ``entity_key``."""
    return Records(store, TASKS, task_pb2.Task)


def workflows(store: Store) -> Records[workflow_pb2.Workflow]:
    """Workflows by ``entity_key``, as lists show them: without nodes and tasks."""
    return Records(store, WORKFLOWS, workflow_pb2.Workflow)


def launch_plans(store: Store) -> Records[launch_plan_pb2.LaunchPlan]:
    """Launch plans by ``entity_key``."""
    return Records(store, LAUNCH_PLANS, launch_plan_pb2.LaunchPlan)


def version_columns(id: identifier_pb2.Identifier) -> dict[str, str | int | None]:
    """The columns that every version has."""
    return {
        "project_domain": join(id.project, id.domain),
        "project": id.project,
        "domain": id.domain,
        "name": id.name,
        "version": id.version,
    }


def in_scope(id: common_pb2.NamedEntityIdentifier) -> list[Condition]:
    """The rows of a project and domain, and of one name if the NamedEntityIdentifier has one."""
    conditions = [Condition("project_domain", Operator.EQUAL, (join(id.project, id.domain),))]
    if id.name:
        conditions.append(Condition("name", Operator.EQUAL, (id.name,)))
    return conditions
