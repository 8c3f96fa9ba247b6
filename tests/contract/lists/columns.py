"""What lists can be filtered and sorted by, written down from FlyteAdmin's models and not from our code.

Source: flyteadmin/pkg/repositories/models/, flyteadmin/pkg/common/entity.go, flyteadmin/pkg/manager/impl/.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum


class Kind(Enum):
    """What a column holds. BLOB: bytes or numbers of rows that no client knows, so nothing is ever equal to them."""

    TEXT = "text"
    INTEGER = "integer"
    TIMESTAMP = "timestamp"
    DURATION = "duration"
    BLOB = "blob"


def _columns(**names: str) -> dict[str, Kind]:
    return {name: Kind(kind) for kind, together in names.items() for name in together.split()}


_ROW = _columns(blob="id deleted_at", timestamp="created_at updated_at")
_EXECUTION = _columns(text="execution_project execution_domain execution_name")
_VERSION = _columns(text="project domain name version")

COLUMNS: Mapping[str, Mapping[str, Kind]] = {
    "task": _ROW | _VERSION | _columns(text="type short_description", blob="closure digest"),
    "workflow": _ROW
    | _VERSION
    | _columns(text="short_description", blob="typed_interface remote_closure_identifier digest"),
    "launch_plan": _ROW
    | _VERSION
    | _columns(integer="state", text="schedule_type launch_condition_type", blob="spec workflow_id closure digest"),
    "execution": _ROW
    | _EXECUTION
    | _columns(
        text="launch_plan_id workflow_id task_id phase abort_cause source_execution_id parent_node_execution_id "
        "cluster inputs_uri user_inputs_uri error_kind error_code user launch_entity",
        integer="mode state",
        timestamp="started_at execution_created_at execution_updated_at",
        duration="duration",
        blob="closure spec",
    ),
    "node_execution": _ROW
    | _EXECUTION
    | _columns(
        text="node_id phase input_uri error_kind error_code cache_status",
        timestamp="started_at node_execution_created_at node_execution_updated_at",
        duration="duration",
        blob="closure node_execution_metadata parent_id parent_task_execution_id "
        "dynamic_workflow_remote_closure_reference internal_data",
    ),
    "task_execution": _ROW
    | _EXECUTION
    | _VERSION
    | _columns(
        text="node_id phase input_uri",
        integer="retry_attempt phase_version",
        timestamp="started_at task_execution_created_at task_execution_updated_at",
        duration="duration",
        blob="closure",
    ),
    "project": _ROW | _columns(text="identifier name description", integer="state", blob="labels"),
    "entities": _columns(integer="resource_type state", text="project domain name description"),
    "named_entity_metadata": _ROW | _columns(integer="resource_type state", text="project domain name description"),
    "signal": _ROW | _EXECUTION | _columns(text="signal_id", blob="type value"),
    "admin_tag": _ROW | _columns(text="name"),
    "execution_tag": _ROW | _EXECUTION | _columns(text="key value"),
    "description": _ROW
    | _VERSION
    | _columns(integer="resource_type", text="short_description link", blob="long_description"),
}
"""By the prefix that filters name an entity with; descriptions have none."""


@dataclass(frozen=True)
class List:
    """A list RPC, the entity it shows, what filters may join to that, and the repeated field of the answer."""

    method: str
    entity: str
    joined: tuple[str, ...] = ()
    field: str = ""
    filters: bool = True

    def __str__(self) -> str:
        return self.method.partition("/")[2]


LISTS = (
    List("AdminService/ListTasks", "task", field="tasks"),
    List("AdminService/ListWorkflows", "workflow", field="workflows"),
    List("AdminService/ListLaunchPlans", "launch_plan", ("workflow",), "launch_plans"),
    List("AdminService/ListActiveLaunchPlans", "launch_plan", field="launch_plans", filters=False),
    List(
        "AdminService/ListExecutions",
        "execution",
        ("launch_plan", "workflow", "task", "admin_tag", "execution_tag"),
        "executions",
    ),
    List("AdminService/ListNodeExecutions", "node_execution", ("execution",), "node_executions"),
    List("AdminService/ListNodeExecutionsForTask", "node_execution", ("execution",), "node_executions"),
    List(
        "AdminService/ListTaskExecutions", "task_execution", ("task", "execution", "node_execution"), "task_executions"
    ),
    List("AdminService/ListProjects", "project", field="projects"),
    List("AdminService/ListNamedEntities", "entities", ("named_entity_metadata",), "entities"),
    List("AdminService/ListDescriptionEntities", "description", field="descriptionEntities"),
    List("SignalService/ListSignals", "signal", field="signals"),
)
