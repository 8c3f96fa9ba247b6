"""What a dynamic task asks for: nodes that run inside its own.

Rules: ``flytepropeller/pkg/controller/nodes/dynamic/``.
"""

from __future__ import annotations

import asyncio
import secrets
from dataclasses import replace

from flyteidl.core import compiler_pb2, dynamic_job_pb2, identifier_pb2, literals_pb2, tasks_pb2
from flyteidl.event import event_pb2

from flytelite.compiler.errors import CompilationFailed
from flytelite.compiler.executable import validate_executable
from flytelite.compiler.workflows import compile_dynamic, dynamic_template, required
from flytelite.engine import data
from flytelite.engine.events import NodePhase
from flytelite.engine.failures import SYSTEM, UNKNOWN, USER, NodeFailed, failed
from flytelite.engine.level import Level, Library, run_level
from flytelite.engine.nodes.node import Finished, NodeRun
from flytelite.errors import FlyteError

BUILD_FAILED = "DynamicWorkflowBuildFailed"
FAILING = "Dynamic workflow failed"

_ALPHABET = "bcdfghjklmnpqrstvwxz2456789"


async def run(node: NodeRun, template: tasks_pb2.TaskTemplate) -> Finished:
    """Compile what the task left, once, and run it below the task's output directory. Raises NodeFailed."""
    closure = await _compiled(node, template)
    node.fields["is_dynamic"] = True
    if not node.note.get("dynamic"):
        node.note["dynamic"] = True
        node.advance(NodePhase.DYNAMIC_RUNNING, is_parent=True, task_node_metadata=_metadata(node, closure))
    node.slot.release()
    parent = replace(node.as_parent, in_dynamic_chain=True)
    level = Level(node.run, closure.primary, Library(closure), node.output_directory, parent, inside=node)
    level.failing_reason = FAILING
    try:
        outputs = await run_level(level, literals_pb2.LiteralMap())
    except NodeFailed as failure:
        if level.timed_out:
            raise failed(UNKNOWN, "DynamicNodeFailing", FAILING, retryable=True) from failure
        raise NodeFailed(failure.error) from failure
    if not closure.primary.template.outputs:
        return Finished(outputs)
    await node.write(node.outputs_file, outputs)
    return Finished(outputs, node.outputs_file)


def _metadata(node: NodeRun, closure: compiler_pb2.CompiledWorkflowClosure) -> event_pb2.TaskNodeMetadata:
    metadata = event_pb2.TaskNodeMetadata()
    if node.task_metadata is not None:
        metadata.CopyFrom(node.task_metadata)
    metadata.dynamic_workflow.CopyFrom(
        event_pb2.DynamicWorkflowNodeMetadata(
            id=closure.primary.template.id,
            compiled_workflow=closure,
            dynamic_job_spec_uri=str(node.output_directory / data.FUTURES),
        )
    )
    return metadata


async def _compiled(node: NodeRun, template: tasks_pb2.TaskTemplate) -> compiler_pb2.CompiledWorkflowClosure:
    """The closure that was compiled before, or else one that is written before anybody hears of it.

    Compiling again would give it another version.
    """
    path = node.output_directory / data.COMPILED_DYNAMIC
    try:
        # Its size has no limit: it is the engine's own file.
        found = await asyncio.to_thread(data.read_message, path, compiler_pb2.CompiledWorkflowClosure, None)
        if found is not None:
            return found
        futures = node.output_directory / data.FUTURES
        job_spec = await asyncio.to_thread(data.read_message, futures, dynamic_job_pb2.DynamicJobSpec)
    except (data.TooLarge, data.Unreadable) as error:
        raise failed(SYSTEM, "MalformedDynamicWorkflow", str(error)) from error
    if job_spec is None:
        raise failed(SYSTEM, "MalformedDynamicWorkflow", f"{futures} is gone")
    closure = _compile(node, template, job_spec)
    await data.write_literals(path, closure)
    return closure


def _compile(
    node: NodeRun, template: tasks_pb2.TaskTemplate, job_spec: dynamic_job_pb2.DynamicJobSpec
) -> compiler_pb2.CompiledWorkflowClosure:
    for task in job_spec.tasks:
        if task.HasField("container") and template.HasField("container"):
            task.container.config.extend(template.container.config)
    id = identifier_pb2.Identifier(
        resource_type=identifier_pb2.WORKFLOW,
        project=node.run.id.project,
        domain=node.run.id.domain,
        name=f"dynamic_{node.node.id}",
        version="".join(secrets.choice(_ALPHABET) for _ in range(10)),
    )
    try:
        needed = required(dynamic_template(job_spec, id, template.interface), job_spec.subworkflows)
        launch_plans = [_launch_plan(node, one) for one in needed.launch_plans]
        closure = compile_dynamic(job_spec, id, template.interface, launch_plans)
        validate_executable(closure)
    except (CompilationFailed, FlyteError) as error:
        raise failed(USER, BUILD_FAILED, f"[User] malformed dynamic workflow, caused by: {error}") from error
    return closure


def _launch_plan(node: NodeRun, id: identifier_pb2.Identifier) -> object:
    found = node.services.view.launch_plan(id)
    if found is None:
        name = f"{id.project}:{id.domain}:{id.name}:{id.version}"
        cause = "[NotFound] No launch plan retrieved from Admin"
        raise failed(USER, BUILD_FAILED, f"[User] incorrectly specified launchplan {name}, caused by: {cause}")
    return found
