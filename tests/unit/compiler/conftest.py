"""Small templates for the compiler, written as dicts."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from flyteidl.core import compiler_pb2, identifier_pb2, tasks_pb2, workflow_pb2
from google.protobuf import json_format


def identifier(kind: str, name: str) -> dict[str, str]:
    return {"resourceType": kind, "project": "p", "domain": "d", "name": name, "version": "v"}


def variables(types: dict[str, Any]) -> dict[str, Any]:
    """Names and types; a type is the name of a simple one, or proto3 JSON."""
    as_type = {name: {"simple": type_} if isinstance(type_, str) else type_ for name, type_ in types.items()}
    return {"variables": {name: {"type": type_} for name, type_ in as_type.items()}}


def interface(inputs: dict[str, Any], outputs: dict[str, Any]) -> dict[str, Any]:
    return {"inputs": variables(inputs), "outputs": variables(outputs)}


def bindings(values: dict[str, Any]) -> list[dict[str, Any]]:
    """``n0.o0`` and ``.n`` (a workflow input) are promises, dicts are proto3 JSON, other values integers."""
    return [{"var": name, "binding": binding(value)} for name, value in values.items()]


def binding(value: Any) -> dict[str, Any]:
    if isinstance(value, dict):
        return value
    if isinstance(value, str):
        id, _, variable = value.partition(".")
        return {"promise": {"nodeId": id, "var": variable}}
    return {"scalar": {"primitive": {"integer": value}}}


def node(id: str, task: str = "double", upstream: list[str] | None = None, **inputs: Any) -> dict[str, Any]:
    reference = {"taskNode": {"referenceId": identifier("TASK", task)}}
    return {"id": id, "inputs": bindings(inputs), "upstreamNodeIds": upstream or [], **reference}


def workflow(
    nodes: list[dict[str, Any]],
    inputs: dict[str, Any] | None = None,
    outputs: dict[str, Any] | None = None,
    results: dict[str, Any] | None = None,
    name: str = "w",
) -> workflow_pb2.WorkflowTemplate:
    """``outputs`` are types, ``results`` what is bound to them."""
    document = {
        "id": identifier("WORKFLOW", name),
        "nodes": nodes,
        "interface": interface(inputs if inputs is not None else {"n": "INTEGER"}, outputs or {}),
        "outputs": bindings(results or {}),
    }
    return json_format.ParseDict(document, workflow_pb2.WorkflowTemplate())


def task(name: str, inputs: dict[str, Any], outputs: dict[str, Any]) -> compiler_pb2.CompiledTask:
    document = {
        "id": identifier("TASK", name),
        "type": "python-task",
        "interface": interface(inputs, outputs),
        "container": {"image": "i", "args": ["x"]},
    }
    return compiler_pb2.CompiledTask(template=json_format.ParseDict(document, tasks_pb2.TaskTemplate()))


class Templates:
    identifier = staticmethod(identifier)
    bindings = staticmethod(bindings)
    node = staticmethod(node)
    workflow = staticmethod(workflow)
    task = staticmethod(task)

    @staticmethod
    def id(kind: str, name: str) -> identifier_pb2.Identifier:
        return json_format.ParseDict(identifier(kind, name), identifier_pb2.Identifier())


@pytest.fixture
def templates() -> type[Templates]:
    return Templates


@pytest.fixture
def compiled() -> Callable[..., compiler_pb2.CompiledWorkflowClosure]:
    """Compile against tasks for every purpose; ``double`` takes and gives an integer."""
    from flytelite.compiler.workflows import compile_workflow

    optional = {"unionType": {"variants": [{"simple": "INTEGER"}, {"simple": "NONE"}]}}
    lists = {"unionType": {"variants": [{"collectionType": {"simple": "INTEGER"}}, {"simple": "STRING"}]}}
    either = {"unionType": {"variants": [{"collectionType": {"simple": one}} for one in ("INTEGER", "FLOAT")]}}
    point = {"simple": "STRUCT", "structure": {"dataclassType": {"x": {"simple": "INTEGER"}}}}
    tasks = [
        task("double", {"n": "INTEGER"}, {"o0": "INTEGER"}),
        task("greet", {"name": "STRING"}, {"o0": "STRING"}),
        task("total", {"values": {"collectionType": {"simple": "INTEGER"}}}, {"o0": "INTEGER"}),
        task("by_name", {"values": {"mapValueType": {"simple": "INTEGER"}}}, {"o0": "INTEGER"}),
        task("paint", {"color": {"enumType": {"values": ["red", "green"]}}}, {}),
        task("optional", {"n": optional}, {}),
        task("lists", {"values": lists}, {}),
        task("either", {"values": either}, {}),
        task("point", {}, {"o0": point}),
        task("many", {}, {"o0": {"collectionType": {"simple": "INTEGER"}}}),
        task("note", {}, {}),
        task("untyped", {"n": {}}, {}),
    ]
    tasks[-1].template.interface.inputs.variables["n"].ClearField("type")

    def compile(
        template: workflow_pb2.WorkflowTemplate, *sub_workflows: workflow_pb2.WorkflowTemplate, launch_plans: Any = ()
    ) -> compiler_pb2.CompiledWorkflowClosure:
        return compile_workflow(template, sub_workflows, tasks, launch_plans)

    return compile
