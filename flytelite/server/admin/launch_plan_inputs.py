"""What the inputs and the schedule of a launch plan must be, given the interface of its workflow.

Source: flyteadmin/pkg/manager/impl/validation/{launch_plan_validator,validation}.go.
"""

from __future__ import annotations

from typing import Any

from flyteidl.admin import schedule_pb2
from flyteidl.core import interface_pb2, literals_pb2, types_pb2

from flytelite.compiler.types import castable, literal_type
from flytelite.errors import InvalidArgument
from flytelite.server.admin import cron
from flytelite.server.admin.identifiers import text
from flytelite.server.admin.validation import datetime


def check_parameters(map: interface_pb2.ParameterMap, field: str) -> None:
    """Every parameter has a name, a type, and a default of that type or the mark that it is required.

    Raises InvalidArgument naming ``field`` and the parameter.
    """
    for name, parameter in map.parameters.items():
        if parameter.WhichOneof("behavior") == "artifact_query":
            raise InvalidArgument(f"artifact mode not enabled but query found {field} {name}")
    for name, parameter in map.parameters.items():
        if not name:
            raise InvalidArgument(f"missing key in {field}")
        if not parameter.HasField("var") or not parameter.var.HasField("type"):
            raise InvalidArgument(
                f"The Variable component of the Parameter {name} in {field} is missing, or has no Type"
            )
        if parameter.HasField("default"):
            _check_default(name, parameter, field)
        elif not parameter.required:
            raise InvalidArgument(
                f"Invalid variable {name} in {field} - variable has neither default, nor is required. "
                "One must be specified"
            )


def _check_default(name: str, parameter: interface_pb2.Parameter, field: str) -> None:
    given = _known_type(name, parameter.default)
    if not castable(given, parameter.var.type):
        raise InvalidArgument(
            f"Type mismatch for Parameter {name} in {field} has type {text(parameter.var.type)}, expected {text(given)}"
        )
    datetime(parameter.default)


def expected_inputs(
    variables: interface_pb2.VariableMap, fixed: literals_pb2.LiteralMap, defaults: interface_pb2.ParameterMap
) -> interface_pb2.ParameterMap:
    """What an execution may be given: the defaults, and as required what is neither defaulted nor fixed.

    Raises InvalidArgument for inputs that the workflow does not have, or has with another type.
    """
    if not variables.variables:
        _expect_none("default", len(defaults.parameters))
        _expect_none("fixed", len(fixed.literals))
    for name, parameter in defaults.parameters.items():
        _check_input("default_input", name, parameter.var.type, variables)
    for name, literal in fixed.literals.items():
        if name not in variables.variables:
            raise InvalidArgument(f"unexpected fixed_input {name}")
        _check_input("fixed_input", name, _known_type(name, literal), variables)
    expected = interface_pb2.ParameterMap()
    for name, variable in variables.variables.items():
        if name in defaults.parameters:
            expected.parameters[name].CopyFrom(defaults.parameters[name])
        elif name not in fixed.literals:
            open = interface_pb2.Variable(type=variable.type, description=variable.description)
            expected.parameters[name].CopyFrom(interface_pb2.Parameter(var=open, required=True))
    return expected


def _expect_none(kind: str, number: int) -> None:
    if number:
        raise InvalidArgument(f"invalid launch plan {kind} inputs, expected none but found {number}")


def _check_input(kind: str, name: str, given: Any, variables: interface_pb2.VariableMap) -> None:
    if name not in variables.variables:
        raise InvalidArgument(f"unexpected {kind} {name}")
    expected = variables.variables[name].type
    if not castable(given, expected):
        # of a parameter FlyteAdmin says it the other way round
        one, other = (given, expected) if kind == "default_input" else (expected, given)
        raise InvalidArgument(f"invalid {kind} wrong type {name}, expected {text(one)}, got {text(other)} instead")


def _known_type(name: str, literal: literals_pb2.Literal) -> Any:
    type = literal_type(literal)
    if type is None:
        raise InvalidArgument(f"Failed to validate literal type for [{name}] with err: got unknown literal type")
    return type


def check_schedule(schedule: schedule_pb2.Schedule, expected: interface_pb2.ParameterMap) -> None:
    """A scheduled launch plan can run without anyone giving inputs, and its cron expression can be read.

    Raises InvalidArgument.
    """
    if not (schedule.cron_expression or schedule.HasField("rate") or schedule.HasField("cron_schedule")):
        return
    kickoff = schedule.kickoff_time_input_arg
    for name, parameter in expected.parameters.items():
        if parameter.required and name != kickoff:
            raise InvalidArgument(
                "Cannot create a launch plan with a schedule if there is an unbound required input. "
                f"[{name}] is required"
            )
    if kickoff:
        _check_kickoff(kickoff, expected)
    expression = schedule.cron_expression or schedule.cron_schedule.schedule
    if expression:
        try:
            cron.parse(expression)
        except ValueError as error:
            raise InvalidArgument(f"Invalid cron expression: {error}") from error


def _check_kickoff(name: str, expected: interface_pb2.ParameterMap) -> None:
    if name not in expected.parameters:
        raise InvalidArgument(
            "Cannot create a schedule with a KickoffTimeInputArg that does not point to a free input. "
            f"[{name}] is not free or does not exist"
        )
    type = expected.parameters[name].var.type
    if type.simple != types_pb2.DATETIME:
        raise InvalidArgument(f"KickoffTimeInputArg must reference a datetime input. [{name}] is a [{text(type)}]")


def schedule_type(schedule: schedule_pb2.Schedule) -> str:
    """The column that launch plans with a schedule are found by: NONE, CRON or RATE."""
    if schedule.cron_expression or schedule.HasField("cron_schedule"):
        return "CRON"
    return "RATE" if schedule.HasField("rate") else "NONE"


def has_schedule(schedule: schedule_pb2.Schedule) -> bool:
    """Whether there is anything to fire (flyteadmin/pkg/manager/impl/launch_plan_manager.go, isScheduleEmpty)."""
    return bool(schedule.cron_schedule.schedule or schedule.cron_expression or schedule.rate.value)
