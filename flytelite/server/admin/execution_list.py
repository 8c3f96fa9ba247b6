"""The list of executions and what joins it: the launch plan, workflow or task that was run, and tags.

Source: flyteadmin/pkg/repositories/gormimpl/execution_repo.go, flyteadmin/pkg/manager/impl/execution_manager.go.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from flyteidl.admin import execution_pb2

from flytelite.server.admin.execution_tables import (
    ADMIN_TAG,
    ENTITY_PARTS,
    EXECUTION,
    EXECUTION_TAG,
    EXECUTION_TAGS,
)
from flytelite.server.admin.filters import Filter
from flytelite.server.admin.listing import Entity, Join, Listing
from flytelite.server.admin.records import Records
from flytelite.server.admin.registry_tables import (
    LAUNCH_PLAN,
    LAUNCH_PLANS,
    TASK,
    TASKS,
    WORKFLOW,
    WORKFLOWS,
)
from flytelite.server.store.interface import Condition, Operator, Query, Store, TableSchema

Keys = Callable[[Sequence[Condition]], list[str]]


def execution_listing(store: Store, records: Records[execution_pb2.Execution]) -> Listing[execution_pb2.Execution]:
    """The Listing behind ListExecutions."""

    def ran(entity: Entity, schema: TableSchema) -> Join:
        table, column = store.table(schema), f"{entity.prefix}_id"

        def keys(conditions: Sequence[Condition]) -> list[str]:
            versions = table.keys(Query(tuple(conditions)))
            return records.table.keys(Query((Condition(column, Operator.IN, tuple(versions)),)))

        return Join((entity,), keys, stored={part: f"{entity.prefix}.{part}" for part in ENTITY_PARTS})

    tags = store.table(EXECUTION_TAGS)

    def tagged(conditions: Sequence[Condition]) -> list[str]:
        # A tag's key is that of its execution and two parts more.
        return [key.rsplit("/", 2)[0] for key in tags.keys(Query(tuple(conditions)))]

    return Listing(
        records,
        EXECUTION,
        [
            ran(LAUNCH_PLAN, LAUNCH_PLANS),
            ran(WORKFLOW, WORKFLOWS),
            ran(TASK, TASKS),
            Join((EXECUTION_TAG, ADMIN_TAG), tagged),
        ],
    )


def active_only(filters: Sequence[Filter]) -> Sequence[Condition]:
    """Archived executions are hidden unless a filter names a field ``state``, of whatever entity."""
    if any(filter.field == "state" for filter in filters):
        return ()
    return (Condition("state", Operator.EQUAL, (execution_pb2.EXECUTION_ACTIVE,)),)
