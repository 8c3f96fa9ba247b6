from __future__ import annotations

import pytest
from flyteidl.admin import (
    matchable_resource_pb2 as matchable,
)
from flyteidl.admin import (
    project_attributes_pb2 as of_project,
)
from flyteidl.admin import (
    project_domain_attributes_pb2 as of_domain,
)
from flyteidl.admin import (
    project_pb2,
)
from flyteidl.admin import (
    workflow_attributes_pb2 as of_workflow,
)

from flytelite.errors import InvalidArgument, NotFound
from flytelite.server.admin.attributes import Attributes

P, D, W = "flytesnacks", "development", "my.workflow"


def label(value: str) -> matchable.MatchingAttributes:
    return matchable.MatchingAttributes(execution_cluster_label=matchable.ExecutionClusterLabel(value=value))


def overrides(**plugins: str) -> matchable.MatchingAttributes:
    listed = [matchable.PluginOverride(task_type=type, plugin_id=[plugin]) for type, plugin in plugins.items()]
    return matchable.MatchingAttributes(plugin_overrides=matchable.PluginOverrides(overrides=listed))


def put_project(attributes: Attributes, matching: matchable.MatchingAttributes | None) -> None:
    row = of_project.ProjectAttributes(project=P, matching_attributes=matching)
    attributes.update_project(of_project.ProjectAttributesUpdateRequest(attributes=row))


def put_domain(attributes: Attributes, matching: matchable.MatchingAttributes | None, domain: str = D) -> None:
    row = of_domain.ProjectDomainAttributes(project=P, domain=domain, matching_attributes=matching)
    attributes.update_project_domain(of_domain.ProjectDomainAttributesUpdateRequest(attributes=row))


def put_workflow(attributes: Attributes, matching: matchable.MatchingAttributes | None, workflow: str = W) -> None:
    row = of_workflow.WorkflowAttributes(project=P, domain=D, workflow=workflow, matching_attributes=matching)
    attributes.update_workflow(of_workflow.WorkflowAttributesUpdateRequest(attributes=row))


LABEL = matchable.EXECUTION_CLUSTER_LABEL


def resolved(attributes: Attributes, *level: str) -> str | None:
    found = attributes.resolve(*(*level, "", "", "", "")[:4], LABEL)
    return None if found is None else found.execution_cluster_label.value


def get_workflow(attributes: Attributes, kind: int = LABEL) -> of_workflow.WorkflowAttributes:
    request = of_workflow.WorkflowAttributesGetRequest(project=P, domain=D, workflow=W, resource_type=kind)
    return attributes.get_workflow(request).attributes


def get_domain(attributes: Attributes, kind: int = LABEL) -> of_domain.ProjectDomainAttributes:
    request = of_domain.ProjectDomainAttributesGetRequest(project=P, domain=D, resource_type=kind)
    return attributes.get_project_domain(request).attributes


def get_project(attributes: Attributes, kind: int = LABEL) -> of_project.ProjectAttributes:
    return attributes.get_project(of_project.ProjectAttributesGetRequest(project=P, resource_type=kind)).attributes


def test_the_most_specific_row_counts(attributes):
    assert resolved(attributes, P, D, W) is None
    put_project(attributes, label("project"))
    assert resolved(attributes, P, D, W, "lp") == "project"
    put_domain(attributes, label("domain"))
    put_workflow(attributes, label("workflow"))
    assert resolved(attributes, P, D, W, "lp") == "workflow"
    assert resolved(attributes, P, D, "other") == "domain"
    assert resolved(attributes, P, "staging", W) == "project"
    assert resolved(attributes, "other", D, W) is None


def test_answers_name_the_level_that_was_found(attributes):
    put_project(attributes, label("project"))
    found = get_workflow(attributes)
    assert (found.project, found.domain, found.workflow) == (P, "", "")
    assert get_domain(attributes).domain == ""
    put_domain(attributes, label("domain"))
    assert (get_workflow(attributes).domain, get_workflow(attributes).workflow) == (D, "")
    assert get_domain(attributes).matching_attributes == label("domain")


def test_a_project_has_only_its_own_row(attributes):
    put_domain(attributes, label("domain"))
    with pytest.raises(NotFound):
        get_project(attributes)
    put_project(attributes, label("project"))
    assert get_project(attributes) == of_project.ProjectAttributes(project=P, matching_attributes=label("project"))


def test_nothing_found(attributes):
    with pytest.raises(NotFound) as caught:
        get_workflow(attributes)
    assert str(caught.value) == (
        "Resource [{Project:flytesnacks Domain:development Workflow:my.workflow LaunchPlan: "
        "ResourceType:EXECUTION_CLUSTER_LABEL}] not found"
    )


