"""Gates: a node that waits for a person, or for time to pass.

Rules: ``flytepropeller/pkg/controller/nodes/gate/handler.go``.
"""

from __future__ import annotations

from flyteidl.core import identifier_pb2, literals_pb2, types_pb2

from flytelite.engine import alarm
from flytelite.engine.events import NodePhase
from flytelite.engine.failures import SYSTEM, UNKNOWN, USER, failed, seconds
from flytelite.engine.nodes.node import Finished, NodeRun
from flytelite.engine.run import signal_bell


async def run(node: NodeRun) -> Finished:
    """Wait until the gate opens. Raises NodeFailed when the approval is refused."""
    gate = node.node.gate_node
    condition = gate.WhichOneof("condition")
    if condition == "sleep":
        node.advance(NodePhase.RUNNING)
        left = float(node.note["started_at"]) + seconds(gate.sleep.duration) - node.now()
        if left > 0:
            node.goes_on()
            await alarm.sleep(left)
        return Finished()
    if condition == "signal":
        value = await _signal(node, gate.signal.signal_id, gate.signal.type)
        outputs = literals_pb2.LiteralMap(literals={gate.signal.output_variable_name: value})
    elif condition == "approve":
        value = await _signal(node, gate.approve.signal_id, types_pb2.LiteralType(simple=types_pb2.BOOLEAN))
        outputs = _approved(node, value)
    else:
        raise failed(SYSTEM, "BadSpecificationError", "gateNode does not have a supported condition reference")
    await node.write(node.outputs_file, outputs)
    return Finished(outputs, node.outputs_file)


async def _signal(node: NodeRun, signal_id: str, kind: types_pb2.LiteralType) -> literals_pb2.Literal:
    id = identifier_pb2.SignalIdentifier(signal_id=signal_id, execution_id=node.run.id)
    while True:
        bell = node.services.bells.listen(signal_bell(id))
        signal = node.services.sink.signal(id, kind)
        node.advance(NodePhase.RUNNING)
        if signal.value.WhichOneof("value") is not None:
            return signal.value
        node.goes_on()
        await bell.wait()


def _approved(node: NodeRun, value: literals_pb2.Literal) -> literals_pb2.LiteralMap:
    if value.scalar.primitive.WhichOneof("value") != "boolean":
        message = f"received a non-boolean approve signal value [{value}]"
        raise failed(UNKNOWN, "RuntimeExecutionError", message)
    if not value.scalar.primitive.boolean:
        message = "received a reject signal to disapprove the node input values"
        raise failed(USER, "ReceivedRejectSignal", message)
    return node.inputs
