"""A new execution: what a request must say, and the row and tags that it becomes.

Source: flyteadmin/pkg/manager/impl/validation/execution_validator.go,
flyteadmin/pkg/repositories/transformers/execution.go (CreateExecutionModel).
"""

from __future__ import annotations

import re
import secrets
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from flyteidl.admin import common_pb2, execution_pb2, launch_plan_pb2
from flyteidl.core import identifier_pb2
from google.protobuf import timestamp_pb2

from flytelite.errors import InvalidArgument
from flytelite.server.admin import phases, validation
from flytelite.server.admin.execution_settings import Config, Platform
from flytelite.server.admin.execution_tables import ENTITY_PARTS
from flytelite.server.admin.filters import timestamp_text
from flytelite.server.admin.identifiers import entity_key, execution_key, join
from flytelite.server.admin.message_printing import print_message
from flytelite.server.admin.projects import Projects
from flytelite.server.admin.records import Record

MAX_NAME = 63
NAME_ALPHABET = "bcdfghjklmnpqrstvwxz2456789"
GENERATED_LENGTH = 19

_NAME = re.compile(r"[a-z][a-z\-0-9]*")
_LAUNCHABLE = frozenset({identifier_pb2.LAUNCH_PLAN, identifier_pb2.TASK})


@dataclass(frozen=True)
class Origin:
    """Where an execution comes from: the node that launched it, the execution it repeats or belongs to."""

    source: Record[execution_pb2.Execution] | None = None
    parent_node: str | None = None


@dataclass(frozen=True)
class Draft:
    """All that is known of an execution before it is stored: what it launches, and the workflow that this runs.

    URIs are of literal maps in the store.
    """

    id: identifier_pb2.WorkflowExecutionIdentifier
    spec: execution_pb2.ExecutionSpec
    config: Config
    platform: Platform
    launch_plan: launch_plan_pb2.LaunchPlan
    workflow_id: identifier_pb2.Identifier
    origin: Origin
    inputs_uri: str
    user_inputs_uri: str
    created_at: timestamp_pb2.Timestamp

    @property
    def is_single_task(self) -> bool:
        """Whether a task is run by itself."""
        return bool(self.spec.launch_plan.resource_type == identifier_pb2.TASK)


def check_request(request: execution_pb2.ExecutionCreateRequest, projects: Projects) -> None:
    """Raise InvalidArgument unless the ExecutionCreateRequest can be acted on, as far as it alone can tell."""
    validation.require(request.project, "project")
    validation.require(request.domain, "domain")
    if request.name:
        _check_name(request.name)
    projects.check(request.project, request.domain)
    if not request.HasField("spec"):
        raise validation.missing("spec")
    validation.identifier_fields(request.spec.launch_plan)
    if request.spec.launch_plan.resource_type not in _LAUNCHABLE:
        raise InvalidArgument(
            f"Invalid reference entity resource type [{validation.type_name(request.spec.launch_plan.resource_type)}], "
            "only [LAUNCH_PLAN, TASK] allowed"
        )
    validation.literal_map(request.inputs, "inputs")
    validation.notifications(request.spec.notifications.notifications)
    validation.labels(request.spec.labels.values)


def generated_name() -> str:
    """A name for an execution whose request has none (``flyteadmin/pkg/common/executions.go``)."""
    return "a" + "".join(secrets.choice(NAME_ALPHABET) for _ in range(GENERATED_LENGTH))


def execution(draft: Draft) -> execution_pb2.Execution:
    """The message of a new execution."""
    message = execution_pb2.Execution(id=draft.id, spec=draft.spec)
    spec = message.spec
    system = execution_pb2.SystemMetadata(namespace=f"{draft.id.project}-{draft.id.domain}")
    spec.metadata.system_metadata.CopyFrom(system)
    spec.security_context.CopyFrom(draft.config.security_context)
    if not draft.is_single_task:
        spec.metadata.ClearField("artifact_ids")
        spec.max_parallelism = draft.config.max_parallelism
    closure = message.closure
    closure.phase = phases.WORKFLOW.UNDEFINED
    closure.created_at.CopyFrom(draft.created_at)
    closure.updated_at.CopyFrom(draft.created_at)
    closure.workflow_id.CopyFrom(draft.workflow_id)
    closure.notifications.extend(_notifications(draft))
    closure.state_change_details.principal = spec.metadata.principal
    closure.state_change_details.occurred_at.CopyFrom(draft.created_at)
    return message


