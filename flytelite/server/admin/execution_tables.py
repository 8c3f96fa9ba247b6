"""The tables of workflow, node and task executions, of their tags and signals: columns, indexes, sort orders.

Columns that FlyteAdmin has are named as there (``flyteadmin/pkg/repositories/models/``); where its rows refer to
each other by number, ours do by key. ``extra`` columns are known to our own code only:

- ``project_domain``: the part of the execution list that one request can see
- ``workflow.name``, ``launch_plan.version``, …: the parts of what was run that filters name
- ``execution``, ``node_execution``: the key of what a row belongs to
- ``parent``: the key under which a node execution is listed: its parent node's or task's, else its execution's
"""

from __future__ import annotations

from flytelite.server.admin.filters import Kind
from flytelite.server.admin.listing import ROW, Entity

_EXECUTION_ID = {"execution_project": Kind.TEXT, "execution_domain": Kind.TEXT, "execution_name": Kind.TEXT}
ENTITY_PARTS = ("project", "domain", "name", "version")
EXECUTION_KEY_PARTS = 3
"""What belongs to an execution is read and forgotten with it: its key begins with the execution's."""

EXECUTION = Entity(
    code="e",
    prefix="execution",
    columns={
        **ROW,
        **_EXECUTION_ID,
        "launch_plan_id": Kind.TEXT,
        "workflow_id": Kind.TEXT,
        "task_id": Kind.TEXT,
        "phase": Kind.TEXT,
        "closure": Kind.OPAQUE,
        "spec": Kind.OPAQUE,
        "started_at": Kind.TIMESTAMP,
        "execution_created_at": Kind.TIMESTAMP,
        "execution_updated_at": Kind.TIMESTAMP,
        "duration": Kind.DURATION,
        "abort_cause": Kind.TEXT,
        "mode": Kind.INTEGER,
        "source_execution_id": Kind.TEXT,
        "parent_node_execution_id": Kind.TEXT,
        "cluster": Kind.TEXT,
        "inputs_uri": Kind.TEXT,
        "user_inputs_uri": Kind.TEXT,
        "error_kind": Kind.TEXT,
        "error_code": Kind.TEXT,
        "user": Kind.TEXT,
        "state": Kind.INTEGER,
        "launch_entity": Kind.TEXT,
    },
)
EXECUTIONS = EXECUTION.schema(
    "executions",
    indexed=[
        "project_domain",
        "phase",
        "state",
        "launch_plan_id",
        "workflow_id",
        "task_id",
        "launch_plan.name",
        "workflow.name",
        "task.name",
    ],
    sorted=["created_at", "execution_created_at", "started_at", "duration"],
    extra=[
        "project_domain",
        *(f"{entity}.{part}" for entity in ("launch_plan", "workflow", "task") for part in ENTITY_PARTS),
    ],
)

EXECUTION_TAG = Entity(
    code="et",
    prefix="execution_tag",
    columns={**ROW, **_EXECUTION_ID, "key": Kind.TEXT, "value": Kind.TEXT},
)
ADMIN_TAG = Entity(code="at", prefix="admin_tag", columns={**ROW, "name": Kind.TEXT}, renamed={"name": "key"})
EXECUTION_TAGS = EXECUTION_TAG.schema("execution_tags", indexed=["key", "value"])

NODE_EXECUTION = Entity(
    code="ne",
    prefix="node_execution",
    columns={
        **ROW,
        **_EXECUTION_ID,
        "node_id": Kind.TEXT,
        "phase": Kind.TEXT,
        "input_uri": Kind.TEXT,
        "closure": Kind.OPAQUE,
        "started_at": Kind.TIMESTAMP,
        "node_execution_created_at": Kind.TIMESTAMP,
        "node_execution_updated_at": Kind.TIMESTAMP,
        "duration": Kind.DURATION,
        "node_execution_metadata": Kind.OPAQUE,
        "parent_id": Kind.OPAQUE,
        "parent_task_execution_id": Kind.OPAQUE,
        "error_kind": Kind.TEXT,
        "error_code": Kind.TEXT,
        "cache_status": Kind.TEXT,
        "dynamic_workflow_remote_closure_reference": Kind.OPAQUE,
        "internal_data": Kind.OPAQUE,
    },
)
NODE_EXECUTIONS = NODE_EXECUTION.schema(
    "node_executions", indexed=["execution", "parent"], extra=["execution", "parent"], partition=EXECUTION_KEY_PARTS
)

TASK_EXECUTION = Entity(
    code="te",
    prefix="task_execution",
    columns={
        **ROW,
        **_EXECUTION_ID,
        "project": Kind.TEXT,
        "domain": Kind.TEXT,
        "name": Kind.TEXT,
        "version": Kind.TEXT,
        "node_id": Kind.TEXT,
        "retry_attempt": Kind.INTEGER,
        "phase": Kind.TEXT,
        "phase_version": Kind.INTEGER,
        "input_uri": Kind.TEXT,
        "closure": Kind.OPAQUE,
        "started_at": Kind.TIMESTAMP,
        "task_execution_created_at": Kind.TIMESTAMP,
        "task_execution_updated_at": Kind.TIMESTAMP,
        "duration": Kind.DURATION,
    },
    # flyteadmin/pkg/manager/impl/util/filters.go: these fields of an execution entity name the execution, not the task.
    renamed={"project": "execution_project", "domain": "execution_domain", "name": "execution_name"},
)
TASK_EXECUTIONS = TASK_EXECUTION.schema(
    "task_executions", indexed=["node_execution"], extra=["node_execution"], partition=EXECUTION_KEY_PARTS
)

SIGNAL = Entity(
    code="s",
    prefix="signal",
    columns={**ROW, **_EXECUTION_ID, "signal_id": Kind.TEXT, "type": Kind.OPAQUE, "value": Kind.OPAQUE},
)
SIGNALS = SIGNAL.schema("signals", indexed=["execution"], extra=["execution"], partition=EXECUTION_KEY_PARTS)
