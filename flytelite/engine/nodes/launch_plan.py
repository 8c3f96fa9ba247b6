"""A node that starts another execution and waits for it.

Rules: ``flytepropeller/pkg/controller/nodes/subworkflow/launchplan.go`` and ``.../launchplan/admin.go``.
"""

from __future__ import annotations

import asyncio

from flyteidl.admin import execution_pb2 as admin
from flyteidl.core import identifier_pb2
from flyteidl.event import event_pb2

from flytelite.engine.aborting import cascading
from flytelite.engine.events import WORKFLOW_TERMINAL, NodePhase, WorkflowPhase
from flytelite.engine.failures import SYSTEM, USER, NodeFailed, execution_error, failed
from flytelite.engine.naming import child_execution_name
from flytelite.engine.nodes.node import Finished, NodeRun
from flytelite.engine.run import execution_bell
from flytelite.errors import AlreadyExists, Code, FlyteError

_SYSTEM_CODES = frozenset({Code.DATA_LOSS, Code.DEADLINE_EXCEEDED, Code.INTERNAL, Code.UNKNOWN, Code.CANCELLED})


async def run(node: NodeRun) -> Finished:
    """Create the child or find it again, and give its outputs. Raises NodeFailed when it does not succeed."""
    id = node.run.id
    name = child_execution_name(id.name, node.unique_id, node.attempt)
    child = identifier_pb2.WorkflowExecutionIdentifier(project=id.project, domain=id.domain, name=name)
    _launch(node, child)
    node.fields["workflow_node_metadata"] = event_pb2.WorkflowNodeMetadata(execution_id=child)
    node.advance(NodePhase.RUNNING)
    try:
        closure = await _ended(node, child)
    except asyncio.CancelledError:
        if not node.run.stopping:
            node.services.sink.terminate_execution(child, cascading(node.run, node.abort_reason))
        raise
    if closure.phase != WorkflowPhase.SUCCEEDED:
        raise _failure(node, child, closure)
    outputs = node.services.view.execution_outputs(child)
    await node.write(node.outputs_file, outputs)
    return Finished(outputs, node.outputs_file)


def _launch(node: NodeRun, child: identifier_pb2.WorkflowExecutionIdentifier) -> None:
    try:
        node.services.sink.create_execution(_request(node, child.name))
    except FlyteError as error:
        if isinstance(error, AlreadyExists) and node.services.view.execution(child) is not None:
            return  # an earlier engine made it; a launch plan that may not run again at present has the same code
        launch_plan = node.node.workflow_node.launchplan_ref.name
        if error.code in _SYSTEM_CODES:
            message = (
                f"[SystemError] failed to launch workflow [{launch_plan}], system error, caused by: {error.message}"
            )
            raise failed(SYSTEM, "RuntimeExecutionError", message) from error
        message = f"[UserError] failed to launch workflow, caused by: {error.message}"
        raise failed(USER, "RuntimeExecutionError", message) from error


def _request(node: NodeRun, name: str) -> admin.ExecutionCreateRequest:
    """The child inherits the settings of this execution."""
    id, own = node.run.id, node.run.launch.spec
    metadata = admin.ExecutionMetadata(
        mode=admin.ExecutionMetadata.CHILD_WORKFLOW, principal=own.metadata.principal, parent_node_execution=node.id
    )
    spec = admin.ExecutionSpec(
        launch_plan=node.node.workflow_node.launchplan_ref,
        metadata=metadata,
        max_parallelism=own.max_parallelism,
        overwrite_cache=own.overwrite_cache,
    )
    for field in ("labels", "annotations", "security_context", "raw_output_data_config", "interruptible", "envs"):
        if own.HasField(field):
            getattr(spec, field).CopyFrom(getattr(own, field))
    return admin.ExecutionCreateRequest(project=id.project, domain=id.domain, name=name, spec=spec, inputs=node.inputs)


async def _ended(node: NodeRun, child: identifier_pb2.WorkflowExecutionIdentifier) -> admin.ExecutionClosure:
    while True:
        bell = node.services.bells.listen(execution_bell(child))
        execution = node.services.view.execution(child)
        if execution is None:
            message = (
                f"failed at Node[{node.node.id}]. NotFound: launch-plan not found,"
                f" caused by: execution [{child.name}] does not exist any more"
            )
            raise failed(SYSTEM, "NotFound", message)
        if execution.closure.phase in WORKFLOW_TERMINAL:
            return execution.closure
        node.goes_on()
        await bell.wait()


def _failure(
    node: NodeRun, child: identifier_pb2.WorkflowExecutionIdentifier, closure: admin.ExecutionClosure
) -> NodeFailed:
    if closure.phase == WorkflowPhase.FAILED:
        unknown = execution_error(0, "LaunchPlanExecutionFailed", "Unknown Error")
        return NodeFailed(closure.error if closure.HasField("error") else unknown)
    code = "RemoteChildWorkflowExecutionFailed"
    message = (
        f"failed at Node[{node.node.id}]. {code}: launchplan [{child.name}] aborted,"
        " caused by: launchplan execution aborted"
    )
    return failed(USER, code, message)
