"""Who has a say in what an execution runs with, and who is heard first."""

from __future__ import annotations

import pytest
from flyteidl.admin import (
    common_pb2,
    launch_plan_pb2,
    matchable_resource_pb2,
    project_attributes_pb2,
    project_domain_attributes_pb2,
    project_pb2,
)
from flyteidl.core import identifier_pb2, security_pb2

from flytelite.errors import InvalidArgument

Config = matchable_resource_pb2.WorkflowExecutionConfig


def labels(**values: str) -> common_pb2.Labels:
    return common_pb2.Labels(values=values)


def runs_as(account: str) -> security_pb2.SecurityContext:
    return security_pb2.SecurityContext(run_as=security_pb2.Identity(k8s_service_account=account))


@pytest.fixture
def plan(admin):
    def register(name: str, **spec) -> None:
        workflow = admin.identifier(identifier_pb2.WORKFLOW, "double")
        admin.plan(name, "v1", launch_plan_pb2.LaunchPlanSpec(**spec), workflow)

    return register


def set_project_config(admin, config: Config) -> None:
    matching = matchable_resource_pb2.MatchingAttributes(workflow_execution_config=config)
    attributes = project_attributes_pb2.ProjectAttributes(project="flytesnacks", matching_attributes=matching)
    admin.attributes.update_project(project_attributes_pb2.ProjectAttributesUpdateRequest(attributes=attributes))


def set_domain(admin, **target) -> None:
    matching = matchable_resource_pb2.MatchingAttributes(**target)
    attributes = project_domain_attributes_pb2.ProjectDomainAttributes(
        project="flytesnacks", domain="development", matching_attributes=matching
    )
    request = project_domain_attributes_pb2.ProjectDomainAttributesUpdateRequest(attributes=attributes)
    admin.attributes.update_project_domain(request)


def test_the_settings_have_the_last_word(admin, settings):
    spec = admin.executions.resolved_spec(admin.run())
    assert spec.max_parallelism == settings.max_parallelism
    assert spec.raw_output_data_config.output_location_prefix == str(settings.bucket / "data")
    assert spec.security_context.HasField("run_as")
    assert not spec.HasField("interruptible")
    assert not spec.overwrite_cache
    assert spec.launch_plan.name == "double"


def test_each_level_fills_what_those_above_leave_open(admin, plan):
    set_project_config(
        admin, Config(max_parallelism=4, annotations=common_pb2.Annotations(values={"level": "project"}))
    )
    set_domain(admin, workflow_execution_config=Config(max_parallelism=3, security_context=runs_as("domain")))
    plan("planned", max_parallelism=2, labels=labels(level="plan"), security_context=security_pb2.SecurityContext())
    envs = common_pb2.Envs(values=[{"key": "LEVEL", "value": "request"}])
    spec = admin.executions.resolved_spec(admin.run(plan="planned", envs=envs))
    assert spec.max_parallelism == 2
    assert dict(spec.labels.values) == {"level": "plan"}
    assert spec.envs.values[0].value == "request"
    assert spec.security_context.run_as.k8s_service_account == "domain"
    assert dict(spec.annotations.values) == {"level": "project"}


def test_the_request_comes_first_and_maps_are_not_mixed(admin, plan):
    plan("planned", max_parallelism=2, labels=labels(a="plan", b="plan"), interruptible={"value": True})
    spec = admin.executions.resolved_spec(
        admin.run(plan="planned", max_parallelism=1, labels=labels(a="request"), interruptible={"value": False})
    )
    assert spec.max_parallelism == 1
    assert dict(spec.labels.values) == {"a": "request"}
    assert spec.HasField("interruptible")
    assert spec.interruptible.value is False


def test_the_cache_is_overwritten_when_anyone_says_so(admin, plan):
    plan("planned", overwrite_cache=True)
    assert admin.executions.resolved_spec(admin.run(plan="planned")).overwrite_cache


def test_a_single_task_does_not_hear_a_launch_plan_but_attributes(admin):
    set_domain(admin, workflow_execution_config=Config(max_parallelism=3))
    id = admin.run(launch_plan=admin.identifier(identifier_pb2.TASK, "tasks.double"))
    assert admin.executions.resolved_spec(id).max_parallelism == 3
    assert admin.execution(id).spec.max_parallelism == 0


def test_the_old_ways_to_say_as_whom_to_run_are_heard_last(admin, plan):
    plan("roled", auth_role=common_pb2.AuthRole(kubernetes_service_account="old"))
    id = admin.run(plan="roled")
    assert admin.execution(id).spec.security_context.run_as.k8s_service_account == "old"
    id = admin.run(plan="roled", security_context=runs_as("new"))
    assert admin.execution(id).spec.security_context.run_as.k8s_service_account == "new"


def test_labels_of_the_project_fill_gaps(admin):
    project = project_pb2.Project(id="flytesnacks", labels=labels(team="flyte", a="project"))
    admin.projects.update(project)
    id = admin.run(labels=labels(a="request"))
    complete = {"a": "request", "team": "flyte"}
    assert dict(admin.executions.resolved_spec(id).labels.values) == complete
    assert dict(admin.execution(id).spec.labels.values) == complete  # as FlyteAdmin stores them
    id = admin.run()
    assert dict(admin.executions.resolved_spec(id).labels.values) == {"team": "flyte", "a": "project"}
    assert not admin.execution(id).spec.labels.values


def test_another_cluster_pool_than_the_assigned_one_is_refused(admin):
    set_domain(admin, cluster_assignment={"cluster_pool_name": "small"})
    admin.run(cluster_assignment={"cluster_pool_name": "small"})
    with pytest.raises(InvalidArgument, match='cannot run on cluster pool "large"'):
        admin.run(cluster_assignment={"cluster_pool_name": "large"})


def test_what_the_platform_says_of_tasks_is_kept_with_the_execution(admin):
    assert not admin.executions.platform(admin.run()).task_resources.HasField("limits")
    limits = matchable_resource_pb2.TaskResourceSpec(cpu="2")
    set_domain(admin, task_resource_attributes=matchable_resource_pb2.TaskResourceAttributes(limits=limits))
    override = matchable_resource_pb2.PluginOverride(task_type="spark", plugin_id=["container"])
    set_domain(admin, plugin_overrides=matchable_resource_pb2.PluginOverrides(overrides=[override]))
    id = admin.run()
    limits.cpu = "9"
    set_domain(admin, task_resource_attributes=matchable_resource_pb2.TaskResourceAttributes(limits=limits))
    kept = admin.executions.platform(id)
    assert kept.task_resources.limits.cpu == "2"
    assert list(kept.plugin_overrides.overrides) == [override]
    task = admin.run(launch_plan=admin.identifier(identifier_pb2.TASK, "tasks.double"))
    assert admin.executions.platform(task).task_resources.limits.cpu == "9"
    assert list(admin.executions.platform(task).plugin_overrides.overrides) == [override]
