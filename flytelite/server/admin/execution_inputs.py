"""The inputs of an execution: what was given, checked against what is expected, completed with what is not given.

Source: flyteadmin/pkg/manager/impl/validation/execution_validator.go (CheckAndFetchInputsForExecution).
"""

from __future__ import annotations

from flyteidl.core import interface_pb2, literals_pb2

from flytelite.compiler.types import castable, literal_type
from flytelite.errors import InvalidArgument
from flytelite.server.admin.identifiers import text


def merge_inputs(
    given: literals_pb2.LiteralMap, fixed: literals_pb2.LiteralMap, expected: interface_pb2.ParameterMap
) -> literals_pb2.LiteralMap:
    """The LiteralMap to run with.

    Raises InvalidArgument for an input that is not expected, one that is missing, one of the wrong type, and a fixed
    input that is expected nevertheless.
    """
    for name in given.literals:
        if name not in expected.parameters:
            raise InvalidArgument(f"invalid input {name}")
    merged = literals_pb2.LiteralMap()
    for name, parameter in expected.parameters.items():
        if name in given.literals:
            check_type(name, given.literals[name], parameter)
            merged.literals[name].CopyFrom(given.literals[name])
        elif parameter.required:
            raise InvalidArgument(f"expected_inputs {name} missing")
        else:
            merged.literals[name].CopyFrom(parameter.default)
    for name, literal in fixed.literals.items():
        if name in merged.literals:
            raise InvalidArgument(f"fixed_inputs {name} cannot be overridden")
        merged.literals[name].CopyFrom(literal)
    return merged


def check_type(name: str, literal: literals_pb2.Literal, parameter: interface_pb2.Parameter) -> None:
    """Raise InvalidArgument unless the literal can be used where the Parameter is expected."""
    given = literal_type(literal)
    if given is None:
        raise InvalidArgument(f"Failed to validate literal type for [{name}] with err: got unknown literal type")
    if not castable(given, parameter.var.type):
        raise InvalidArgument(
            f"invalid {name} input wrong type. Expected {text(parameter.var.type)}, but got {text(given)}"
        )
