from __future__ import annotations

import pytest
from flyteidl.admin import common_pb2, description_entity_pb2, workflow_pb2
from flyteidl.core import identifier_pb2

from flytelite.config import Settings
from flytelite.errors import AlreadyExists, InvalidArgument, NotFound
from flytelite.server.admin.workflows import Workflows

P, D = "flytesnacks", "development"


@pytest.fixture
def registered(tasks, workflows, task_request, workflow_request):
    tasks.create(task_request())
    workflows.create(workflow_request())
    return workflows


def test_a_workflow_comes_back_compiled(registered, workflow_request):
    workflow = registered.get(common_pb2.ObjectGetRequest(id=workflow_request().id))
    compiled = workflow.closure.compiled_workflow
    assert workflow.id == compiled.primary.template.id == workflow_request().id
    assert [node.id for node in compiled.primary.template.nodes] == ["start-node", "end-node", "n0"]
    assert list(compiled.primary.connections.downstream["start-node"].ids) == ["n0"]
    assert [task.template.id.name for task in compiled.tasks] == ["t"]
    assert workflow.closure.created_at.seconds > 0
    assert registered.closure(workflow.id) == compiled


def test_a_list_shows_the_interface_only(registered):
    request = common_pb2.ResourceListRequest(id=common_pb2.NamedEntityIdentifier(project=P, domain=D), limit=1)
    page = registered.list(request)
    (workflow,) = page.workflows
    template = workflow.closure.compiled_workflow.primary.template
    assert page.token == "1"
    assert set(template.interface.inputs.variables) == {"x"}
    assert not template.HasField("id")
    assert not template.nodes
    assert not workflow.closure.compiled_workflow.tasks
    assert workflow == registered.find(workflow.id)
    assert registered.interface(workflow.id) == template.interface


def test_lists_filter_and_page(registered, workflow_request):
    registered.create(workflow_request("v", "2"))
    scope = common_pb2.NamedEntityIdentifier(project=P, domain=D)
    newest = common_pb2.Sort(key="created_at", direction=common_pb2.Sort.DESCENDING)
    page = registered.list(common_pb2.ResourceListRequest(id=scope, limit=5, sort_by=newest))
    assert [workflow.id.name for workflow in page.workflows] == ["v", "w"]
    page = registered.list(common_pb2.ResourceListRequest(id=scope, limit=5, filters="contains(workflow.version,2)"))
    assert [workflow.id.name for workflow in page.workflows] == ["v"]
    names = registered.list_ids(common_pb2.NamedEntityIdentifierListRequest(project=P, domain=D, limit=5))
    assert [id.name for id in names.entities] == ["v", "w"]


def test_the_same_structure_again_is_a_duplicate(store, registered, workflow_request):
    position = store.position
    with pytest.raises(AlreadyExists, match=r"^workflow with identical structure already exists$") as caught:
        registered.create(workflow_request())
    reason = workflow_pb2.CreateWorkflowFailureReason()
    reason.exists_identical_structure.id.CopyFrom(workflow_request().id)
    assert caught.value.details == (reason,)
    assert store.position == position


def test_another_structure_is_refused_with_the_difference(store, registered, workflow_request):
    request, position = workflow_request(), store.position
    request.spec.template.nodes[0].metadata.name = "renamed"
    with pytest.raises(InvalidArgument) as caught:
        registered.create(request)
    assert str(caught.value) == (
        "w workflow with different structure already exists. (Please register a new version of the workflow):\n"
        "/primary/template/nodes/2/metadata/name:\n\t- t \n\t+ renamed"
    )
    reason = workflow_pb2.CreateWorkflowFailureReason()
    reason.exists_different_structure.id.CopyFrom(request.id)
    assert caught.value.details == (reason,)
    assert store.position == position


def test_a_description_is_kept(registered, descriptions, workflow_request):
    request = workflow_request(version="2")
    request.spec.description.CopyFrom(description_entity_pb2.DescriptionEntity(short_description="adds"))
    registered.create(request)
    get = common_pb2.ObjectGetRequest(id=request.id)
    assert registered.get(get).short_description == descriptions.get(get).short_description == "adds"


def test_what_a_workflow_needs_must_exist(store, workflows, workflow_request):
    position = store.position
    with pytest.raises(
        InvalidArgument, match=r"^failed to compile workflow for \[.*\] with err: missing entity of type TASK"
    ):
        workflows.create(workflow_request())
    request = workflow_request()
    reference = request.spec.template.nodes[0].workflow_node.launchplan_ref
    reference.CopyFrom(request.id)
    reference.resource_type = identifier_pb2.LAUNCH_PLAN
    with pytest.raises(InvalidArgument, match=r"with err: missing entity of type LAUNCH_PLAN with identifier"):
        workflows.create(request)
    assert store.position == position


def test_a_workflow_that_does_not_compile(registered, workflow_request):
    request = workflow_request(version="2")
    request.spec.template.nodes[0].inputs[0].binding.promise.var = "unknown"
    with pytest.raises(InvalidArgument, match=r"with err: Collected Errors: 2\n\tError 0: Code: ParameterNotBound"):
        registered.create(request)
    assert registered.find(request.id) is None


def test_launch_plans_can_be_nodes(registered, launch_plans, launch_plan_request, workflow_request):
    plan = launch_plan_request()
    launch_plans.create(plan)
    request = workflow_request("outer")
    request.spec.template.nodes[0].workflow_node.launchplan_ref.CopyFrom(plan.id)
    registered.create(request)
    closure = registered.closure(request.id)
    assert closure.primary.template.nodes[2].workflow_node.launchplan_ref == plan.id
    assert not closure.tasks


def test_nodes_are_counted_when_there_is_a_limit(
    store, projects, tasks, named_entities, descriptions, task_request, workflow_request, clock
):
    settings = Settings(max_workflow_nodes=1)
    workflows = Workflows(store, projects, tasks, named_entities, descriptions, settings=settings, clock=clock)
    tasks.create(task_request())
    workflows.create(workflow_request())
    request = workflow_request(version="2")
    second = request.spec.template.nodes.add()
    second.CopyFrom(request.spec.template.nodes[0])
    second.id = "n1"
    with pytest.raises(InvalidArgument, match=r"^number of nodes in workflow \[.*\] exceeds limit \(2 > 1\)$"):
        workflows.create(request)


def test_requests_are_checked(registered, workflow_request):
    request = workflow_request(version="2")
    request.id.resource_type = identifier_pb2.TASK
    with pytest.raises(InvalidArgument, match=r"^unexpected resource type task .*, expected workflow instead$"):
        registered.create(request)
    with pytest.raises(InvalidArgument, match=r"^unexpected resource type task "):
        registered.get(common_pb2.ObjectGetRequest(id=request.id))
    request.id.resource_type, request.id.domain = identifier_pb2.WORKFLOW, "moon"
    with pytest.raises(InvalidArgument, match=r"^domain \[moon\]"):
        registered.create(request)
    request.id.domain = D
    request.ClearField("spec")
    with pytest.raises(InvalidArgument, match=r"^missing spec$"):
        registered.create(request)
    with pytest.raises(NotFound, match=r"^missing entity of type WORKFLOW with identifier "):
        registered.get(common_pb2.ObjectGetRequest(id=request.id))
    with pytest.raises(NotFound):
        registered.interface(request.id)
    assert registered.closure(request.id) is None
