"""Running one task by itself."""

from __future__ import annotations

import pytest
from flyteidl.admin import common_pb2, execution_pb2
from flyteidl.core import artifact_id_pb2, identifier_pb2, workflow_pb2

from flytelite.errors import InvalidArgument, NotFound
from flytelite.server.admin.single_task import node_id


@pytest.fixture
def task(admin) -> identifier_pb2.Identifier:
    return admin.identifier(identifier_pb2.TASK, "tasks.double")


def named_state(admin, resource_type: int, name: str) -> int:
    id = common_pb2.NamedEntityIdentifier(project="flytesnacks", domain="development", name=name)
    request = common_pb2.NamedEntityGetRequest(resource_type=resource_type, id=id)
    return admin.named_entities.get(request).metadata.state


def test_a_workflow_and_a_launch_plan_are_made_once(admin, task):
    id = admin.run(launch_plan=task)
    execution = admin.execution(id)
    workflow = admin.identifier(identifier_pb2.WORKFLOW, ".flytegen.tasks.double")
    assert execution.spec.launch_plan == task
    assert execution.closure.workflow_id == workflow
    nodes = admin.workflows.closure(workflow).primary.template.nodes
    assert [node.id for node in nodes] == ["start-node", "end-node", "tasksdouble"]
    assert nodes[2].task_node.reference_id == task
    assert nodes[2].metadata == workflow_pb2.NodeMetadata(name="tasksdouble", retries={"retries": 3})
    plan = admin.launch_plans.find(admin.identifier(identifier_pb2.LAUNCH_PLAN, ".flytegen.tasks.double"))
    assert plan.closure.expected_inputs.parameters["x"].required
    for resource_type in (identifier_pb2.WORKFLOW, identifier_pb2.LAUNCH_PLAN):
        assert named_state(admin, resource_type, ".flytegen.tasks.double") == common_pb2.SYSTEM_GENERATED
    again = admin.run(launch_plan=task)
    assert admin.execution(again).closure.workflow_id == workflow


def test_retries_of_the_task_count_when_it_names_some(admin):
    admin.register("once", retries=0)
    id = admin.run(launch_plan=admin.identifier(identifier_pb2.TASK, "tasks.once"))
    nodes = admin.workflows.closure(admin.execution(id).closure.workflow_id).primary.template.nodes
    assert nodes[2].metadata.HasField("retries")
    assert nodes[2].metadata.retries.retries == 0


def test_inputs_are_checked_like_those_of_a_launch_plan(admin, task):
    with pytest.raises(InvalidArgument, match="expected_inputs x missing"):
        admin.run(launch_plan=task, inputs=admin.literal_map())


def test_an_unknown_task_is_not_found(admin):
    with pytest.raises(NotFound, match="missing entity of type TASK with identifier"):
        admin.run(launch_plan=admin.identifier(identifier_pb2.TASK, "tasks.none"))


def test_lists_find_it_by_task_and_not_by_launch_plan(admin, task):
    id = admin.run(launch_plan=task)

    def listed(filters: str) -> list[identifier_pb2.WorkflowExecutionIdentifier]:
        scope = common_pb2.NamedEntityIdentifier(project="flytesnacks", domain="development")
        request = common_pb2.ResourceListRequest(id=scope, limit=10, filters=filters)
        return [execution.id for execution in admin.executions.list(request).executions]

    assert listed("eq(task.name,tasks.double)") == [id]
    assert listed("eq(workflow.name,.flytegen.tasks.double)") == [id]
    assert listed("eq(launch_entity,task)") == [id]
    assert listed("contains(launch_plan.name,tasks)") == []


def test_artifacts_that_a_request_names_are_kept_only_for_a_task(admin, task):
    metadata = execution_pb2.ExecutionMetadata(artifact_ids=[artifact_id_pb2.ArtifactID(version="1")])
    kept = admin.execution(admin.run(launch_plan=task, metadata=metadata)).spec.metadata.artifact_ids
    assert [artifact.version for artifact in kept] == ["1"]
    assert not admin.execution(admin.run(metadata=metadata)).spec.metadata.artifact_ids


def test_relaunching_keeps_it_a_task(admin, task):
    id = admin.run(launch_plan=task)
    again = admin.executions.relaunch(execution_pb2.ExecutionRelaunchRequest(id=id)).id
    assert admin.execution(again).spec.launch_plan == task


def test_node_ids_are_the_end_of_the_name_in_plain_letters():
    assert node_id("my.module.my_task-1") == "mymodulemytask-1"
    assert node_id("a." + "b" * 70) == "b" * 63
    assert node_id("é" * 40) == "é" * 31


def test_the_launch_plan_names_no_workflow_that_there_is(admin, task):
    admin.run(launch_plan=task)
    generated = admin.identifier(identifier_pb2.LAUNCH_PLAN, ".flytegen.tasks.double")
    workflow = admin.launch_plans.find(generated).spec.workflow_id
    assert workflow == admin.identifier(identifier_pb2.WORKFLOW, "tasks.double")
    scope = common_pb2.NamedEntityIdentifier(project="flytesnacks", domain="development")
    of_workflow = common_pb2.ResourceListRequest(id=scope, limit=10, filters="eq(workflow.name,.flytegen.tasks.double)")
    assert [plan.id for plan in admin.launch_plans.list(of_workflow).launch_plans] == [generated]
    with pytest.raises(NotFound, match=r'of type WORKFLOW with identifier .* name:"tasks.double" version:"v1"'):
        admin.run(launch_plan=generated)
