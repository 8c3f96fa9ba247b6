"""Matchable attributes: settings of a project, a domain in it, or a workflow, by kind.

Source: flyteadmin/pkg/manager/impl/resources/resource_manager.go, .../validation/attributes_validator.go,
flyteadmin/pkg/repositories/gormimpl/resource_repo.go.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

from flyteidl.admin import (
    matchable_resource_pb2,
    project_attributes_pb2,
    project_domain_attributes_pb2,
    workflow_attributes_pb2,
)

from flytelite.config import Settings
from flytelite.errors import InvalidArgument, NotFound
from flytelite.server.admin.clock import Clock, now
from flytelite.server.admin.filters import timestamp_text
from flytelite.server.admin.identifiers import join
from flytelite.server.admin.projects import Projects
from flytelite.server.admin.records import Record, Records
from flytelite.server.admin.validation import invalid, missing, require
from flytelite.server.store.interface import Condition, Operator, Query, Store, TableSchema

KINDS = {
    "task_resource_attributes": matchable_resource_pb2.TASK_RESOURCE,
    "cluster_resource_attributes": matchable_resource_pb2.CLUSTER_RESOURCE,
    "execution_queue_attributes": matchable_resource_pb2.EXECUTION_QUEUE,
    "execution_cluster_label": matchable_resource_pb2.EXECUTION_CLUSTER_LABEL,
    "plugin_overrides": matchable_resource_pb2.PLUGIN_OVERRIDE,
    "workflow_execution_config": matchable_resource_pb2.WORKFLOW_EXECUTION_CONFIG,
    "cluster_assignment": matchable_resource_pb2.CLUSTER_ASSIGNMENT,
}
"""The field of MatchingAttributes that is set says the kind. A quality of service is no kind that can be written."""

_SCHEMA = TableSchema(
    "attributes",
    columns=frozenset({"kind", "project", "domain", "workflow", "launch_plan", "priority", "created_at", "updated_at"}),
    indexed=frozenset({"kind"}),
)


class Level(NamedTuple):
    """Where attributes hold; empty parts from the right mean everything below."""

    project: str
    domain: str = ""
    workflow: str = ""
    launch_plan: str = ""

    @property
    def priority(self) -> int:
        """Of several rows the one of highest priority counts (flyteadmin/pkg/repositories/models/resource.go)."""
        if self.launch_plan:
            return 1000
        if self.workflow:
            return 100
        return 10 if self.domain else 5

    def above(self) -> list[Level]:
        """This level and those above it, most specific first."""
        levels = [self, self._replace(launch_plan=""), Level(self.project, self.domain), Level(self.project)]
        return list(dict.fromkeys(levels))


class Attributes:
    """The attribute RPCs, and what holds for an execution."""

    def __init__(self, store: Store, projects: Projects, settings: Settings, clock: Clock = now) -> None:
        self._store = store
        self._projects = projects
        self._settings = settings
        self._clock = clock
        self._task_resources = matchable_resource_pb2.TaskResourceAttributes()
        _set_resources(self._task_resources.defaults, settings.task_resource_defaults)
        _set_resources(self._task_resources.limits, settings.task_resource_limits)
        self._records = Records(store, _SCHEMA, matchable_resource_pb2.MatchableAttributesConfiguration)

    def resolve(
        self, project: str, domain: str, workflow: str, launch_plan: str, resource_type: int
    ) -> matchable_resource_pb2.MatchingAttributes | None:
        """The most specific attributes of the kind (MatchableResource) that hold there; None when there are none.

        Shared: never change them.
        """
        found = self._find(Level(project, domain, workflow, launch_plan), resource_type)
        return None if found is None else found.attributes

    def defaults(self) -> matchable_resource_pb2.WorkflowExecutionConfig:
        """What executions run with when nobody says otherwise."""
        config = matchable_resource_pb2.WorkflowExecutionConfig(max_parallelism=self._settings.max_parallelism)
        config.raw_output_data_config.output_location_prefix = self._settings.raw_data_prefix
        return config

    def task_resources(self, project: str, domain: str, workflow: str) -> matchable_resource_pb2.TaskResourceAttributes:
        """What tasks get by default and the most they may ask for: the most specific TASK_RESOURCE attributes, else the
        settings (``flyteadmin/pkg/manager/impl/util/resources.go``, GetTaskResources). Shared: never change them."""
        found = self.resolve(project, domain, workflow, "", matchable_resource_pb2.TASK_RESOURCE)
        return self._task_resources if found is None else found.task_resource_attributes

    def update_project(
        self, request: project_attributes_pb2.ProjectAttributesUpdateRequest
    ) -> project_attributes_pb2.ProjectAttributesUpdateResponse:
        """UpdateProjectAttributes. Raises InvalidArgument."""
        if not request.HasField("attributes"):
            raise missing("attributes")
        attributes = request.attributes
        self._projects.check_for_update(attributes.project)
        self._put(Level(attributes.project), attributes)
        return project_attributes_pb2.ProjectAttributesUpdateResponse()

    def get_project(
        self, request: project_attributes_pb2.ProjectAttributesGetRequest
    ) -> project_attributes_pb2.ProjectAttributesGetResponse:
        """GetProjectAttributes: the project's own row; a WORKFLOW_EXECUTION_CONFIG is completed with the defaults.

        Raises InvalidArgument when the project does not exist, NotFound.
        """
        self._projects.check_exists(request.project)
        record = self._records.get(_key(Level(request.project), request.resource_type))
        response = project_attributes_pb2.ProjectAttributesGetResponse()
        response.attributes.project = request.project
        matching = response.attributes.matching_attributes
        if record is not None:
            matching.CopyFrom(record.message.attributes)
        elif request.resource_type != matchable_resource_pb2.WORKFLOW_EXECUTION_CONFIG:
            raise _not_found(Level(request.project), request.resource_type)
        if request.resource_type == matchable_resource_pb2.WORKFLOW_EXECUTION_CONFIG:
            _complete(matching.workflow_execution_config, self.defaults())
        return response

    def delete_project(
        self, request: project_attributes_pb2.ProjectAttributesDeleteRequest
    ) -> project_attributes_pb2.ProjectAttributesDeleteResponse:
        """DeleteProjectAttributes, those of its domains and workflows too. Raises InvalidArgument."""
        self._projects.check_for_update(request.project)
        self._delete(Level(request.project), request.resource_type)
        return project_attributes_pb2.ProjectAttributesDeleteResponse()

    def update_project_domain(
        self, request: project_domain_attributes_pb2.ProjectDomainAttributesUpdateRequest
    ) -> project_domain_attributes_pb2.ProjectDomainAttributesUpdateResponse:
        """UpdateProjectDomainAttributes. Raises InvalidArgument."""
        if not request.HasField("attributes"):
            raise missing("attributes")
        attributes = request.attributes
        self._projects.check(attributes.project, attributes.domain)
        self._put(Level(attributes.project, attributes.domain), attributes)
        return project_domain_attributes_pb2.ProjectDomainAttributesUpdateResponse()

    def get_project_domain(
        self, request: project_domain_attributes_pb2.ProjectDomainAttributesGetRequest
    ) -> project_domain_attributes_pb2.ProjectDomainAttributesGetResponse:
        """GetProjectDomainAttributes: the most specific row at or above it. Raises InvalidArgument, NotFound."""
        self._projects.check(request.project, request.domain)
        found = self._get(Level(request.project, request.domain), request.resource_type)
        attributes = project_domain_attributes_pb2.ProjectDomainAttributes(
            project=found.project, domain=found.domain, matching_attributes=found.attributes
        )
        return project_domain_attributes_pb2.ProjectDomainAttributesGetResponse(attributes=attributes)

    def delete_project_domain(
        self, request: project_domain_attributes_pb2.ProjectDomainAttributesDeleteRequest
    ) -> project_domain_attributes_pb2.ProjectDomainAttributesDeleteResponse:
        """DeleteProjectDomainAttributes, those of its workflows too. Raises InvalidArgument."""
        self._projects.check(request.project, request.domain)
        self._delete(Level(request.project, request.domain), request.resource_type)
        return project_domain_attributes_pb2.ProjectDomainAttributesDeleteResponse()

    def update_workflow(
        self, request: workflow_attributes_pb2.WorkflowAttributesUpdateRequest
    ) -> workflow_attributes_pb2.WorkflowAttributesUpdateResponse:
        """UpdateWorkflowAttributes; the workflow need not exist. Raises InvalidArgument."""
        if not request.HasField("attributes"):
            raise missing("attributes")
        attributes = request.attributes
        self._projects.check(attributes.project, attributes.domain)
        require(attributes.workflow, "name")
        self._put(Level(attributes.project, attributes.domain, attributes.workflow), attributes)
        return workflow_attributes_pb2.WorkflowAttributesUpdateResponse()

    def get_workflow(
        self, request: workflow_attributes_pb2.WorkflowAttributesGetRequest
    ) -> workflow_attributes_pb2.WorkflowAttributesGetResponse:
        """GetWorkflowAttributes: the most specific row at or above it. Raises InvalidArgument, NotFound."""
        self._projects.check(request.project, request.domain)
        require(request.workflow, "name")
        found = self._get(Level(request.project, request.domain, request.workflow), request.resource_type)
        attributes = workflow_attributes_pb2.WorkflowAttributes(
            project=found.project,
            domain=found.domain,
            workflow=found.workflow,
            matching_attributes=found.attributes,
        )
        return workflow_attributes_pb2.WorkflowAttributesGetResponse(attributes=attributes)

    def delete_workflow(
        self, request: workflow_attributes_pb2.WorkflowAttributesDeleteRequest
    ) -> workflow_attributes_pb2.WorkflowAttributesDeleteResponse:
        """DeleteWorkflowAttributes. Raises InvalidArgument."""
        self._projects.check(request.project, request.domain)
        require(request.workflow, "name")
        self._delete(Level(request.project, request.domain, request.workflow), request.resource_type)
        return workflow_attributes_pb2.WorkflowAttributesDeleteResponse()

    def list_matchable(
        self, request: matchable_resource_pb2.ListMatchableAttributesRequest
    ) -> matchable_resource_pb2.ListMatchableAttributesResponse:
        """ListMatchableAttributes: all rows of a kind, most specific first. Raises InvalidArgument."""
        if request.resource_type not in matchable_resource_pb2.MatchableResource.values():
            raise invalid("resource_type")
        of_kind = Condition("kind", Operator.EQUAL, (request.resource_type,))
        # Not by sorting downwards: that would also turn insertion order around among equals.
        rows = sorted(self._records.find(Query((of_kind,))), key=lambda row: -int(row.columns["priority"]))
        return matchable_resource_pb2.ListMatchableAttributesResponse(configurations=[row.message for row in rows])

    def _find(self, level: Level, kind: int) -> matchable_resource_pb2.MatchableAttributesConfiguration | None:
        if not len(self._records.table):
            return None  # as on most machines, and asked at each task and execution
        for candidate in level.above():
            record = self._records.get(_key(candidate, kind))
            if record is not None:
                return record.message
        return None

    def _get(self, level: Level, kind: int) -> matchable_resource_pb2.MatchableAttributesConfiguration:
        found = self._find(level, kind)
        if found is None:
            raise _not_found(level, kind)
        return found

    def _put(
        self,
        level: Level,
        attributes: project_attributes_pb2.ProjectAttributes
        | project_domain_attributes_pb2.ProjectDomainAttributes
        | workflow_attributes_pb2.WorkflowAttributes,
    ) -> None:
        if not attributes.HasField("matching_attributes"):
            raise missing("matching_attributes")
        matching = attributes.matching_attributes
        kind = KINDS.get(matching.WhichOneof("target"))
        if kind is None:
            asked = "-".join(part for part in level if part)
            raise InvalidArgument(f"Unrecognized matching attributes type for request {asked}")
        key = _key(level, kind)
        existing = self._records.get(key)
        stamp = timestamp_text(self._clock())
        configuration = matchable_resource_pb2.MatchableAttributesConfiguration(
            attributes=matching, **{name: part for name, part in level._asdict().items() if part}
        )
        if existing is not None and kind == matchable_resource_pb2.PLUGIN_OVERRIDE:
            _merge_overrides(configuration.attributes, existing.message.attributes)
        columns = {
            **level._asdict(),
            "kind": kind,
            "priority": level.priority,
            "created_at": stamp if existing is None else existing.columns["created_at"],
            "updated_at": stamp,
        }
        self._records.put(Record(key, configuration, columns))

    def _delete(self, level: Level, kind: int) -> None:
        # FlyteAdmin leaves empty parts out of its condition, so what lies below goes too.
        given = {name: part for name, part in level._asdict().items() if part}
        conditions = [Condition(name, Operator.EQUAL, (part,)) for name, part in given.items()]
        conditions.append(Condition("kind", Operator.EQUAL, (kind,)))
        with self._store.batch():
            for key in self._records.table.keys(Query(tuple(conditions))):
                self._records.remove(key)


def _set_resources(spec: matchable_resource_pb2.TaskResourceSpec, items: Iterable[str]) -> None:
    for item in items:
        name, _, quantity = item.partition("=")
        setattr(spec, name, quantity)


def _key(level: Level, kind: int) -> str:
    return join(kind, *level)


def _not_found(level: Level, kind: int) -> NotFound:
    known = kind in matchable_resource_pb2.MatchableResource.values()
    name = matchable_resource_pb2.MatchableResource.Name(kind) if known else kind
    return NotFound(
        f"Resource [{{Project:{level.project} Domain:{level.domain} Workflow:{level.workflow} "
        f"LaunchPlan:{level.launch_plan} ResourceType:{name}}}] not found"
    )


def _merge_overrides(
    new: matchable_resource_pb2.MatchingAttributes, old: matchable_resource_pb2.MatchingAttributes
) -> None:
    """One override per task type; what is new wins."""
    overrides = {override.task_type: override for override in old.plugin_overrides.overrides}
    overrides |= {override.task_type: override for override in new.plugin_overrides.overrides}
    merged = matchable_resource_pb2.PluginOverrides(overrides=overrides.values())
    new.plugin_overrides.CopyFrom(merged)


def _complete(
    config: matchable_resource_pb2.WorkflowExecutionConfig, defaults: matchable_resource_pb2.WorkflowExecutionConfig
) -> None:
    """Fill what the project leaves open (flyteadmin/pkg/manager/impl/util/shared.go, MergeIntoExecConfig)."""
    config.max_parallelism = config.max_parallelism or defaults.max_parallelism
    if not config.raw_output_data_config.output_location_prefix:
        config.raw_output_data_config.CopyFrom(defaults.raw_output_data_config)
