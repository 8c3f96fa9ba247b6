"""A branch: the first arm whose condition holds runs, the others never come to be.

Rules: ``flytepropeller/pkg/controller/nodes/branch/``.
"""

from __future__ import annotations

from flyteidl.core import condition_pb2, literals_pb2, workflow_pb2

from flytelite.engine.events import NodePhase
from flytelite.engine.failures import USER, NodeFailed, NodeTimedOut, failed
from flytelite.engine.nodes.node import Finished, NodeRun, whole_inputs

MALFORMED = "MalformedBranchUserError"
USER_PROVIDED = "UserProvidedError"

_Comparison = condition_pb2.ComparisonExpression


async def run(node: NodeRun) -> Finished:
    """Run the chosen arm. Raises NodeFailed when there is none, with the arm's error when that failed."""
    from flytelite.engine.nodes.lifecycle import run_node

    arm = decide(node.node.branch_node.if_else, await whole_inputs(node))
    try:
        result = await run_node(node.level, arm, inside=node, on_queued=lambda: node.advance(NodePhase.RUNNING))
    except NodeTimedOut as late:
        raise failed(USER, "Timeout", "Timeout in node") from late
    except NodeFailed as failure:
        raise NodeFailed(failure.error) from failure
    if result.outputs is not None:
        await node.write(node.outputs_file, result.outputs)
    return Finished(result.outputs, node.outputs_file)


def decide(block: workflow_pb2.IfElseBlock, inputs: literals_pb2.LiteralMap) -> workflow_pb2.Node:
    """The node of the arm to take. Raises NodeFailed."""
    for arm in (block.case, *block.other):
        if evaluate(arm.condition, inputs):
            return arm.then_node
    default = block.WhichOneof("default")
    if default == "else_node":
        return block.else_node
    if default == "error":
        raise failed(USER, USER_PROVIDED, f"[{USER_PROVIDED}] {block.error.message}")
    raise _malformed("No branch satisfied")


def evaluate(expression: condition_pb2.BooleanExpression, inputs: literals_pb2.LiteralMap) -> bool:
    """Whether the condition holds; both sides of AND and OR are looked at. Raises NodeFailed."""
    kind = expression.WhichOneof("expr")
    if kind == "comparison":
        comparison = expression.comparison
        left = _operand(comparison.left_value, inputs, "LHS")
        right = _operand(comparison.right_value, inputs, "RHS")
        return compare(left, right, comparison.operator)
    if kind == "conjunction":
        conjunction = expression.conjunction
        first = evaluate(conjunction.left_expression, inputs)
        second = evaluate(conjunction.right_expression, inputs)
        either = conjunction.operator == condition_pb2.ConjunctionExpression.OR
        return (first or second) if either else (first and second)
    raise _malformed("No Comparison or Conjunction found in Branch node expression.")


def _operand(operand: condition_pb2.Operand, inputs: literals_pb2.LiteralMap, side: str) -> literals_pb2.Primitive:
    if operand.HasField("primitive"):
        return operand.primitive
    if operand.var not in inputs.literals:
        raise _malformed(f"Failed to find Value for Variable [{operand.var}]")
    literal = inputs.literals[operand.var]
    if not literal.scalar.HasField("primitive"):
        raise _malformed(f"Only primitives can be compared. {side} Variable is non primitive.")
    return literal.scalar.primitive


def compare(left: literals_pb2.Primitive, right: literals_pb2.Primitive, operator: int) -> bool:
    """Compare two primitives of one kind; times and durations by whole seconds. Raises NodeFailed."""
    kind = left.WhichOneof("value")
    other = right.WhichOneof("value")
    if kind != other or kind is None:
        raise _malformed(f"Comparison between different primitives types. lVal[{kind}]:rVal[{other}]")
    first, second = getattr(left, kind), getattr(right, kind)
    if kind in ("datetime", "duration"):
        first, second = first.seconds, second.seconds
    if operator == _Comparison.EQ:
        return bool(first == second)
    if operator == _Comparison.NEQ:
        return bool(first != second)
    if kind == "boolean":
        raise _malformed(f"[{_Comparison.Operator.Name(operator)}] not defined for boolean operands.")
    greater, equal = bool(first > second), bool(first == second)
    if operator == _Comparison.GT:
        return greater
    if operator == _Comparison.GTE:
        return greater or equal
    # So that comparisons with NaN come out as FlytePropeller's.
    return not (greater or equal) if operator == _Comparison.LT else not greater


def _malformed(message: str) -> NodeFailed:
    return failed(USER, MALFORMED, f"[{MALFORMED}] {message}")
