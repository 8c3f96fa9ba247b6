"""The merge of given, default and fixed inputs."""

from __future__ import annotations

import pytest
from flyteidl.core import interface_pb2, literals_pb2, types_pb2

from flytelite.errors import InvalidArgument
from flytelite.server.admin.execution_inputs import merge_inputs

NOTHING = literals_pb2.LiteralMap()


@pytest.fixture
def expected(admin) -> interface_pb2.ParameterMap:
    parameters = interface_pb2.ParameterMap()
    parameters.parameters["x"].required = True
    parameters.parameters["x"].var.type.simple = types_pb2.INTEGER
    parameters.parameters["name"].var.type.simple = types_pb2.STRING
    parameters.parameters["name"].default.CopyFrom(admin.literal("nobody"))
    return parameters


def test_defaults_and_fixed_inputs_complete_what_is_given(admin, expected):
    merged = merge_inputs(admin.literal_map(x=1), admin.literal_map(seed=9), expected)
    assert merged == admin.literal_map(x=1, name="nobody", seed=9)
    merged = merge_inputs(admin.literal_map(x=1, name="ada"), NOTHING, expected)
    assert merged == admin.literal_map(x=1, name="ada")


@pytest.mark.parametrize(
    ("given", "fixed", "message"),
    [
        ({"x": 1, "y": 2}, {}, "invalid input y"),
        ({"x": 1, "seed": 2}, {"seed": 9}, "invalid input seed"),
        ({}, {}, "expected_inputs x missing"),
        ({"x": "one"}, {}, "invalid x input wrong type. Expected simple:INTEGER, but got simple:STRING"),
        ({"x": 1}, {"x": 9}, "fixed_inputs x cannot be overridden"),
    ],
)
def test_what_does_not_fit_is_refused(admin, expected, given, fixed, message):
    with pytest.raises(InvalidArgument) as refused:
        merge_inputs(admin.literal_map(**given), admin.literal_map(**fixed), expected)
    assert refused.value.message == message


def test_a_literal_of_no_type_is_refused(admin, expected):
    given = literals_pb2.LiteralMap()
    given.literals["x"].collection.literals.add()
    with pytest.raises(InvalidArgument, match=r"Failed to validate literal type for \[x\] with err: got unknown"):
        merge_inputs(given, NOTHING, expected)
