"""The tree of spans that says where time went."""

from __future__ import annotations

import pytest
from flyteidl.admin import execution_pb2, launch_plan_pb2, workflow_pb2
from flyteidl.core import compiler_pb2, identifier_pb2, literals_pb2, metrics_pb2
from flyteidl.core import execution_pb2 as core_execution_pb2
from flyteidl.core import workflow_pb2 as core_workflow_pb2

from flytelite.errors import FailedPrecondition, NotFound

Workflow = core_execution_pb2.WorkflowExecution
Node = core_execution_pb2.NodeExecution
Task = core_execution_pb2.TaskExecution


def tree(span: metrics_pb2.Span) -> dict | str:
    kind = span.WhichOneof("id")
    name = span.operation_id if kind == "operation_id" else kind
    seconds = f"{name} {span.end_time.seconds - span.start_time.seconds}"
    return {seconds: [tree(one) for one in span.spans]} if span.spans else seconds


def measured(admin, id, depth: int) -> metrics_pb2.Span:
    return admin.metrics.get(execution_pb2.WorkflowExecutionGetMetricsRequest(id=id, depth=depth)).span


@pytest.fixture
def id(admin, clock):
    """One task that needs two attempts; the clock that dates the execution begins before all events."""
    made = admin.run("run-1")
    start = admin.execution(made).closure.created_at.seconds - 1_700_000_000
    admin.workflow_event(made, Workflow.RUNNING, start + 1)
    admin.node_event(made, "start-node", Node.SUCCEEDED, start + 2)
    admin.node_event(made, "n0", Node.QUEUED, start + 3)
    admin.task_event(made, "n0", Task.QUEUED, start + 5)
    admin.task_event(made, "n0", Task.FAILED, start + 6)
    admin.task_event(made, "n0", Task.QUEUED, start + 8, retry_attempt=1)
    admin.task_event(made, "n0", Task.RUNNING, start + 9, retry_attempt=1)
    admin.task_event(made, "n0", Task.SUCCEEDED, start + 19, retry_attempt=1, reported_at=admin.at(start + 20))
    admin.node_event(made, "n0", Node.SUCCEEDED, start + 21)
    admin.node_event(made, "end-node", Node.SUCCEEDED, start + 22)
    admin.workflow_event(made, Workflow.SUCCEEDED, start + 24)
    return made


def test_a_tree_as_deep_as_asked(admin, id):
    assert tree(measured(admin, id, 0)) == "workflow_id 24"
    assert tree(measured(admin, id, 1)) == {
        "workflow_id 24": ["WORKFLOW_SETUP 2", {"node_id 18": ["NODE_TRANSITION 1"]}, "WORKFLOW_TEARDOWN 3"]
    }
    attempts = [
        {"task_id 1": ["TASK_SETUP 1"]},
        "NODE_RESET 2",
        {"task_id 12": ["TASK_SETUP 1", "TASK_RUNTIME 10", "TASK_TEARDOWN 1"]},
    ]
    node = {"node_id 18": ["NODE_TRANSITION 1", "NODE_SETUP 2", *attempts, "NODE_TEARDOWN 1"]}
    assert tree(measured(admin, id, 10)) == {"workflow_id 24": ["WORKFLOW_SETUP 2", node, "WORKFLOW_TEARDOWN 3"]}


def test_what_has_not_begun_is_set_up(admin):
    id = admin.run()
    assert tree(measured(admin, id, 10)) == {"workflow_id 0": ["WORKFLOW_SETUP 0"]}


def test_a_node_that_its_workflow_lacks_is_an_error(admin, id):
    admin.node_event(id, "n9", Node.QUEUED)
    with pytest.raises(FailedPrecondition, match="failed to discover workflow node 'n9'"):
        measured(admin, id, 2)


def test_unknown_executions_are_not_found(admin, id):
    id.name = "none"
    with pytest.raises(NotFound):
        measured(admin, id, 1)


@pytest.fixture
def mixed(admin) -> core_workflow_pb2.WorkflowTemplate:
    """A workflow of a gate, a branch, a sub-workflow, a launch plan and a dynamic task, registered as ``mixed``."""

    def task_node(id: str) -> core_workflow_pb2.Node:
        node = core_workflow_pb2.Node(id=id, inputs=[x])
        node.task_node.reference_id.CopyFrom(admin.identifier(identifier_pb2.TASK, "tasks.double"))
        return node

    x = literals_pb2.Binding(var="x")
    x.binding.scalar.primitive.integer = 1
    gate = core_workflow_pb2.Node(id="gate")
    gate.gate_node.sleep.duration.seconds = 1
    branch = core_workflow_pb2.Node(id="branch")
    case = branch.branch_node.if_else.case
    case.condition.comparison.left_value.primitive.integer = 1
    case.condition.comparison.right_value.primitive.integer = 1
    case.then_node.CopyFrom(task_node("arm"))
    branch.branch_node.if_else.error.message = "none"
    sub = core_workflow_pb2.Node(id="sub")
    inner = core_workflow_pb2.WorkflowTemplate(
        id=admin.identifier(identifier_pb2.WORKFLOW, "inner"), nodes=[task_node("task")]
    )
    inner.interface.SetInParent()
    sub.workflow_node.sub_workflow_ref.CopyFrom(inner.id)
    plan = core_workflow_pb2.Node(id="plan", inputs=[x])
    plan.workflow_node.launchplan_ref.CopyFrom(admin.identifier(identifier_pb2.LAUNCH_PLAN, "double"))
    template = core_workflow_pb2.WorkflowTemplate(nodes=[gate, branch, sub, plan, task_node("dynamic")])
    template.interface.SetInParent()
    id = admin.identifier(identifier_pb2.WORKFLOW, "mixed")
    spec = workflow_pb2.WorkflowSpec(template=template, sub_workflows=[inner])
    admin.workflows.create(workflow_pb2.WorkflowCreateRequest(id=id, spec=spec))
    admin.plan("mixed", "v1", launch_plan_pb2.LaunchPlanSpec(), id)
    return inner


