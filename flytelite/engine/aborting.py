"""Ending what the record says still runs: after a restart, or when the engine itself failed.

While an execution runs, cancelling its coroutines does this; here nothing but the record is needed.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterable, Iterator

from flyteidl.admin import node_execution_pb2
from flyteidl.core import execution_pb2, identifier_pb2
from flyteidl.event import event_pb2

from flytelite.engine import notes, plugins
from flytelite.engine.events import (
    NODE_TERMINAL,
    TASK_TERMINAL,
    NodePhase,
    TaskPhase,
    aborted_if_begun,
    node_event,
    task_event,
)
from flytelite.engine.nodes.caching import give_back
from flytelite.engine.places import is_running
from flytelite.engine.record import Event, Note
from flytelite.engine.run import Run


async def abort_all(run: Run, reason: str) -> None:
    """End all processes and child executions of unfinished nodes, then record the aborts, children before parents."""
    await _abort(run, run.services.view.node_executions(run.id), reason)


async def abort_left_over(run: Run, ids: Iterable[identifier_pb2.NodeExecutionIdentifier], reason: str) -> None:
    """The same of these nodes and of what is inside of them, which an earlier engine began and nobody takes up."""
    await _abort(run, [node for id in ids for node in _with_inner(run, id)], reason)


async def abort_attempt(run: Run, id: identifier_pb2.NodeExecutionIdentifier, reason: str) -> None:
    """The same of the current attempt of a node that does not end with it, and of all that is inside of it."""
    view, sink = run.services.view, run.services.sink
    await _abort(run, [node for child in view.children(id) for node in _with_inner(run, child.id)], reason)
    node = view.node_execution(id)
    assert node is not None
    own, *elements = _notes(run, node).items()
    unfinished = any(task.closure.phase not in TASK_TERMINAL for task in view.task_executions(id))
    running = [note for _, note in elements if is_running(note)] + [own[1]] * (unfinished and "intent" in own[1])
    await asyncio.gather(*(plugins.end(run, note["intent"]) for note in running))
    child = node.closure.workflow_node_metadata.executionId
    if child.name:
        sink.terminate_execution(child, cascading(run, reason))
    for key, note in (own, *elements):
        run.forget(key)
        if key != own[0] and "reservation" in note:
            give_back(run, note["reservation"])
    sink.emit(*_task_events(run, node), notes={key: None for key, _ in elements})


def _with_inner(run: Run, id: identifier_pb2.NodeExecutionIdentifier) -> Iterator[node_execution_pb2.NodeExecution]:
    """A node that has not ended, and after it all that is inside of it."""
    node = run.services.view.node_execution(id)
    if node is None or node.closure.phase in NODE_TERMINAL:
        return
    yield node
    for child in run.services.view.children(id):
        yield from _with_inner(run, child.id)


async def _abort(run: Run, nodes: Iterable[node_execution_pb2.NodeExecution], reason: str) -> None:
    sink = run.services.sink
    unfinished = [node for node in nodes if node.closure.phase not in NODE_TERMINAL]
    intents = [note["intent"] for node in unfinished for note in _notes(run, node).values() if "intent" in note]
    await asyncio.gather(*(plugins.end(run, intent) for intent in intents))
    for node in reversed(unfinished):
        child = node.closure.workflow_node_metadata.executionId
        if child.name:
            sink.terminate_execution(child, cascading(run, reason))
        gone = _notes(run, node)
        for key, note in gone.items():
            run.forget(key)
            if "reservation" in note:
                give_back(run, note["reservation"])
        sink.emit(*_events(run, node, reason), notes=dict.fromkeys(gone))


def cascading(run: Run, reason: str) -> str:
    """The cause that a child execution is given."""
    return f"cascading abort as parent execution id [{run.id.name}] aborted, reason [{reason}]"


def _notes(run: Run, node: node_execution_pb2.NodeExecution) -> dict[str, Note]:
    """The notes of the node and of its elements, by key."""
    view = run.services.view
    key = notes.node_key(run.id, node.id.node_id)
    found = {key: view.note(key) or {}}
    for index in range(int(found[key].get("size", 0))):
        key = notes.element_key(run.id, node.id.node_id, index)
        found[key] = view.note(key) or {}
    return found


def _task_events(run: Run, node: node_execution_pb2.NodeExecution) -> Iterator[Event]:
    for task in run.services.view.task_executions(node.id):
        if task.closure.phase not in TASK_TERMINAL:
            yield task_event(
                task.id.task_id,
                node.id,
                task.id.retry_attempt,
                TaskPhase.ABORTED,
                time.time(),
                task_type=task.closure.task_type,
                input_uri=task.input_uri,
                logs=task.closure.logs,
                metadata=_with_elements_aborted(task.closure.metadata),
            )


def _events(run: Run, node: node_execution_pb2.NodeExecution, reason: str) -> Iterator[Event]:
    yield from _task_events(run, node)
    error = execution_pb2.ExecutionError(code="NodeAborted", message=reason)
    yield node_event(
        run.id,
        node.id.node_id,
        NodePhase.ABORTED,
        time.time(),
        error=error,
        spec_node_id=node.metadata.spec_node_id,
        input_uri=node.input_uri or None,
    )


def _with_elements_aborted(metadata: event_pb2.TaskExecutionMetadata) -> event_pb2.TaskExecutionMetadata:
    """Of an array's task execution: the elements that had begun and not ended are aborted with it."""
    told = event_pb2.TaskExecutionMetadata()
    told.CopyFrom(metadata)
    for element in told.external_resources:
        element.phase = aborted_if_begun(element.phase)
    return told
