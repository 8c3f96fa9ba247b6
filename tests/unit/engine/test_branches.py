from __future__ import annotations

import pytest
from flyteidl.core import condition_pb2, literals_pb2, types_pb2, workflow_pb2
from google.protobuf import duration_pb2

from flytelite.engine.failures import NodeFailed
from flytelite.engine.nodes.branch import compare, decide, evaluate

Comparison = condition_pb2.ComparisonExpression
Conjunction = condition_pb2.ConjunctionExpression


def primitive(value) -> literals_pb2.Primitive:
    kinds = {
        bool: "boolean",
        int: "integer",
        float: "float_value",
        str: "string_value",
        duration_pb2.Duration: "duration",
    }
    return literals_pb2.Primitive(**{kinds[type(value)]: value})


def comparison(left, operator, right) -> condition_pb2.BooleanExpression:
    def operand(value):
        if isinstance(value, str) and value.startswith("$"):
            return condition_pb2.Operand(var=value[1:])
        return condition_pb2.Operand(primitive=primitive(value))

    return condition_pb2.BooleanExpression(
        comparison=Comparison(operator=operator, left_value=operand(left), right_value=operand(right))
    )


def both(operator, left, right) -> condition_pb2.BooleanExpression:
    conjunction = Conjunction(operator=operator, left_expression=left, right_expression=right)
    return condition_pb2.BooleanExpression(conjunction=conjunction)


@pytest.mark.parametrize(
    ("left", "operator", "right", "expected"),
    [
        (1, Comparison.GT, 0, True),
        (1, Comparison.GTE, 1, True),
        (1, Comparison.LT, 1, False),
        (1, Comparison.LTE, 1, True),
        (1.5, Comparison.NEQ, 1.5, False),
        ("b", Comparison.GT, "a", True),
        (True, Comparison.EQ, True, True),
        (float("nan"), Comparison.LT, 1.0, True),
        (float("nan"), Comparison.GT, 1.0, False),
    ],
)
def test_comparisons(left, operator, right, expected):
    assert compare(primitive(left), primitive(right), operator) is expected


def test_durations_compare_whole_seconds():
    a, b = duration_pb2.Duration(seconds=1, nanos=5), duration_pb2.Duration(seconds=1, nanos=9)
    assert compare(primitive(a), primitive(b), Comparison.EQ)


@pytest.mark.parametrize(
    ("left", "operator", "right", "message"),
    [
        (1, Comparison.EQ, 1.0, "Comparison between different primitives types"),
        (True, Comparison.GT, False, r"\[GT\] not defined for boolean operands"),
    ],
)
def test_malformed_comparisons(left, operator, right, message):
    with pytest.raises(NodeFailed, match=message) as caught:
        compare(primitive(left), primitive(right), operator)
    assert caught.value.error.code == "MalformedBranchUserError"


def test_variables_and_both_sides():
    inputs = literals_pb2.LiteralMap()
    inputs.literals[".x"].scalar.primitive.integer = 3
    inputs.literals["u"].scalar.union.value.scalar.primitive.integer = 3
    inputs.literals["u"].scalar.union.type.simple = types_pb2.INTEGER
    assert evaluate(comparison("$.x", Comparison.EQ, 3), inputs)
    true, false = comparison(1, Comparison.EQ, 1), comparison(1, Comparison.EQ, 2)
    assert evaluate(both(Conjunction.OR, false, true), inputs)
    assert not evaluate(both(Conjunction.AND, true, false), inputs)
    with pytest.raises(NodeFailed, match=r"Failed to find Value for Variable \[y\]"):
        evaluate(both(Conjunction.OR, true, comparison("$y", Comparison.EQ, 3)), inputs)
    with pytest.raises(NodeFailed, match="Only primitives can be compared"):
        evaluate(comparison("$u", Comparison.EQ, 3), inputs)


def test_no_arm_at_all():
    arm = workflow_pb2.IfBlock(condition=comparison(1, Comparison.EQ, 2), then_node=workflow_pb2.Node(id="n0-n0"))
    with pytest.raises(NodeFailed, match="No branch satisfied"):
        decide(workflow_pb2.IfElseBlock(case=arm), literals_pb2.LiteralMap())
    other = workflow_pb2.IfBlock(condition=comparison(1, Comparison.EQ, 1), then_node=workflow_pb2.Node(id="n0-n1"))
    assert decide(workflow_pb2.IfElseBlock(case=arm, other=[other]), literals_pb2.LiteralMap()).id == "n0-n1"
