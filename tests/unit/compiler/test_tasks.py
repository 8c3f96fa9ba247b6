from __future__ import annotations

import math
from typing import Any

import pytest
from flyteidl.core import tasks_pb2
from google.protobuf import json_format, struct_pb2

from flytelite.compiler.errors import CompilationFailed
from flytelite.compiler.tasks import compile_task

NAN = struct_pb2.Struct(fields={"containers": struct_pb2.Value(number_value=math.nan)})


def template(**parts: Any) -> tasks_pb2.TaskTemplate:
    return json_format.ParseDict({"id": {"name": "t"}, **parts}, tasks_pb2.TaskTemplate())


def container(**parts: Any) -> tasks_pb2.TaskTemplate:
    variables = {"variables": {"n": {"type": {"simple": "INTEGER"}}}}
    return template(container={"image": "i", "args": ["x"], **parts}, interface={"inputs": variables})


def pod(*containers: Any) -> tasks_pb2.TaskTemplate:
    return template(k8sPod={"podSpec": {"containers": list(containers)}})


def requesting(value: str) -> tasks_pb2.TaskTemplate:
    return container(resources={"requests": [{"name": "CPU", "value": value}]})


def errors(task: tasks_pb2.TaskTemplate) -> list[tuple[str, str, str]]:
    with pytest.raises(CompilationFailed) as failure:
        compile_task(task)
    return [(error.code, error.node_id, error.description) for error in failure.value.errors]


@pytest.mark.parametrize(
    "task",
    [
        template(),
        template(sql={"statement": "select 1"}),
        template(container={"image": "i"}),
        container(),
        container(args=[], command=["x"]),
        pod({"name": "primary"}, {"name": "side-car"}),
        template(k8sPod={"podSpec": {}}),
    ],
)
def test_sound(task: tasks_pb2.TaskTemplate) -> None:
    compiled = compile_task(task)
    assert compiled.template == task
    assert compiled.template is not task


def test_a_container_needs_an_image_and_with_variables_a_command() -> None:
    assert errors(container(image="", args=[])) == [
        ("ValueRequired", "container", "Value required [command]."),
        ("ValueRequired", "container", "Value required [image]."),
    ]


def test_identifier() -> None:
    assert errors(tasks_pb2.TaskTemplate()) == [("ValueRequired", "root", "Value required [Id].")]


@pytest.mark.parametrize("value", ["0", "1", "0.5", "500m", "1Gi", "2k", "1e3", "1E", "-1", "5."])
def test_quantities(value: str) -> None:
    compile_task(requesting(value))


@pytest.mark.parametrize("value", ["", "abc", "1gi", "1K", "1e", "1 ", "1.5.5", "1Gi\n"])
def test_not_quantities(value: str) -> None:
    assert errors(requesting(value)) == [("UnrecognizedValue", "resources.CPU", f"Unrecognized value [{value}].")]


def test_a_quantity_of_a_resource_without_a_name() -> None:
    task = requesting("much")
    task.container.resources.requests[0].name = 77
    (error,) = errors(task)
    assert error[:2] == ("UnrecognizedValue", "resources.77")


@pytest.mark.parametrize(
    ("task", "part"),
    [
        (template(k8sPod={}), "k8s pod spec"),
        (template(k8sPod={"podSpec": {"containers": {}}}), "k8s pod spec"),
        (pod({"name": 1}), "k8s pod spec"),
        (tasks_pb2.TaskTemplate(id={"name": "t"}, k8s_pod={"pod_spec": NAN}), "k8s pod spec"),
        (pod({"name": "Primary"}), "k8s pod spec container name"),
        (pod({}), "k8s pod spec container name"),
        (pod({"name": "a" * 64}), "k8s pod spec container name"),
    ],
)
def test_pods(task: tasks_pb2.TaskTemplate, part: str) -> None:
    assert errors(task) == [("InvalidValue", "root", f"Invalid value [{part}].")]
