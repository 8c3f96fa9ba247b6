from __future__ import annotations

import sys
from typing import Any

import pytest
from flyteidl.admin import launch_plan_pb2
from flyteidl.core import dynamic_job_pb2, interface_pb2
from google.protobuf import json_format

from flytelite.compiler.errors import CompilationFailed
from flytelite.compiler.workflows import compile_dynamic, compile_workflow, required


def edges(compiled: Any) -> dict[str, dict[str, list[str]]]:
    connections = compiled.connections
    return {
        "upstream": {id: list(connections.upstream[id].ids) for id in sorted(connections.upstream)},
        "downstream": {id: list(connections.downstream[id].ids) for id in sorted(connections.downstream)},
    }


def calls(templates: Any, id: str, name: str, **inputs: Any) -> dict[str, Any]:
    reference = {"subWorkflowRef": templates.identifier("WORKFLOW", name)}
    return {"id": id, "workflowNode": reference, "inputs": templates.bindings(inputs)}


def branching(templates: Any, name: str = "branching") -> Any:
    operand = {"leftValue": {"var": "x"}, "rightValue": {"primitive": {"integer": 1}}}
    case = {"condition": {"comparison": operand}, "thenNode": templates.node("n0", n=".n")}
    if_else = {"case": case, "elseNode": templates.node("n1", n=2)}
    branch = {"id": "b", "branchNode": {"ifElse": if_else}, "inputs": templates.bindings({"x": ".n"})}
    return templates.workflow([branch], outputs={"o0": "INTEGER"}, results={"o0": "b.o0"}, name=name)


def test_arguments_stay_as_they_are(templates: Any) -> None:
    template = templates.workflow([templates.node("n0", n=".n", upstream=["n1", "n2"]), calls(templates, "n2", "c")])
    template.nodes.add(id="n1").task_node.reference_id.CopyFrom(templates.id("TASK", "note"))
    child = templates.workflow([templates.node("n0", "note")], inputs={}, name="c")
    tasks = [templates.task("double", {"n": "INTEGER"}, {"o0": "INTEGER"}), templates.task("note", {}, {})]
    tasks[1].template.interface.Clear()
    arguments = [template, child, *tasks]
    before = [message.SerializeToString(deterministic=True) for message in arguments]
    closure = compile_workflow(template, [child], tasks, [])
    assert [message.SerializeToString(deterministic=True) for message in arguments] == before
    assert list(closure.primary.template.nodes[2].upstream_node_ids) == ["n1", "n2"]
    # both maps of a task's interface are there, if empty, once a node uses the task
    assert closure.tasks[1].template.interface.HasField("inputs")


def test_ends_and_loose_ends(templates: Any, compiled: Any) -> None:
    nodes = [templates.node("n1", "note"), templates.node("n0", n=".n"), templates.node("n2", n=1, upstream=["n1"])]
    template = templates.workflow(nodes, outputs={"o0": "INTEGER"}, results={"o0": "n0.o0"})
    closure = compiled(template)
    primary = closure.primary
    assert [node.id for node in primary.template.nodes] == ["start-node", "end-node", "n1", "n0", "n2"]
    assert primary.template.nodes[3].inputs[0].binding.promise.node_id == "start-node"
    assert primary.template.nodes[1].inputs == primary.template.outputs
    assert edges(primary) == {
        "upstream": {"end-node": ["n0", "n2"], "n0": ["start-node"], "n1": ["start-node"], "n2": ["n1"]},
        "downstream": {"n0": ["end-node"], "n1": ["n2"], "n2": ["end-node"], "start-node": ["n0", "n1"]},
    }


def test_passed_through_inputs_are_named_in_both_places(templates: Any, compiled: Any) -> None:
    template = templates.workflow([templates.node("n0", "note")], outputs={"o0": "INTEGER"}, results={"o0": ".n"})
    primary = compiled(template).primary
    for bindings in (primary.template.outputs, primary.template.nodes[1].inputs):
        assert bindings[0].binding.promise.node_id == "start-node"
    assert edges(primary)["upstream"]["end-node"] == ["n0", "start-node"]


def test_of_two_nodes_of_one_id_the_first_counts(templates: Any, compiled: Any) -> None:
    template = templates.workflow([templates.node("n0", n=1), templates.node("n0", "note")])
    assert [node.task_node.reference_id.name for node in compiled(template).primary.template.nodes] == [
        "",
        "",
        "double",
    ]
    with pytest.raises(CompilationFailed, match="Node Id: n0, Description: Value required"):
        compiled(templates.workflow([templates.node("n0", n=1), {"id": "n0"}]))


def test_arms_have_edges_and_ids_of_their_own(templates: Any, compiled: Any) -> None:
    closure = compiled(branching(templates))
    if_else = closure.primary.template.nodes[2].branch_node.if_else
    assert (if_else.case.then_node.id, if_else.else_node.id) == ("b-n0", "b-n1")
    assert edges(closure.primary) == {
        "upstream": {"b": ["start-node"], "b-n0": ["start-node"], "end-node": ["b"]},
        "downstream": {"b": ["end-node"], "start-node": ["b"]},
    }


