"""Branch nodes: their arms, the conditions that choose one, and the outputs that all arms share.

Rules: ``flytepropeller/pkg/compiler/validators/{branch,condition,node}.go``.
"""

from __future__ import annotations

from typing import Any

from flyteidl.core import interface_pb2, workflow_pb2

from flytelite.compiler import errors as problem
from flytelite.compiler.errors import CompileErrors
from flytelite.compiler.graph import GraphNode, Interface, Variables
from flytelite.compiler.types import primitive_type, type_text


def arms(branch: workflow_pb2.BranchNode) -> list[workflow_pb2.Node]:
    """The nodes of which one will run: of the first case, of the others in their order, of the else."""
    if_else = branch.if_else
    cases = ([if_else.case] if if_else.HasField("case") else []) + list(if_else.other)
    found = [case.then_node for case in cases if case.HasField("then_node")]
    return [*found, if_else.else_node] if if_else.HasField("else_node") else found


def missing_part(node: GraphNode) -> str | None:
    """The name of what a branch node lacks to have an interface at all."""
    if_else = node.message.branch_node.if_else
    if not node.message.branch_node.HasField("if_else"):
        return "Branch.IfElse"
    if not if_else.HasField("case"):
        return "Branch.IfElse.Case"
    return None if if_else.case.HasField("then_node") else "Branch.IfElse.Case.ThenNode"


def shared_outputs(arms: list[tuple[str, Interface]], errors: CompileErrors) -> dict[str, interface_pb2.Variable]:
    """The outputs that all arms (id, interface) have in common; one of two types is an error."""
    if not arms:
        return {}
    outputs = arms[0][1].outputs
    shared = set(outputs)
    for id, interface in arms[1:]:
        shared &= set(interface.outputs)
        for name in shared:
            one, other = outputs[name].type, interface.outputs[name].type
            if one != other:
                errors.collect(problem.mismatching_types(id, name, type_text(one), type_text(other)))
    return {name: outputs[name] for name in shared}


def validate_cases(node: GraphNode, errors: CompileErrors) -> None:
    """Every case has a condition that makes sense and a node, and when none applies there is a node or an error."""
    if_else = node.message.branch_node.if_else
    if not if_else.HasField("case"):
        errors.collect(problem.branch_node_has_no_condition(node.id))
    for case in ([if_else.case] if if_else.HasField("case") else []) + list(if_else.other):
        _validate_condition(node, case.condition if case.HasField("condition") else None, errors)
        if not case.HasField("then_node"):
            errors.collect(problem.branch_node_not_specified(node.id))
    if if_else.WhichOneof("default") is None:
        errors.collect(problem.branch_node_has_no_default(node.id))


def _validate_condition(node: GraphNode, condition: Any, errors: CompileErrors) -> None:
    kind = None if condition is None else condition.WhichOneof("expr")
    if condition is None:
        errors.collect(problem.branch_node_has_no_condition(node.id))
    elif kind == "comparison":
        comparison = condition.comparison
        right = _operand_type(node, "RightValue", comparison, errors)
        left = _operand_type(node, "LeftValue", comparison, errors)
        if right is not None and left is not None and right != left:
            error = problem.mismatching_types(node.id, "RightValue", type_text(right), type_text(left))
            errors.collect(error)
    elif kind == "conjunction":
        conjunction = condition.conjunction
        for side in ("left_expression", "right_expression"):
            expression = getattr(conjunction, side) if conjunction.HasField(side) else None
            _validate_condition(node, expression, errors)
    else:
        errors.collect(problem.value_required(node.id, "Expr"))


def _operand_type(node: GraphNode, name: str, comparison: Any, errors: CompileErrors) -> Any:
    field = {"RightValue": "right_value", "LeftValue": "left_value"}[name]
    operand = getattr(comparison, field)
    if not comparison.HasField(field):
        errors.collect(problem.value_required(node.id, name))
    elif operand.HasField("primitive"):
        return primitive_type(operand.primitive)
    elif not operand.var:
        errors.collect(problem.value_required(node.id, f"{name}.Val"))
    elif node.interface is None:
        errors.collect(problem.value_required(node.id, operand.var))
    else:
        return _input_type(node, operand.var, node.interface.inputs, errors)
    return None


def _input_type(node: GraphNode, name: str, inputs: Variables, errors: CompileErrors) -> Any:
    if name in inputs:
        return inputs[name].type
    if not any(binding.var == name for binding in node.bindings):
        errors.collect(problem.variable_name_not_found(node.id, name))
    return None
