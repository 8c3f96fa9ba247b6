"""A node that runs another workflow inside this execution."""

from __future__ import annotations

from flytelite.engine.events import NodePhase
from flytelite.engine.level import Level, run_level
from flytelite.engine.nodes.node import Finished, NodeRun


async def run(node: NodeRun) -> Finished:
    """Run the sub-workflow's nodes below this one's output directory.

    ``flytepropeller/pkg/controller/nodes/subworkflow/subworkflow.go``. Raises NodeFailed with the child's error.
    """
    library = node.level.library
    workflow = library.workflow(node.node.workflow_node.sub_workflow_ref)
    node.advance(NodePhase.RUNNING)
    level = Level(node.run, workflow, library, node.output_directory, node.as_parent, inside=node)
    outputs = await run_level(level, node.inputs)
    if not workflow.template.outputs:
        return Finished(outputs)
    await node.write(node.outputs_file, outputs)
    return Finished(outputs, node.outputs_file)