def test_a_failure_node_is_not_part_of_the_order(templates: Any, compiled: Any) -> None:
    template = templates.workflow([templates.node("n0", n=1)])
    json_format.ParseDict(templates.node("fn0", n=".n", upstream=["n0"]), template.failure_node)
    closure = compiled(template)
    assert closure.primary.template.failure_node.inputs[0].binding.promise.node_id == "start-node"
    assert edges(closure.primary)["upstream"]["fn0"] == ["start-node"]
    assert "fn0" not in closure.primary.connections.downstream
    assert [id.name for id in required(template).tasks] == ["double"]


def test_unused_sub_workflows_come_along_as_they_are(templates: Any, compiled: Any) -> None:
    unused = templates.workflow([templates.node("n0")], name="unused")
    closure = compiled(templates.workflow([templates.node("n0", n=1)]), unused)
    assert closure.sub_workflows[0].template == unused
    assert not closure.sub_workflows[0].HasField("connections")


def test_a_sub_workflow_of_two_workflows_is_compiled_in_both(templates: Any, compiled: Any) -> None:
    parent = templates.workflow([calls(templates, "n0", "branching", n=".n")], name="parent")
    nodes = [calls(templates, "n0", "branching", n=".n"), calls(templates, "n1", "parent", n=".n")]
    closure = compiled(templates.workflow(nodes), branching(templates), parent)
    arms = closure.sub_workflows[0].template.nodes[2].branch_node.if_else
    assert arms.case.then_node.id == "b-b-n0"
    assert len(closure.sub_workflows[0].template.nodes) == 3


def test_required(templates: Any) -> None:
    plan = {"id": "n2", "workflowNode": {"launchplanRef": templates.identifier("LAUNCH_PLAN", "plan")}}
    array = {"id": "n3", "arrayNode": {"node": templates.node("n0", "inner")}}
    child = templates.workflow([templates.node("n0", "z"), templates.node("n1", "a")], name="child")
    nodes = [calls(templates, "n0", "child"), calls(templates, "n1", "child"), plan, array]
    template = templates.workflow([*nodes, *json_nodes(branching(templates))])
    found = required(template, [child])
    assert [id.name for id in found.tasks] == ["a", "double", "inner", "z"]
    assert [id.name for id in found.launch_plans] == ["plan"]
    # what is missing is for the compiler to report
    assert [id.name for id in required(template).tasks] == ["double", "inner"]
    with pytest.raises(CompilationFailed, match="DuplicateId"):
        required(template, [child, child])


def json_nodes(template: Any) -> list[dict[str, Any]]:
    nodes: list[dict[str, Any]] = json_format.MessageToDict(template)["nodes"]
    return nodes


def test_launch_plans_as_messages_are_found_whatever_the_resource_type(templates: Any, compiled: Any) -> None:
    plan = launch_plan_pb2.LaunchPlan(id=templates.id("LAUNCH_PLAN", "plan"))
    plan.closure.expected_outputs.variables["o0"].type.simple = 1
    reference = templates.identifier("LAUNCH_PLAN", "plan")
    del reference["resourceType"]
    nodes = [{"id": "n0", "workflowNode": {"launchplanRef": reference}}, templates.node("n1", n="n0.o0")]
    closure = compiled(templates.workflow(nodes), launch_plans=[plan])
    assert edges(closure.primary)["downstream"]["n0"] == ["n1"]


def test_tasks_by_key_and_each_once(templates: Any) -> None:
    task = templates.task("double", {"n": "INTEGER"}, {"o0": "INTEGER"})
    template = templates.workflow([templates.node("n0", n=1)])
    by_key = compile_workflow(template, [], {"one": task, "again": task}, [])
    assert by_key == compile_workflow(template, [], [task], [])
    assert len(by_key.tasks) == 1


def test_dynamic_takes_nothing_and_gives_what_its_task_gives(templates: Any) -> None:
    task = templates.task("double", {"n": "INTEGER"}, {"o0": "INTEGER"}).template
    made = templates.workflow([templates.node("dn0", n=1)], outputs={"o0": "INTEGER"}, results={"o0": "dn0.o0"})
    spec = dynamic_job_pb2.DynamicJobSpec(nodes=made.nodes, outputs=made.outputs, tasks=[task, task])
    id = templates.id("WORKFLOW", "dynamic_n0")
    closure = compile_dynamic(spec, id, made.interface, [])
    assert closure.primary.template.id == id
    assert closure.primary.template.interface == interface_pb2.TypedInterface(
        inputs=interface_pb2.VariableMap(), outputs=made.interface.outputs
    )
    assert len(closure.tasks) == 1

    spec.tasks[0].container.image = ""
    with pytest.raises(CompilationFailed, match="image"):
        compile_dynamic(spec, id, made.interface, [])
    del spec.tasks[:]
    with pytest.raises(CompilationFailed, match="TaskReferenceNotFound"):
        compile_dynamic(spec, id, made.interface, [])


def test_a_chain_longer_than_the_stack(templates: Any, compiled: Any) -> None:
    length = sys.getrecursionlimit() + 1000
    nodes = [templates.node("n0", n=".n")] + [
        templates.node(f"n{place}", n=f"n{place - 1}.o0") for place in range(1, length)
    ]
    connections = compiled(templates.workflow(nodes)).primary.connections
    assert list(connections.upstream[f"n{length - 1}"].ids) == [f"n{length - 2}"]
    assert list(connections.upstream["end-node"].ids) == [f"n{length - 1}"]
