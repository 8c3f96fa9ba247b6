"""The life of any node: waiting, inputs, attempts, deadlines, and its last event.

Rules: ``flytepropeller/pkg/controller/nodes/executor.go``. What the kinds do in between is in the modules beside.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from functools import partial
from pathlib import Path

from flyteidl.core import execution_pb2, literals_pb2, types_pb2, workflow_pb2

from flytelite.engine import data
from flytelite.engine.aborting import abort_attempt
from flytelite.engine.events import NODE_TERMINAL, NodePhase
from flytelite.engine.failures import (
    SYSTEM,
    NodeFailed,
    NodeTimedOut,
    failed,
    max_attempts,
    seconds,
    spend,
    timeout_expired,
)
from flytelite.engine.level import Level, NodeResult
from flytelite.engine.naming import END_NODE, START_NODE
from flytelite.engine.nodes import array, branch, end, gate, launch_plan, start, subworkflow, task
from flytelite.engine.nodes.caching import give_back
from flytelite.engine.nodes.deadline import Deadline
from flytelite.engine.nodes.node import Finished, NodeRun
from flytelite.engine.nodes.recovery import recovered
from flytelite.engine.places import gives_its_place_away
from flytelite.engine.waiting import persistently

Handler = Callable[[NodeRun], Awaitable[Finished]]

HANDLERS: dict[str, Handler] = {
    "array_node": array.run,
    "task_node": task.run,
    "branch_node": branch.run,
    "gate_node": gate.run,
    "launchplan_ref": launch_plan.run,
    "sub_workflow_ref": subworkflow.run,
    START_NODE: start.run,
    END_NODE: end.run,
}
"""By what a node's target is called, and by the ids of the nodes without one."""

ERROR_INPUT = "err"


async def run_node(
    level: Level,
    node: workflow_pb2.Node,
    *,
    inside: NodeRun | None = None,
    original: execution_pb2.ExecutionError | None = None,
    on_queued: Callable[[], None] | None = None,
) -> NodeResult:
    """Run a node of a level to its end. Raises NodeFailed and NodeTimedOut after the event was recorded.

    ``inside`` is the branch node of an arm, ``original`` the error that a failure node handles, ``on_queued`` is
    called when the node has entered the record.
    """
    run = NodeRun(level, node, inside)
    if run.phase in NODE_TERMINAL:
        return await _recorded(run)
    if not await level.ready(node.id, inside.node.id if inside is not None else ""):
        run.advance(NodePhase.SKIPPED)
        return NodeResult(NodePhase.SKIPPED)
    async with run.run.slot(_counts(node) and not gives_its_place_away(run.note), run.key) as run.slot:
        return await _run(run, original, on_queued)


async def _recorded(run: NodeRun) -> NodeResult:
    """What the record says of a node that has ended."""
    assert run.recorded is not None
    closure = run.recorded.closure
    if closure.phase == NodePhase.TIMED_OUT:
        raise NodeTimedOut
    if closure.phase in (NodePhase.FAILED, NodePhase.ABORTED):
        if closure.phase == NodePhase.ABORTED and run.level.is_doomed():
            await run.level.ending()
        raise NodeFailed(closure.error)
    if closure.phase == NodePhase.SKIPPED:
        return NodeResult(NodePhase.SKIPPED)
    path = Path(closure.output_uri) if closure.output_uri else run.outputs_file
    return NodeResult(closure.phase, await data.read_literals(path))


async def _run(
    run: NodeRun, original: execution_pb2.ExecutionError | None, on_queued: Callable[[], None] | None
) -> NodeResult:
    try:
        finished = await _to_the_end(run, original, on_queued)
    except NodeFailed as failure:
        run.advance(NodePhase.FAILED, error=failure.error)
        raise
    except NodeTimedOut:
        run.advance(NodePhase.TIMED_OUT)
        raise
    except asyncio.CancelledError:
        _abort(run)
        raise
    else:
        run.advance(finished.phase, output_uri=str(finished.uri) if finished.uri is not None else None)
        return NodeResult(finished.phase, finished.outputs)
    finally:
        run.linger_no_more()  # after a bug of the engine's own there is no event that would take it along
        run.finish()


def _abort(run: NodeRun) -> None:
    """Record the abort of a node that had started; a stopping engine leaves it to the next one to go on."""
    if run.run.stopping:
        run.drop_pending()
        return
    if run.run.resumed and run.recorded is not None:
        run.emit()  # an earlier engine began it, and perhaps this one had not taken it up: the level ends it
    elif run.phase != NodePhase.UNDEFINED:
        error = execution_pb2.ExecutionError(code="NodeAborted", message=run.abort_reason)
        run.advance(NodePhase.ABORTED, error=error)


async def _to_the_end(
    run: NodeRun, original: execution_pb2.ExecutionError | None, on_queued: Callable[[], None] | None
) -> Finished:
    if run.phase == NodePhase.UNDEFINED and run.node.id not in (START_NODE, END_NODE):
        run.goes_on()
    known = await _enter(run, original, on_queued)
    if known is not None:
        return known
    if run.phase == NodePhase.QUEUED and (known := await task.reserved(run)) is not None:
        return known
    return await _attempts(run)


