"""A workflow of two tasks that copy a number and need no Python: what the servers run that are treated badly."""

from __future__ import annotations

from typing import Any

from flyteidl.admin import common_pb2, execution_pb2, launch_plan_pb2, task_pb2, workflow_pb2
from flyteidl.core import identifier_pb2, tasks_pb2, types_pb2
from flyteidl.core import workflow_pb2 as core_workflow
from flyteidl.service.admin_pb2_grpc import AdminServiceStub

SCOPE = {"project": "flytesnacks", "domain": "development"}
EXECUTIONS = common_pb2.NamedEntityIdentifier(**SCOPE)
COPY = common_pb2.NamedEntityIdentifier(**SCOPE, name="copy")
EVERYTHING = 10_000
COPY_OR_FAIL = 'if od -An -tx1 "$0" | grep -q ff; then exit 7; fi; cp "$0" "$1/outputs.pb"'


def identifier(kind: int, version: str) -> identifier_pb2.Identifier:
    return identifier_pb2.Identifier(resource_type=kind, name="copy", version=version, **SCOPE)


def interface() -> Any:
    number = types_pb2.LiteralType(simple=types_pb2.INTEGER)
    made = tasks_pb2.TaskTemplate().interface
    made.inputs.variables["x"].type.CopyFrom(number)
    made.outputs.variables["x"].type.CopyFrom(number)
    return made


def task_request(version: str, script: str = COPY_OR_FAIL) -> task_pb2.TaskCreateRequest:
    """A task whose outputs are its inputs; it fails for inputs that hold a 255 in their bytes, as -1 does."""
    template = tasks_pb2.TaskTemplate(id=identifier(identifier_pb2.TASK, version), type="raw", interface=interface())
    template.metadata.retries.retries = 0
    template.container.image = "none"
    template.container.command.extend(["sh", "-c", script, "{{.input}}", "{{.outputPrefix}}"])
    return task_pb2.TaskCreateRequest(id=template.id, spec=task_pb2.TaskSpec(template=template))


def workflow_request(version: str, nodes: int = 2) -> workflow_pb2.WorkflowCreateRequest:
    """Some of these tasks, one after the other."""
    template = core_workflow.WorkflowTemplate(id=identifier(identifier_pb2.WORKFLOW, version), interface=interface())
    source, name = "", "x"
    for node_id in (f"n{number}" for number in range(nodes)):
        node = template.nodes.add(id=node_id)
        node.task_node.reference_id.CopyFrom(identifier(identifier_pb2.TASK, version))
        binding = node.inputs.add(var="x").binding
        binding.promise.node_id, binding.promise.var = source, name
        source = node_id
    output = template.outputs.add(var="x").binding
    output.promise.node_id, output.promise.var = source, name
    return workflow_pb2.WorkflowCreateRequest(id=template.id, spec=workflow_pb2.WorkflowSpec(template=template))


def launch_plan_request(version: str) -> launch_plan_pb2.LaunchPlanCreateRequest:
    request = launch_plan_pb2.LaunchPlanCreateRequest(id=identifier(identifier_pb2.LAUNCH_PLAN, version))
    request.spec.workflow_id.CopyFrom(identifier(identifier_pb2.WORKFLOW, version))
    request.spec.default_inputs.parameters["x"].var.type.simple = types_pb2.INTEGER
    request.spec.default_inputs.parameters["x"].required = True
    return request


def description_request(number: int) -> common_pb2.NamedEntityUpdateRequest:
    request = common_pb2.NamedEntityUpdateRequest(resource_type=identifier_pb2.TASK, id=COPY)
    request.metadata.description = str(number)
    return request


def execution_request(name: str, version: str, number: int) -> execution_pb2.ExecutionCreateRequest:
    request = execution_pb2.ExecutionCreateRequest(**SCOPE, name=name)
    request.spec.launch_plan.CopyFrom(identifier(identifier_pb2.LAUNCH_PLAN, version))
    request.inputs.literals["x"].scalar.primitive.integer = number
    return request


def execution_id(name: str) -> identifier_pb2.WorkflowExecutionIdentifier:
    return identifier_pb2.WorkflowExecutionIdentifier(**SCOPE, name=name)


def executions(admin: AdminServiceStub) -> dict[str, execution_pb2.Execution]:
    request = common_pb2.ResourceListRequest(id=EXECUTIONS, limit=EVERYTHING)
    return {found.id.name: found for found in admin.ListExecutions(request, timeout=20).executions}