def test_execution_settings_of_a_project_are_completed_with_defaults(attributes, settings):
    kind = matchable.WORKFLOW_EXECUTION_CONFIG
    config = get_project(attributes, kind).matching_attributes.workflow_execution_config
    assert config.max_parallelism == settings.max_parallelism
    assert not config.HasField("interruptible")
    assert config.raw_output_data_config.output_location_prefix == settings.raw_data_prefix
    own = matchable.WorkflowExecutionConfig(max_parallelism=3)
    put_project(attributes, matchable.MatchingAttributes(workflow_execution_config=own))
    config = get_project(attributes, kind).matching_attributes.workflow_execution_config
    assert config.max_parallelism == 3
    assert config.raw_output_data_config.output_location_prefix == settings.raw_data_prefix
    stored = attributes.resolve(P, D, W, "", kind)
    assert stored.workflow_execution_config == own


def test_updates_replace_except_that_plugin_overrides_merge(attributes):
    put_domain(attributes, label("one"))
    put_domain(attributes, label("two"))
    assert resolved(attributes, P, D) == "two"
    for put in (put_project, put_domain, put_workflow):
        put(attributes, overrides(spark="a", hive="a"))
        put(attributes, overrides(spark="b", ray="b"))
    found = get_workflow(attributes, matchable.PLUGIN_OVERRIDE).matching_attributes.plugin_overrides
    assert {one.task_type: one.plugin_id[0] for one in found.overrides} == {"spark": "b", "hive": "a", "ray": "b"}


def test_deleting_a_level_deletes_what_lies_below_it(attributes):
    for put in (put_project, put_domain, put_workflow):
        put(attributes, label("x"))
        put(attributes, overrides(spark="a"))
    put_domain(attributes, label("staging"), "staging")
    delete = of_domain.ProjectDomainAttributesDeleteRequest(project=P, domain=D, resource_type=LABEL)
    attributes.delete_project_domain(delete)
    assert get_workflow(attributes).domain == ""
    assert resolved(attributes, P, "staging") == "staging"
    attributes.delete_project(of_project.ProjectAttributesDeleteRequest(project=P, resource_type=LABEL))
    assert resolved(attributes, P, "staging") is None
    assert get_workflow(attributes, matchable.PLUGIN_OVERRIDE).workflow == W
    delete = of_workflow.WorkflowAttributesDeleteRequest(
        project=P, domain=D, workflow=W, resource_type=matchable.PLUGIN_OVERRIDE
    )
    attributes.delete_workflow(delete)
    attributes.delete_workflow(delete)
    assert get_workflow(attributes, matchable.PLUGIN_OVERRIDE).domain == D


def test_lists_go_from_specific_to_general(attributes):
    put_project(attributes, label("project"))
    put_workflow(attributes, label("workflow"))
    put_domain(attributes, label("domain"))
    put_workflow(attributes, label("second"), "second")
    put_domain(attributes, overrides(spark="a"))
    found = attributes.list_matchable(matchable.ListMatchableAttributesRequest(resource_type=LABEL)).configurations
    assert [row.attributes.execution_cluster_label.value for row in found] == [
        "workflow",
        "second",
        "domain",
        "project",
    ]
    assert (found[0].project, found[0].domain, found[0].workflow, found[0].launch_plan) == (P, D, W, "")
    with pytest.raises(InvalidArgument, match=r"^invalid value for resource_type$"):
        attributes.list_matchable(matchable.ListMatchableAttributesRequest(resource_type=99))


def test_requests_that_cannot_be_used(attributes, projects):
    qos = matchable.MatchingAttributes()
    qos.quality_of_service.SetInParent()
    cases = [
        (r"^missing attributes$", lambda: attributes.update_workflow(of_workflow.WorkflowAttributesUpdateRequest())),
        (r"^missing matching_attributes$", lambda: put_project(attributes, None)),
        (r"^missing name$", lambda: put_workflow(attributes, label("x"), "")),
        (r"^domain \[moon\] is unrecognized by system$", lambda: put_domain(attributes, label("x"), "moon")),
        (
            r"^Unrecognized matching attributes type for request flytesnacks-development$",
            lambda: put_domain(attributes, qos),
        ),
        (
            r"^failed to validate that project \[x\] exists, err: ",
            lambda: attributes.get_project(of_project.ProjectAttributesGetRequest(project="x")),
        ),
        (
            r"^failed to validate that project \[x\] is registered, err: ",
            lambda: attributes.delete_project(of_project.ProjectAttributesDeleteRequest(project="x")),
        ),
    ]
    for message, call in cases:
        with pytest.raises(InvalidArgument, match=message):
            call()
    projects.update(project_pb2.Project(id=P, state=project_pb2.Project.ARCHIVED))
    with pytest.raises(InvalidArgument, match=r"^project \[flytesnacks\] is not active$") as caught:
        put_project(attributes, label("x"))
    assert caught.value.details == ()