async def _enter(
    run: NodeRun, original: execution_pb2.ExecutionError | None, on_queued: Callable[[], None] | None
) -> Finished | None:
    """Inputs and the QUEUED event; a node that was queued before reads its inputs back.

    A node whose outputs are known already is never queued: they are the answer.
    """
    if run.phase != NodePhase.UNDEFINED:
        run.inputs = await data.read_literals(run.inputs_file) or literals_pb2.LiteralMap()
        if on_queued is not None:
            on_queued()
        return None
    if run.node.id == START_NODE:
        run.inputs = run.level.inputs
        return None
    known = await recovered(run)
    if known is None and not run.note.get("futures"):
        known = await _resolve(run, original)
    if known is not None:
        return known
    run.note["queued_at"] = run.now()
    if run.note.get("futures"):
        run.advance(NodePhase.RUNNING)
    elif on_queued is None and run.template is not None:
        run.announce(NodePhase.QUEUED)  # the task's first event is not far
    else:
        run.advance(NodePhase.QUEUED)
    if on_queued is not None:
        on_queued()
    return None


async def _resolve(run: NodeRun, original: execution_pb2.ExecutionError | None) -> Finished | None:
    """Resolve and write the inputs; the outputs when the cache knows them."""
    run.inputs = await run.level.resolve(run.node)
    if original is not None and ERROR_INPUT in run.inputs.literals:
        run.inputs.literals[ERROR_INPUT].CopyFrom(error_input(run.node.id, original))
    await run.write(run.inputs_file, run.inputs)
    return await task.cached(run)


async def _attempts(run: NodeRun) -> Finished:
    take_up = run.recorded is not None  # the first attempt here is one that an earlier engine may have begun
    while True:
        try:
            return await _attempt(run, take_up)
        except NodeFailed as failure:
            if not failure.retryable:
                raise
            spend(run.note, failure, _allowed(run))
            run.start_attempt()
            run.goes_on()
        take_up = False


def _counts(node: workflow_pb2.Node) -> bool:
    """Whether the node takes one of the places of max_parallelism."""
    kind = node.WhichOneof("target")
    return kind in ("task_node", "array_node") or node.workflow_node.WhichOneof("reference") == "launchplan_ref"


def _handler(node: workflow_pb2.Node) -> Handler:
    kind = node.WhichOneof("target")
    if kind == "workflow_node":
        kind = node.workflow_node.WhichOneof("reference")
    handler = HANDLERS.get(kind or node.id)
    if handler is None:
        raise failed(SYSTEM, "NotYetImplementedError", f"flytelite cannot run nodes of kind {kind}")
    return handler


def _allowed(run: NodeRun) -> int:
    """How many attempts a node may have; the elements of an array are tried again, the array is not."""
    return 1 if run.node.WhichOneof("target") == "array_node" else max_attempts(run.node, run.template)


async def _attempt(run: NodeRun, take_up: bool) -> Finished:
    """One attempt, until it ends or the first of two deadlines passes.

    The execution deadline, the timeout, counts from the attempt's start; the active deadline, twice the timeout, from
    the moment the node was queued. What passes first decides, however long it takes to end the attempt.
    """
    started = float(run.note.setdefault("started_at", run.now()))
    timeout = run.node.metadata.timeout
    if not seconds(timeout):
        return await _handler(run.node)(run)
    execution = started + seconds(timeout)
    active = float(run.note["queued_at"]) + 2 * seconds(timeout)
    late = NodeTimedOut() if active <= execution else timeout_expired(timeout)
    run.deadline = Deadline(min(active, execution) - run.now(), late, run, take_up)
    if run.note.get("late"):
        await _end_late(run, run.deadline)
        if "reservation" in run.note:
            run.afterwards.append(partial(give_back, run.run, run.note["reservation"]))
        raise late
    try:
        async with run.deadline:
            return await _handler(run.node)(run)
    except TimeoutError:
        if not run.deadline.passed:
            raise
        if take_up:
            await _end_late(run, run.deadline)
        raise late from None


async def _end_late(run: NodeRun, deadline: Deadline) -> None:
    """End what an earlier engine began of the attempt and this one had not taken up."""
    run.emit()
    ending = asyncio.ensure_future(abort_attempt(run.run, run.id, deadline.reason))
    try:
        await asyncio.shield(ending)
    except asyncio.CancelledError:
        await persistently(ending)
        raise


def error_input(node_id: str, error: execution_pb2.ExecutionError) -> literals_pb2.Literal:
    """What a failure node's ``err`` input holds."""
    value = literals_pb2.Literal(
        scalar=literals_pb2.Scalar(error=types_pb2.Error(message=error.message, failed_node_id=node_id))
    )
    kind = types_pb2.LiteralType(simple=types_pb2.ERROR, structure=types_pb2.TypeStructure(tag="FlyteError"))
    return literals_pb2.Literal(scalar=literals_pb2.Scalar(union=literals_pb2.Union(value=value, type=kind)))