def test_every_kind_of_node_has_its_spans(admin, mixed):
    id = admin.run("run-1", plan="mixed", inputs=literals_pb2.LiteralMap())
    child = admin.run("child")
    start = admin.execution(child).closure.created_at.seconds - 1_700_000_000

    def node(name: str, phase: int, second: int, **fields) -> None:
        admin.node_event(id, name, phase, start + second, **fields)

    def task(name: str, second: int) -> None:
        admin.task_event(id, name, Task.SUCCEEDED, start + second)

    node("start-node", Node.SUCCEEDED, 0)
    node("gate", Node.QUEUED, 1)
    node("gate", Node.RUNNING, 2)
    node("gate", Node.SUCCEEDED, 7, reported_at=admin.at(start + 8))
    node("branch", Node.QUEUED, 1)
    node("arm", Node.QUEUED, 3, spec_node_id="branch-arm", parent_node_metadata={"node_id": "branch"})
    task("arm", 4)
    node("arm", Node.SUCCEEDED, 5)
    node("branch", Node.SUCCEEDED, 6)
    node("sub", Node.QUEUED, 1, is_parent=True)
    below = {"parent_node_metadata": {"node_id": "sub"}}
    node("sub-0-start-node", Node.SUCCEEDED, 2, spec_node_id="start-node", **below)
    node("sub-0-task", Node.QUEUED, 3, spec_node_id="task", **below)
    node("sub-0-task", Node.SUCCEEDED, 5)
    node("sub", Node.SUCCEEDED, 6)
    node("plan", Node.QUEUED, -1)
    node("plan", Node.RUNNING, 1, workflow_node_metadata={"execution_id": child})
    node("plan", Node.SUCCEEDED, 3)
    node("dynamic", Node.QUEUED, 1)
    task("dynamic", 2)
    workflow = compiler_pb2.CompiledWorkflowClosure(primary={"template": mixed})
    made = {"dynamic_workflow": {"id": mixed.id, "compiled_workflow": workflow}}
    node("dynamic", Node.DYNAMIC_RUNNING, 3, task_node_metadata=made, is_dynamic=True, is_parent=True)
    below = {"parent_node_metadata": {"node_id": "dynamic"}}
    node("dynamic-0-start-node", Node.SUCCEEDED, 4, spec_node_id="start-node", **below)
    node("dynamic-0-task", Node.SUCCEEDED, 5, spec_node_id="task", **below)
    node("dynamic", Node.SUCCEEDED, 6)

    spans = {span.node_id.node_id: tree(span) for span in measured(admin, id, 10).spans if span.HasField("node_id")}
    task_span = {"task_id 0": ["TASK_SETUP 0"]}
    assert spans == {
        "gate": {"node_id 7": ["NODE_TRANSITION 1", "NODE_SETUP 1", "NODE_IDLE 5", "NODE_TEARDOWN 1"]},
        "branch": {
            "node_id 5": [
                "NODE_TRANSITION 1",
                "NODE_SETUP 2",
                {"node_id 2": ["NODE_SETUP 1", task_span, "NODE_TEARDOWN 1"]},
                "NODE_TEARDOWN 1",
            ]
        },
        "sub": {
            "node_id 5": [
                "NODE_TRANSITION 1",
                "NODE_SETUP 1",
                {"node_id 2": ["NODE_TRANSITION 1", "NODE_SETUP 2"]},
                "NODE_TEARDOWN 1",
            ]
        },
        "plan": {
            "node_id 4": [
                "NODE_TRANSITION -1",
                "NODE_SETUP 1",
                {"workflow_id 0": ["WORKFLOW_SETUP 0"]},
                "NODE_TEARDOWN 3",
            ]
        },
        "dynamic": {
            "node_id 5": [
                "NODE_TRANSITION 1",
                "NODE_SETUP 1",
                task_span,
                "NODE_RESET 2",
                {"node_id 0": ["NODE_SETUP 0"]},
            ]
        },
    }
