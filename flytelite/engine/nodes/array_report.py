"""The one task execution of an array node, which tells of all of its elements.

Rules: ``flytepropeller/pkg/controller/nodes/array/event_recorder.go``.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any

from flyteidl.core import execution_pb2, tasks_pb2
from flyteidl.event import event_pb2

from flytelite.engine import naming
from flytelite.engine.events import TASK_TERMINAL, NodePhase, TaskPhase, task_event
from flytelite.engine.nodes.element import Element
from flytelite.engine.nodes.node import NodeRun

PLUGIN = "k8s-array"
TASK_TYPE = "container_array"

PAUSE = 0.002
"""Seconds for each element between two events: an event rewrites all elements, so that without it a large array would
cost the square of its size."""

LONGEST_PAUSE = 5.0


class ArrayReport:
    """Gathers what happens to elements into events of a rising phase version."""

    def __init__(self, node: NodeRun, template: tasks_pb2.TaskTemplate) -> None:
        self.node = node
        self.template = template
        self._elements: Sequence[Element] = ()
        self._changed: dict[tuple[int, int], event_pb2.ExternalResourceInfo] = {}
        self._flush: asyncio.Handle | None = None
        self._not_before = 0.0
        self._ending = False

    def begin(self, elements: Sequence[Element]) -> None:
        """Announce all elements, the first time; where there is none there is nothing to announce yet."""
        self._elements = elements
        node = self.node
        node.note["size"] = len(elements)
        if elements and node.phase == NodePhase.QUEUED:
            resources = [self._resource(one, TaskPhase.UNDEFINED) for one in elements]
            node.pending.append(self._event(TaskPhase.QUEUED, resources, input_uri=str(node.inputs_file)))
        node.advance(NodePhase.RUNNING)

    def add(self, element: Element, phase: int) -> None:
        """An element, or one attempt of it, came to a phase; changes within a short time are one event."""
        resource = self._resource(element, phase)
        self._changed[(resource.index, resource.retry_attempt)] = resource
        if self._flush is None and not self._ending:
            self._flush = asyncio.get_running_loop().call_at(self._not_before, self._send)

    def tell(self) -> None:
        """Have what happened so far told at once: FlytePropeller sends the last event a round later."""
        if self._flush is not None:
            self._flush.cancel()
            self._send()

    def ending(self) -> None:
        """What happens from now on is told by the last event."""
        self._ending = True
        if self._flush is not None:
            self._flush.cancel()
            self._flush = None

    def end(self, phase: int, **fields: Any) -> None:
        """The last event, with all elements, to go out with the node's; the elements' notes are done with."""
        self.ending()
        for element in self._elements:
            resource = self._resource(element, element.phase)
            self._changed[(resource.index, resource.retry_attempt)] = resource
        resources = list(self._changed.values())
        self._changed.clear()
        self.node.pending.append(self._event(phase, resources, **fields))
        self.node.pending_notes.update({one.key: None for one in self._elements})

    def _send(self) -> None:
        self._flush = None
        pause = min(PAUSE * len(self._elements), LONGEST_PAUSE)
        self._not_before = asyncio.get_running_loop().time() + pause
        if not self._changed:
            return
        resources = list(self._changed.values())
        self._changed.clear()
        self.node.note["version"] = version = int(self.node.note.get("version", 0)) + 1
        self.node.emit(self._event(TaskPhase.RUNNING, resources, phase_version=version))

    def _resource(self, element: Element, phase: int) -> event_pb2.ExternalResourceInfo:
        name = naming.external_id(self.node.run.id.name, self.node.unique_id, element.index, element.attempt)
        resource = event_pb2.ExternalResourceInfo(
            external_id=name,
            index=element.index,
            retry_attempt=element.attempt,
            phase=phase,
            cache_status=element.cache_status,
            custom_info=element.usage if phase in TASK_TERMINAL else None,
        )
        if element.has_log and (phase == TaskPhase.RUNNING or phase in TASK_TERMINAL):
            for link in element.log_links:
                resource.logs.append(execution_pb2.TaskLog(name=f"{link.name}-{element.index}", uri=link.uri))
        return resource

    def _event(
        self, phase: int, resources: Sequence[event_pb2.ExternalResourceInfo], **fields: Any
    ) -> event_pb2.TaskExecutionEvent:
        metadata = event_pb2.TaskExecutionMetadata(external_resources=resources, plugin_identifier=PLUGIN)
        node = self.node
        return task_event(
            self.template.id, node.id, 0, phase, node.now(), task_type=TASK_TYPE, metadata=metadata, **fields
        )