def record(draft: Draft, message: execution_pb2.Execution) -> Record[execution_pb2.Execution]:
    """The row of a new execution."""
    stamp = timestamp_text(draft.created_at)
    source, spec = draft.origin.source, message.spec
    columns: dict[str, Any] = {
        "execution_project": draft.id.project,
        "execution_domain": draft.id.domain,
        "execution_name": draft.id.name,
        "project_domain": join(draft.id.project, draft.id.domain),
        "phase": phases.name(phases.WORKFLOW, message.closure.phase),
        "created_at": stamp,
        "updated_at": stamp,
        "execution_created_at": stamp,
        "execution_updated_at": stamp,
        "started_at": None,
        "duration": 0.0,
        "abort_cause": "",
        "mode": spec.metadata.mode,
        "source_execution_id": None if source is None else source.key,
        "parent_node_execution_id": draft.origin.parent_node,
        "cluster": "",
        "inputs_uri": draft.inputs_uri,
        "user_inputs_uri": draft.user_inputs_uri,
        "error_kind": None,
        "error_code": None,
        "user": spec.metadata.principal,
        "state": execution_pb2.EXECUTION_ACTIVE,
        **_launched(draft),
    }
    extra = {"config": print_message(draft.config), **draft.platform.document()}
    return Record(execution_key(draft.id), message, columns, extra)


def tags(draft: Draft, spec: execution_pb2.ExecutionSpec) -> Iterator[tuple[str, dict[str, Any]]]:
    """Key and document of each tag: labels, and tags, which have no value.

    FlyteAdmin keeps none of single tasks, so that the clean-up of a failed eager workflow does not find the tasks that
    it has started. Here it does.
    """
    stamp = timestamp_text(draft.created_at)
    for key, value in {*spec.labels.values.items(), *((tag, "") for tag in spec.tags)}:
        yield (
            f"{execution_key(draft.id)}/{join(key, value)}",
            {
                "execution_project": draft.id.project,
                "execution_domain": draft.id.domain,
                "execution_name": draft.id.name,
                "key": key,
                "value": value,
                "created_at": stamp,
                "updated_at": stamp,
            },
        )


def _check_name(name: str) -> None:
    lowered = name.lower()
    if len(lowered) > MAX_NAME:
        raise InvalidArgument(f"size of name exceeded length {MAX_NAME} : {lowered}")
    if not _NAME.fullmatch(lowered):
        raise InvalidArgument(f"invalid name format: {lowered}, does not match regex '^{_NAME.pattern}$'")


def _notifications(draft: Draft) -> list[common_pb2.Notification]:
    if draft.spec.notifications.notifications:
        return list(draft.spec.notifications.notifications)
    return [] if draft.spec.disable_all else list(draft.launch_plan.spec.entity_metadata.notifications)


def _launched(draft: Draft) -> dict[str, Any]:
    """The columns that say what is run: a launch plan or a task, and the workflow behind it."""
    workflow, launched = draft.workflow_id, draft.spec.launch_plan
    entity = "task" if draft.is_single_task else "launch_plan"
    columns = {
        "launch_entity": entity,
        "launch_plan_id": None,
        "task_id": None,
        "workflow_id": entity_key(workflow),
        f"{entity}_id": entity_key(launched),
    }
    for prefix, id in (("workflow", workflow), (entity, launched)):
        columns |= {f"{prefix}.{part}": getattr(id, part) for part in ENTITY_PARTS}
    return columns
