"""The interface of a node: what it takes and gives, by its kind.

Rules: ``flytepropeller/pkg/compiler/validators/{interface,branch}.go``.
"""

from __future__ import annotations

from typing import Any

from flyteidl.core import interface_pb2

from flytelite.compiler import branches
from flytelite.compiler import errors as problem
from flytelite.compiler.bindings import infer_inputs
from flytelite.compiler.errors import CompileErrors
from flytelite.compiler.graph import Graph, GraphNode, Interface, Variables
from flytelite.compiler.library import LaunchPlanInterface
from flytelite.compiler.text import proto_text


def complete_interface(node_id: str, interface: interface_pb2.TypedInterface, errors: CompileErrors) -> Interface:
    """Give the message both of its maps, if empty ones, as FlyteAdmin stores it; its variables must have types."""
    interface.inputs.SetInParent()
    interface.outputs.SetInParent()
    complete = Interface(interface.inputs.variables, interface.outputs.variables)
    _validate_variables(node_id, complete.inputs, errors)
    _validate_variables(node_id, complete.outputs, errors)
    return complete


def _validate_variables(node_id: str, variables: Variables, errors: CompileErrors) -> None:
    for name, variable in variables.items():
        if not name:
            errors.collect(problem.value_required(node_id, "paramName"))
        if not variable.HasField("type"):
            errors.collect(problem.value_required(node_id, "param.Type"))


def determine_interface(graph: Graph, node: GraphNode, errors: CompileErrors) -> Interface | None:
    """The node's interface, which the node keeps; None when there was an error."""
    if node.interface is None:
        errors = errors.scope()
        kind = node.message.WhichOneof("target")
        interface = None
        if kind is None:
            errors.collect(problem.value_required(node.id, "Target"))
        else:
            interface = _BY_KIND[kind](graph, node, errors)
        if interface is not None:
            _validate_variables(node.id, interface.inputs, errors)
            _validate_variables(node.id, interface.outputs, errors)
        node.interface = interface if errors.ok else None
    return node.interface


def _of_task(graph: Graph, node: GraphNode, errors: CompileErrors) -> Interface | None:
    reference = node.message.task_node.reference_id
    task = graph.library.task(reference)
    if not node.message.task_node.HasField("reference_id"):
        errors.collect(problem.value_required(node.id, "TaskNode.ReferenceId"))
    elif task is None:
        errors.collect(problem.task_reference_not_found(node.id, proto_text(reference)))
    elif task.HasField("interface"):
        return complete_interface(node.id, task.interface, errors)
    else:
        return Interface({}, {})
    return None


def _of_workflow(graph: Graph, node: GraphNode, errors: CompileErrors) -> Interface | None:
    workflow_node = node.message.workflow_node
    kind = workflow_node.WhichOneof("reference")
    own = graph.compiled.template
    if kind == "launchplan_ref" and workflow_node.launchplan_ref == own.id:
        return complete_interface(node.id, own.interface, errors)
    if kind == "launchplan_ref":
        launch_plan = graph.library.launch_plan(workflow_node.launchplan_ref)
        if launch_plan is not None:
            return _exposed(launch_plan, node)
    if kind == "sub_workflow_ref":
        sub_workflow = graph.library.sub_workflow(workflow_node.sub_workflow_ref)
        if sub_workflow is not None and sub_workflow.template.HasField("interface"):
            return complete_interface(node.id, sub_workflow.template.interface, errors)
        if sub_workflow is not None:
            errors.collect(problem.value_required(node.id, "WorkflowNode.Template.Interface"))
            return None
    reference = "<nil>/<nil>" if kind is None else proto_text(getattr(workflow_node, kind))
    errors.collect(problem.workflow_reference_not_found(node.id, reference))
    return None


def _exposed(launch_plan: LaunchPlanInterface, node: GraphNode) -> Interface:
    """Required parameters, and those with a default that the node overrides; what is fixed is not expected at all."""
    bound = {binding.var for binding in node.bindings}
    inputs = {
        name: parameter.var
        for name, parameter in launch_plan.expected_inputs.parameters.items()
        if parameter.required or name in bound
    }
    return Interface(inputs, launch_plan.expected_outputs.variables)


def _of_branch(graph: Graph, node: GraphNode, errors: CompileErrors) -> Interface | None:
    missing = branches.missing_part(node)
    if missing is not None:
        errors.collect(problem.value_required(node.id, missing))
        return None
    for case in node.message.branch_node.if_else.other:
        if not case.HasField("then_node"):
            errors.collect(problem.value_required(node.id, "IfElse.Case.ThenNode"))
    known: list[tuple[str, Interface]] = []
    for message in branches.arms(node.message.branch_node):
        arm = graph.node(message)
        # an arm's id becomes unique in the workflow; arms of arms get theirs before them once more
        message.id = f"{node.id}-{arm.id}"
        interface = determine_interface(graph, arm, errors)
        if interface is not None:
            known.append((arm.id, interface))
    outputs = branches.shared_outputs(known, errors)
    # the variables of the conditions; what the arms take is bound at the arms
    inputs = infer_inputs(graph, node, errors)
    return Interface(inputs, outputs) if errors.ok else None


def _of_gate(graph: Graph, node: GraphNode, errors: CompileErrors) -> Interface | None:
    gate = node.message.gate_node
    kind = gate.WhichOneof("condition")
    if kind == "approve":
        inputs = infer_inputs(graph, node, errors)
        return Interface(inputs, inputs)
    if kind == "sleep":
        return Interface({}, {})
    if kind == "signal":
        return _of_signal(node, gate.signal, errors)
    errors.collect(problem.no_condition_found(node.id))
    return None


def _of_signal(node: GraphNode, signal: Any, errors: CompileErrors) -> Interface | None:
    if not signal.HasField("type"):
        errors.collect(problem.value_required(node.id, "GateNode.Signal.Type"))
    elif not signal.output_variable_name:
        errors.collect(problem.value_required(node.id, "GateNode.Signal.OutputVariableName"))
    else:
        return Interface({}, {signal.output_variable_name: interface_pb2.Variable(type=signal.type)})
    return None


def _of_array(graph: Graph, node: GraphNode, errors: CompileErrors) -> Interface | None:
    """That of the node inside: flytekit makes lists of its variables where it must."""
    return determine_interface(graph, graph.node(node.message.array_node.node), errors)


_BY_KIND = {
    "task_node": _of_task,
    "workflow_node": _of_workflow,
    "branch_node": _of_branch,
    "gate_node": _of_gate,
    "array_node": _of_array,
}
