"""What an execution runs with, out of all who have a say: request, launch plan, attributes, project, settings.

Source: flyteadmin/pkg/manager/impl/execution_manager.go (getExecutionConfig),
flyteadmin/pkg/manager/impl/util/shared.go (MergeIntoExecConfig).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, TypeAlias

from flyteidl.admin import common_pb2, execution_pb2, launch_plan_pb2, matchable_resource_pb2
from flyteidl.core import identifier_pb2
from google.protobuf import json_format

from flytelite.config import Settings
from flytelite.errors import InvalidArgument
from flytelite.server.admin.attributes import Attributes
from flytelite.server.admin.message_printing import print_message
from flytelite.server.admin.projects import Projects

Config: TypeAlias = matchable_resource_pb2.WorkflowExecutionConfig


@dataclass(frozen=True)
class Platform:
    """What holds for all tasks of an execution, beside what they say themselves."""

    task_resources: matchable_resource_pb2.TaskResourceAttributes
    plugin_overrides: matchable_resource_pb2.PluginOverrides

    def document(self) -> dict[str, Any]:
        """As JSON, without what says nothing."""
        messages = {"task_resources": self.task_resources, "plugin_overrides": self.plugin_overrides}
        return {name: print_message(message) for name, message in messages.items() if message.ByteSize()}

    @classmethod
    def of(cls, document: Mapping[str, Any]) -> Platform:
        """What ``document`` made; nothing special where it says nothing."""
        platform = cls(matchable_resource_pb2.TaskResourceAttributes(), matchable_resource_pb2.PluginOverrides())
        json_format.ParseDict(document.get("task_resources", {}), platform.task_resources)
        json_format.ParseDict(document.get("plugin_overrides", {}), platform.plugin_overrides)
        return platform


class ExecutionSettings:
    """Resolves the settings of one execution."""

    def __init__(self, settings: Settings, projects: Projects, attributes: Attributes) -> None:
        self._projects = projects
        self._attributes = attributes
        self._defaults = Config(max_parallelism=settings.max_parallelism)
        self._defaults.raw_output_data_config.output_location_prefix = settings.raw_data_prefix

    def resolve(
        self, request: execution_pb2.ExecutionCreateRequest, launch_plan: launch_plan_pb2.LaunchPlan | None
    ) -> Config:
        """The merged WorkflowExecutionConfig; ``launch_plan`` is None for a single task, whose has no say.

        Raises InvalidArgument when the request asks for another cluster pool than the project's.
        """
        self._check_cluster_pool(request)
        workflow = launch_plan.spec.workflow_id.name if launch_plan is not None else ""
        config = Config()
        for level in self._levels(request, launch_plan, workflow):
            merge(config, level)
        if not config.HasField("security_context"):
            role = _auth_role(request, launch_plan)
            config.security_context.run_as.SetInParent()
            config.security_context.run_as.iam_role = role.assumable_iam_role
            config.security_context.run_as.k8s_service_account = role.kubernetes_service_account
        merge(config, self._defaults)
        self.add_project_labels(request.project, config.labels.values)
        return config

    def platform(
        self,
        id: identifier_pb2.WorkflowExecutionIdentifier,
        workflow: identifier_pb2.Identifier,
        launch_plan: str,
    ) -> Platform:
        """TASK_RESOURCE attributes of the workflow, and PLUGIN_OVERRIDE attributes for the execution; as FlyteAdmin
        does, the former go by the workflow's project and domain, the latter by the execution's."""
        kind = matchable_resource_pb2.PLUGIN_OVERRIDE
        overrides = self._attributes.resolve(id.project, id.domain, workflow.name, launch_plan, kind)
        return Platform(
            self._attributes.task_resources(workflow.project, workflow.domain, workflow.name),
            matchable_resource_pb2.PluginOverrides() if overrides is None else overrides.plugin_overrides,
        )

    def add_project_labels(self, project: str, labels: Any) -> None:
        """Add the project's labels to a map, except those whose key is there already."""
        found = self._projects.find(project)
        for key, value in (found.labels.values if found is not None else {}).items():
            if key not in labels:
                labels[key] = value

    def _levels(
        self,
        request: execution_pb2.ExecutionCreateRequest,
        launch_plan: launch_plan_pb2.LaunchPlan | None,
        workflow: str,
    ) -> list[Any]:
        kind = matchable_resource_pb2.WORKFLOW_EXECUTION_CONFIG
        nearest = self._attributes.resolve(request.project, request.domain, workflow, "", kind)
        project = self._attributes.resolve(request.project, "", "", "", kind)
        return [
            request.spec,
            *([launch_plan.spec] if launch_plan is not None else []),
            *(found.workflow_execution_config for found in (nearest, project) if found is not None),
        ]

    def _check_cluster_pool(self, request: execution_pb2.ExecutionCreateRequest) -> None:
        kind = matchable_resource_pb2.CLUSTER_ASSIGNMENT
        stored = self._attributes.resolve(request.project, request.domain, "", "", kind)
        configured = stored.cluster_assignment.cluster_pool_name if stored is not None else ""
        asked = request.spec.cluster_assignment.cluster_pool_name
        if asked and configured and asked != configured:
            raise InvalidArgument(
                f'execution with project "{request.project}" and domain "{request.domain}" cannot run on cluster pool '
                f'"{asked}", because its configured to run on pool "{configured}"'
            )


