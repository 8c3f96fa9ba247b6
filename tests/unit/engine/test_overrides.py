"""What a node says of the image and the pod of its task."""

from __future__ import annotations

import pytest
from flyteidl.core import execution_pb2, literals_pb2, tasks_pb2, workflow_pb2
from google.protobuf import json_format

from flytelite.engine.tasks.node_overrides import as_overridden
from flytelite.engine.tasks.pods import container_of
from flytelite.engine.tasks.refusals import BadTaskFormat

SUCCEEDED = execution_pb2.WorkflowExecution.SUCCEEDED
FAILED = execution_pb2.WorkflowExecution.FAILED

SOURCE = """
import os
from flytekit import map_task, task, workflow

@task(environment={"COLOUR": "red"})
def colour(n: int) -> str:
    return f"{n} {os.environ.get('COLOUR')}"

@workflow
def wf() -> tuple[str, list[str]]:
    return colour(n=7), map_task(colour)(n=[0, 1])
"""


def pod(container: tasks_pb2.Container, **variables: str) -> tasks_pb2.K8sPod:
    """What flytekit makes of ``with_overrides(pod_template=)``: the task's container with something of its own."""
    found = {
        "name": "chosen",
        "image": container.image,
        "args": list(container.args),
        "env": [{"name": name, "value": value} for name, value in variables.items()],
    }
    made = tasks_pb2.K8sPod(primary_container_name="chosen")
    json_format.ParseDict({"containers": [{"name": "other"}, found]}, made.pod_spec)
    return made


def test_a_node_gives_its_task_another_pod(bench):
    closure = bench.build(SOURCE)
    template = next(one.template for one in closure.tasks if one.template.id.name == "flow.colour")
    for node in closure.primary.template.nodes:
        if node.WhichOneof("target") == "task_node":
            node.task_node.overrides.pod_template.CopyFrom(pod(template.container, COLOUR="blue"))
        if node.WhichOneof("target") == "array_node":
            mapped = next(one.template for one in closure.tasks if one.template.id.name != "flow.colour")
            inner = node.array_node.node.task_node
            inner.overrides.pod_template.CopyFrom(pod(mapped.container, COLOUR="green"))
    id = bench.ledger.create("exec", closure, literals_pb2.LiteralMap())
    ended = bench.go(id)
    assert ended.phase == SUCCEEDED, ended.error
    outputs = bench.ledger.execution_outputs(id).literals
    assert outputs["o0"].scalar.primitive.string_value == "7 blue"
    elements = [one.scalar.primitive.string_value for one in outputs["o1"].collection.literals]
    assert elements == ["0 green", "1 green"]


def test_an_image_replaces_that_of_the_primary_container():
    own = tasks_pb2.TaskTemplate(container=tasks_pb2.Container(image="own", args=["run"]))
    image = workflow_pb2.TaskNodeOverrides(container_image="other")
    assert container_of(as_overridden(own, image)).image == "other"
    assert container_of(as_overridden(own, image)).args == ["run"]
    both = workflow_pb2.TaskNodeOverrides(container_image="other", pod_template=pod(own.container))
    changed = as_overridden(own, both)
    assert container_of(changed).image == "other"
    assert changed.k8s_pod.pod_spec["containers"][0] == {"name": "other"}
    assert own.container.image == "own"


def test_a_raw_container_stays_one_in_another_pod():
    own = tasks_pb2.TaskTemplate(container=tasks_pb2.Container(image="own"))
    own.container.data_config.enabled = True
    changed = as_overridden(own, workflow_pb2.TaskNodeOverrides(pod_template=pod(own.container)))
    assert container_of(changed).data_config.enabled


def test_a_node_that_says_nothing_changes_nothing():
    own = tasks_pb2.TaskTemplate(container=tasks_pb2.Container(image="own"))
    assert as_overridden(own, workflow_pb2.TaskNodeOverrides(resources=tasks_pb2.Resources())) is own
    without = tasks_pb2.TaskTemplate(type="snowflake")
    assert as_overridden(without, workflow_pb2.TaskNodeOverrides(container_image="other")) is without


ASKING = """
from flytekit import Resources, conditional, dynamic, map_task, task, workflow

@task
def one(n: int) -> int:
    return n

@task
def clean():
    pass

BAD = Resources(cpu="500mm")

@workflow
def plain() -> int:
    return one(n=1).with_overrides(requests=BAD)

@workflow
def limit() -> int:
    return one(n=1).with_overrides(requests=Resources(cpu="1"), limits=Resources(mem="2 Gi"))

@workflow
def mapped() -> list[int]:
    return map_task(one)(n=[1]).with_overrides(requests=BAD)

@workflow
def inner() -> int:
    return one(n=1)

@workflow
def outer() -> int:
    first = one(n=1)
    return plain()

@workflow
def branched(n: int = 1) -> int:
    small = one(n=1)
    return conditional("which").if_(small == 1).then(one(n=2)).else_().then(one(n=3).with_overrides(requests=BAD))

@workflow(on_failure=clean)
def handled() -> int:
    return one(n=1).with_overrides(requests=BAD)

@dynamic
def making(n: int) -> int:
    return one(n=n).with_overrides(requests=BAD)

@workflow
def made() -> int:
    return making(n=1)
"""


@pytest.mark.parametrize(
    ("name", "node", "field"),
    [
        ("plain", "n0", "resources.requests.CPU [500mm]"),
        ("limit", "n0", "resources.limits.MEMORY [2 Gi]"),
        ("mapped", "", "resources.requests.CPU [500mm]"),
        ("outer", "n0", "resources.requests.CPU [500mm]"),
        ("branched", "n1-n1", "resources.requests.CPU [500mm]"),
        ("handled", "n0", "resources.requests.CPU [500mm]"),
    ],
)
def test_what_is_no_quantity_is_refused_by_name(bench, name, node, field):
    ended = bench.run(ASKING, name)
    assert ended.phase == FAILED
    assert (ended.error.code, ended.error.kind) == ("Unknown", execution_pb2.ExecutionError.SYSTEM)
    assert "Code: WorkflowBuildError" in ended.error.message
    assert f"Node Id: {node}" in ended.error.message
    assert field in ended.error.message
    assert bench.ledger.lines() == ["WE FAILED"]


def test_what_a_dynamic_task_asks_for_is_refused_by_name(bench):
    ended = bench.run(ASKING, "made")
    assert ended.phase == FAILED
    assert ended.error.code == "DynamicWorkflowBuildFailed"
    assert "Node Id: dn0" in ended.error.message
    assert "resources.requests.CPU [500mm]" in ended.error.message


def test_what_a_pod_asks_for_is_refused_by_name():
    own = tasks_pb2.TaskTemplate(container=tasks_pb2.Container(image="own", args=["run"]))
    chosen = pod(own.container)
    chosen.pod_spec["containers"][1]["resources"] = {"requests": {"cpu": 1.5}, "limits": {"memory": "1GiB"}}
    changed = as_overridden(own, workflow_pb2.TaskNodeOverrides(pod_template=chosen))
    with pytest.raises(BadTaskFormat, match=r"resources.limits.memory \[1GiB\] of the pod"):
        container_of(changed)
