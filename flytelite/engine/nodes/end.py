"""The end node: its inputs are the workflow's outputs."""

from __future__ import annotations

from flytelite.engine.nodes.node import Finished, NodeRun


async def run(node: NodeRun) -> Finished:
    """Write the workflow's outputs; clients are not told of the file. ``flytepropeller/.../nodes/end``."""
    await node.write(node.outputs_file, node.inputs)
    return Finished(node.inputs)
