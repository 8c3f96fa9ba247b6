"""The start node: its outputs are the workflow's inputs."""

from __future__ import annotations

from flytelite.engine.nodes.node import Finished, NodeRun


async def run(node: NodeRun) -> Finished:
    """Write the workflow's inputs as outputs. ``flytepropeller/pkg/controller/nodes/start``."""
    await node.write(node.outputs_file, node.inputs)
    return Finished(node.inputs, node.outputs_file)
