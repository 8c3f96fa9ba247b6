"""Map tasks of old flytekits: a task that is an array by itself. It runs like an array node over that task.

Rules: ``flyteplugins/go/tasks/plugins/array``.
"""

from __future__ import annotations

from flyteidl.core import tasks_pb2, workflow_pb2
from google.protobuf import json_format

from flytelite.engine.nodes import array
from flytelite.engine.nodes.node import Finished, NodeRun

BOUND = "vars"
"""What precedes the names of inputs that all elements get whole, among the arguments of the task's resolver."""


async def run(node: NodeRun, template: tasks_pb2.TaskTemplate) -> Finished:
    """Run all elements. Raises NodeFailed as soon as too few of them can succeed."""
    node.array = as_array(node.node, template)
    return await array.run(node)


def as_array(node: workflow_pb2.Node, template: tasks_pb2.TaskTemplate) -> workflow_pb2.ArrayNode:
    """The array node that does what the task says of itself (flyteidl.plugins.ArrayJob)."""
    custom = json_format.MessageToDict(template.custom)
    found = workflow_pb2.ArrayNode(node=node, bound_inputs=_bound(template))
    found.parallelism = int(custom.get("parallelism", 0))
    if "minSuccesses" in custom:
        found.min_successes = int(custom["minSuccesses"])
    else:
        found.min_success_ratio = float(custom.get("minSuccessRatio", 1.0))
    return found


def _bound(template: tasks_pb2.TaskTemplate) -> list[str]:
    arguments = list(template.container.args)
    if BOUND not in arguments[:-1]:
        return []
    return [name for name in arguments[arguments.index(BOUND) + 1].split(",") if name]
