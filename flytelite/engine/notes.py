"""Keys of the engine's notes: what must survive a restart and is not in an event."""

from __future__ import annotations

from flyteidl.core import identifier_pb2

from flytelite.engine.data import component


def execution_key(id: identifier_pb2.WorkflowExecutionIdentifier) -> str:
    """The note about an execution."""
    return _key("execution", id)


def node_key(id: identifier_pb2.WorkflowExecutionIdentifier, unique_id: str) -> str:
    """The note about a node that has not ended."""
    return _key("node", id, unique_id)


def element_key(id: identifier_pb2.WorkflowExecutionIdentifier, array_unique_id: str, index: int) -> str:
    """The note about an element of an array node."""
    return _key("element", id, array_unique_id, str(index))


def _key(kind: str, id: identifier_pb2.WorkflowExecutionIdentifier, *parts: str) -> str:
    return "/".join(component(part) for part in (kind, id.project, id.domain, id.name, *parts))
