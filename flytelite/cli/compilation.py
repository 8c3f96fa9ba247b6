"""Compiling the user's workflows before anything is registered, so that a refused one leaves no tasks behind."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import Any

import grpc
from flyteidl.admin import common_pb2, launch_plan_pb2, task_pb2, workflow_pb2
from flyteidl.core import compiler_pb2, identifier_pb2
from flyteidl.core import workflow_pb2 as core_workflow_pb2

from flytelite.cli.client import Client, RpcFailure
from flytelite.cli.failure import Failure
from flytelite.cli.serialization import Registrable
from flytelite.cli.source import Source, definition_line
from flytelite.compiler.errors import CompilationFailed, CompileErrors
from flytelite.compiler.library import LaunchPlanInterface, identifier_key
from flytelite.compiler.tasks import compile_task
from flytelite.compiler.workflows import compile_workflow, required


def check(client: Client, source: Source, entities: Sequence[Registrable]) -> None:
    """Compile all tasks and workflows; what they refer to and is not among them is asked of the server.

    Raises Failure naming file, line and reason.
    """
    known = _Known(client, entities)
    for entity in entities:
        try:
            if isinstance(entity.request, task_pb2.TaskCreateRequest):
                compile_task(entity.request.spec.template)
            elif isinstance(entity.request, workflow_pb2.WorkflowCreateRequest):
                _compile(entity.request.spec, known)
        except CompilationFailed as error:
            raise Failure(f"{_place(source, entity.id.name)}{entity.id.name}: {_reasons(error.errors)}") from error
        except RpcFailure as error:
            if error.code != grpc.StatusCode.NOT_FOUND:
                raise
            raise Failure(f"{_place(source, entity.id.name)}{entity.id.name} refers to a {error.sentence}") from error


class _Known:
    """Tasks and launch plans by identifier: those of the user's code, else the server's."""

    def __init__(self, client: Client, entities: Sequence[Registrable]) -> None:
        self._client = client
        self._entities = {identifier_key(entity.id): entity.request for entity in entities}

    def task(self, id: identifier_pb2.Identifier) -> compiler_pb2.CompiledTask:
        request = self._entities.get(identifier_key(id))
        if request is not None:
            return compiler_pb2.CompiledTask(template=request.spec.template)
        found: Any = self._client.call(self._client.admin.GetTask, common_pb2.ObjectGetRequest(id=id))
        return found.closure.compiled_task

    def launch_plan(self, id: identifier_pb2.Identifier) -> LaunchPlanInterface:
        request = self._entities.get(identifier_key(id))
        if isinstance(request, launch_plan_pb2.LaunchPlanCreateRequest):
            outputs = self._workflow(request.spec.workflow_id).interface.outputs
            return LaunchPlanInterface(id, request.spec.default_inputs, outputs)
        found = self._client.call(self._client.admin.GetLaunchPlan, common_pb2.ObjectGetRequest(id=id))
        return LaunchPlanInterface.of(found)

    def _workflow(self, id: identifier_pb2.Identifier) -> core_workflow_pb2.WorkflowTemplate:
        request = self._entities.get(identifier_key(id))
        if request is not None:
            return request.spec.template
        found: Any = self._client.call(self._client.admin.GetWorkflow, common_pb2.ObjectGetRequest(id=id))
        return found.closure.compiled_workflow.primary.template


def _compile(spec: workflow_pb2.WorkflowSpec, known: _Known) -> None:
    needs = required(spec.template, spec.sub_workflows)
    tasks = [known.task(id) for id in needs.tasks]
    launch_plans = [known.launch_plan(id) for id in needs.launch_plans]
    compile_workflow(spec.template, spec.sub_workflows, tasks, launch_plans)


def _place(source: Source, name: str) -> str:
    """``file, line n: `` of an entity that is named after its module and variable; nothing for other names."""
    module_name, _, variable = name.rpartition(".")
    module = sys.modules.get(module_name)
    if module is None or not (module.__file__ or "").startswith(str(source.root)):
        return ""
    return f"{module.__file__}, line {definition_line(module, variable)}: "


def _reasons(errors: CompileErrors) -> str:
    return "; ".join(f"node {error.node_id}: {error.description.rstrip('.')}" for error in errors)