def merge(config: Config, level: Any) -> None:
    """Fill what ``config`` leaves open from a message with the same fields, of lower precedence."""
    config.max_parallelism = config.max_parallelism or max(level.max_parallelism, 0)
    if not config.HasField("security_context") and _names_someone(level):
        config.security_context.CopyFrom(level.security_context)
    if not config.raw_output_data_config.output_location_prefix and level.raw_output_data_config.output_location_prefix:
        config.raw_output_data_config.CopyFrom(level.raw_output_data_config)
    for field in ("labels", "annotations", "envs"):
        if not getattr(config, field).values and getattr(level, field).values:
            getattr(config, field).CopyFrom(getattr(level, field))
    if not config.HasField("interruptible") and level.HasField("interruptible"):
        config.interruptible.CopyFrom(level.interruptible)
    config.overwrite_cache |= level.overwrite_cache


def resolved_spec(spec: execution_pb2.ExecutionSpec, config: Config) -> execution_pb2.ExecutionSpec:
    """A copy of the spec as it was sent, with the merged values in it."""
    resolved = execution_pb2.ExecutionSpec()
    resolved.CopyFrom(spec)
    resolved.max_parallelism = config.max_parallelism
    resolved.overwrite_cache = config.overwrite_cache
    for field in ("security_context", "raw_output_data_config", "labels", "annotations", "envs", "interruptible"):
        resolved.ClearField(field)
        if config.HasField(field):
            getattr(resolved, field).CopyFrom(getattr(config, field))
    return resolved


def _names_someone(level: Any) -> bool:
    run_as = level.security_context.run_as
    return bool(run_as.k8s_service_account or run_as.iam_role or run_as.execution_identity)


def _auth_role(
    request: execution_pb2.ExecutionCreateRequest, launch_plan: launch_plan_pb2.LaunchPlan | None
) -> common_pb2.AuthRole:
    """The deprecated ways to say as whom to run."""
    if request.spec.HasField("auth_role"):
        return request.spec.auth_role
    spec = launch_plan.spec if launch_plan is not None else launch_plan_pb2.LaunchPlanSpec()
    if spec.HasField("auth_role"):
        return spec.auth_role
    if spec.HasField("auth"):
        return common_pb2.AuthRole(
            assumable_iam_role=spec.auth.assumable_iam_role,
            kubernetes_service_account=spec.auth.kubernetes_service_account,
        )
    return common_pb2.AuthRole(assumable_iam_role=spec.role)
