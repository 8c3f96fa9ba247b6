"""What a recovering execution takes over from the one before, node by node.

Rules: ``flytepropeller/pkg/controller/nodes/executor.go`` (attemptRecovery).
"""

from __future__ import annotations

import asyncio
from pathlib import Path

from flyteidl.admin import node_execution_pb2
from flyteidl.core import compiler_pb2, identifier_pb2, literals_pb2
from flyteidl.event import event_pb2

from flytelite.engine import data
from flytelite.engine.events import NodePhase
from flytelite.engine.naming import END_NODE
from flytelite.engine.nodes.node import Finished, NodeRun
from flytelite.engine.waiting import until_there_is_space


async def recovered(node: NodeRun) -> Finished | None:
    """The old results of the node; None when it has to run.

    A node that has to run may still be helped: with its old checkpoint, or with the nodes a dynamic task asked for.
    """
    old = _old(node)
    if old is None:
        return None
    if old.closure.phase in (NodePhase.SUCCEEDED, NodePhase.RECOVERED):
        return await _take_over(node, old)
    if old.closure.phase != NodePhase.SKIPPED:
        await _help(node, old)
    return None


def _old(node: NodeRun) -> node_execution_pb2.NodeExecution | None:
    execution = node.run.recovered_from
    # A failure node has another failure to handle, also where it succeeded before; FlytePropeller takes it over.
    if execution is None or node.node.id == END_NODE or node.handles_failure:
        return None
    id = identifier_pb2.NodeExecutionIdentifier(node_id=node.id_before, execution_id=execution)
    return node.services.view.node_execution(id)


async def _take_over(node: NodeRun, old: node_execution_pb2.NodeExecution) -> Finished | None:
    outputs: literals_pb2.LiteralMap | None = literals_pb2.LiteralMap()
    if old.closure.output_uri:
        outputs = await data.read_literals(Path(old.closure.output_uri))
    if outputs is None or not await _copy_inputs(node, old):
        return None  # the files of the old execution are gone
    await node.write(node.outputs_file, outputs)
    deck = old.closure.deck_uri
    if deck and await asyncio.to_thread(Path(deck).is_file):
        node.fields["deck_uri"] = deck
    target = old.closure.WhichOneof("target_metadata")
    if target == "task_node_metadata":
        node.task_metadata = await _task_metadata(old)
    elif target == "workflow_node_metadata":
        child = old.closure.workflow_node_metadata.executionId
        node.fields["workflow_node_metadata"] = event_pb2.WorkflowNodeMetadata(execution_id=child)
    return Finished(outputs, node.outputs_file, phase=NodePhase.RECOVERED)


async def _task_metadata(old: node_execution_pb2.NodeExecution) -> event_pb2.TaskNodeMetadata:
    own = old.closure.task_node_metadata
    metadata = event_pb2.TaskNodeMetadata(cache_status=own.cache_status)
    if own.HasField("catalog_key"):
        metadata.catalog_key.CopyFrom(own.catalog_key)
    if old.closure.dynamic_job_spec_uri:
        path = Path(old.closure.dynamic_job_spec_uri).with_name(data.COMPILED_DYNAMIC)
        closure = await asyncio.to_thread(data.read_message, path, compiler_pb2.CompiledWorkflowClosure, None)
        if closure is not None:
            metadata.dynamic_workflow.id.CopyFrom(closure.primary.template.id)
            metadata.dynamic_workflow.compiled_workflow.CopyFrom(closure)
    return metadata


async def _help(node: NodeRun, old: node_execution_pb2.NodeExecution) -> None:
    checkpoint = old.closure.task_node_metadata.checkpoint_uri
    if checkpoint:
        node.note["checkpoint"] = checkpoint
    futures = old.closure.dynamic_job_spec_uri
    if not (old.metadata.is_dynamic and futures and await _copy_inputs(node, old)):
        return
    # Asking the task again might give other nodes than those that have results already.
    target = node.output_directory / data.FUTURES
    if await until_there_is_space(lambda: asyncio.to_thread(data.copy_file, Path(futures), target)):
        node.note["futures"] = True
        node.note["attempt_before"] = data.attempt_of(Path(futures))


async def _copy_inputs(node: NodeRun, old: node_execution_pb2.NodeExecution) -> bool:
    inputs = await data.read_literals(Path(old.input_uri)) if old.input_uri else literals_pb2.LiteralMap()
    if inputs is None:
        return False
    node.inputs = inputs
    await node.write(node.inputs_file, inputs)
    return True
