"""A node that runs a task: one attempt per call, as a process.

Rules: ``flytepropeller/pkg/controller/nodes/task/handler.go``.
"""

from __future__ import annotations

import asyncio
from typing import Any

from flyteidl.core import execution_pb2, tasks_pb2
from flyteidl.event import event_pb2

from flytelite.engine import attempts, data
from flytelite.engine.events import NodePhase, TaskPhase, task_event
from flytelite.engine.failures import SYSTEM, SYSTEM_FAILURES, NodeFailed, execution_error
from flytelite.engine.nodes import dynamic
from flytelite.engine.nodes.node import Finished, NodeRun
from flytelite.engine.record import Note
from flytelite.engine.tasks import results

CONTAINER_PLUGIN = "container"


async def run(node: NodeRun) -> Finished:
    """Run the current attempt of the task. Raises NodeFailed."""
    template = node.template
    assert template is not None
    if node.note.get("dynamic"):
        return await dynamic.run(node, template)
    report = Report(node, template)
    try:
        result = await attempts.run(report.work, node.note.get("intent"), report.queued, report.started)
    except asyncio.CancelledError:
        report.aborted()
        raise
    node.task_metadata = event_pb2.TaskNodeMetadata(checkpoint_uri=report.work.checkpoint)
    if isinstance(result, results.Failed):
        await report.deck(ended=True, succeeded=False)
        raise report.failed(result)
    await report.deck(ended=True, succeeded=True)
    report.succeeded()
    if result.futures is not None:
        return await dynamic.run(node, template)
    return Finished(result.outputs, node.outputs_file)


class Report:
    """The task events of one attempt, and the node's that go with them."""

    def __init__(self, node: NodeRun, template: tasks_pb2.TaskTemplate) -> None:
        self.node = node
        self.template = template
        self.known = False
        self.work = attempts.Work(
            run=node.run,
            template=template,
            unique_id=node.unique_id,
            attempt=node.attempt,
            inputs=node.inputs,
            inputs_file=node.inputs_file,
            output_directory=node.output_directory,
            recovered_checkpoint=str(node.note.get("checkpoint", "")),
        )

    def queued(self, intent: Note | None) -> None:
        """The attempt exists: its intent, its first event and the node's RUNNING are one batch."""
        node = self.node
        if intent is not None:
            node.note["intent"] = dict(intent)
        node.pending.append(self._event(TaskPhase.QUEUED, reason="task submitted"))
        self._promise_deck()
        node.advance(NodePhase.RUNNING)
        self.known = True

    def started(self) -> None:
        """The process runs."""
        self.known = True
        self._promise_deck()
        self.node.emit(self._event(TaskPhase.RUNNING, logs=self.work.log_links))

    def succeeded(self) -> None:
        """The last event, to go out with the node's."""
        uri = str(self.node.outputs_file)
        self.node.pending.append(self._event(TaskPhase.SUCCEEDED, logs=self.work.log_links, output_uri=uri))

    def failed(self, result: results.Failed) -> NodeFailed:
        """The attempt's failure, whose event goes out with the node's or with the next attempt's number."""
        failure = NodeFailed(result.error, result.retryable)
        if self.node.note.get("stopped") and result.retryable and result.error.kind == SYSTEM:
            # It ended because the server was stopped, which must not cost anybody a retry.
            message = "the attempt was ended because flytelite was stopped"
            failure = NodeFailed(execution_error(SYSTEM, "Interrupted", message), retryable=True, free=True)
        self.node.pending.append(self._event(TaskPhase.FAILED, logs=self.work.log_links, error=failure.error))
        return failure

    def aborted(self) -> None:
        """The attempt was ended from outside."""
        if self.node.run.stopping:
            if "intent" in self.node.note:
                self.node.note["stopped"] = True
                self.node.emit()
        elif self.known:
            self.node.pending.append(self._event(TaskPhase.ABORTED, logs=self.work.log_links))

    async def deck(self, ended: bool, succeeded: bool) -> None:
        """The deck's URI on the node's last event: only when the file is there.

        A task that does not say whether it makes decks is looked at after success only.
        """
        wanted = self._promises_deck() or (succeeded and not self.template.metadata.HasField("generates_deck"))
        path = self.node.output_directory / data.DECK
        exists = wanted and await asyncio.to_thread(path.is_file)
        self.node.fields["deck_uri"] = str(path) if exists else ""

    def _promises_deck(self) -> bool:
        return bool(self.template.metadata.generates_deck.value)

    def _promise_deck(self) -> None:
        if self._promises_deck():
            self.node.fields["deck_uri"] = str(self.node.output_directory / data.DECK)

    def _interruptible(self) -> bool:
        metadata = self.node.node.metadata
        given = metadata.WhichOneof("interruptible_value") is not None
        wished = metadata.interruptible if given else self.node.run.interruptible
        return bool(wished) and int(self.node.note["system_failures"]) < SYSTEM_FAILURES

    def _event(
        self, phase: int, *, error: execution_pb2.ExecutionError | None = None, **fields: Any
    ) -> event_pb2.TaskExecutionEvent:
        node = self.node
        metadata = event_pb2.TaskExecutionMetadata(
            generated_name=self.work.name,
            plugin_identifier=CONTAINER_PLUGIN,
            instance_class=(
                event_pb2.TaskExecutionMetadata.INTERRUPTIBLE
                if self._interruptible()
                else event_pb2.TaskExecutionMetadata.DEFAULT
            ),
        )
        return task_event(
            self.template.id,
            node.id,
            node.attempt,
            phase,
            node.now(),
            task_type=self.template.type,
            input_uri=str(node.inputs_file),
            metadata=metadata,
            error=error,
            **fields,
        )
