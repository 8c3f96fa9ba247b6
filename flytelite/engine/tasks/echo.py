"""Echo tasks: the engine itself gives the input back as the output.

Rules: ``flyteplugins/go/tasks/plugins/testing/echo.go``.
"""

from __future__ import annotations

from flyteidl.core import literals_pb2, tasks_pb2

from flytelite.engine.failures import USER, execution_error
from flytelite.engine.tasks.results import Failed, Succeeded

TYPE = "echo"


def echo(template: tasks_pb2.TaskTemplate, inputs: literals_pb2.LiteralMap) -> Succeeded | Failed:
    """The result of an echo task, which has at most one input and as many outputs."""
    names, outputs = list(template.interface.inputs.variables), list(template.interface.outputs.variables)
    if len(names) != len(outputs):
        return _failed(f"the number of input [{len(names)}] and output [{len(outputs)}] variables does not match")
    if len(names) > 1:
        return _failed("this plugin does not currently support more than one input variable")
    result = literals_pb2.LiteralMap()
    for name, output in zip(names, outputs, strict=True):
        result.literals[output].CopyFrom(inputs.literals[name])
    return Succeeded(result)


def _failed(message: str) -> Failed:
    return Failed(execution_error(USER, "BadTaskFormat", message), retryable=False)
