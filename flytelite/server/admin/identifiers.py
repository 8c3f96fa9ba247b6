"""Identifiers as keys of tables, and as the text that error messages show.

A key is the identifier's parts joined by ``/``, each percent-encoded, so that no name can forge another's key.
"""

from __future__ import annotations

from functools import lru_cache
from urllib.parse import quote

from flyteidl.core import identifier_pb2
from google.protobuf.message import Message

from flytelite.compiler.text import proto_text
from flytelite.errors import NotFound


def join(*parts: str | int) -> str:
    """The key made of these parts."""
    return "/".join(map(_encoded, parts))


@lru_cache(maxsize=8192)  # the same few names make up the keys of every event
def _encoded(part: str | int) -> str:
    return quote(str(part), safe=" :@=+,.~!()[]{}")


def entity_key(id: identifier_pb2.Identifier) -> str:
    """project/domain/name/version; each resource type has its own table."""
    return join(id.project, id.domain, id.name, id.version)


def execution_key(id: identifier_pb2.WorkflowExecutionIdentifier) -> str:
    """project/domain/name."""
    return join(id.project, id.domain, id.name)


def node_execution_key(id: identifier_pb2.NodeExecutionIdentifier) -> str:
    """The execution's key, then the unique node id."""
    return f"{execution_key(id.execution_id)}/{join(id.node_id)}"


def task_execution_key(id: identifier_pb2.TaskExecutionIdentifier) -> str:
    """The node execution's key, then the task's parts and the attempt."""
    return f"{node_execution_key(id.node_execution_id)}/{entity_key(id.task_id)}/{id.retry_attempt}"


def missing_entity(kind: str, id: Message) -> NotFound:
    """The error for what does not exist; ``kind`` is TASK, WORKFLOW, LAUNCH_PLAN or one of the executions.

    FlyteAdmin looks rows up by names alone, and so says neither resource types nor attempts
    (flyteadmin/pkg/repositories/errors/error_utils.go).
    """
    shown = type(id)()
    shown.CopyFrom(id)
    for name in ("resource_type", "retry_attempt"):
        if name in shown.DESCRIPTOR.fields_by_name:
            shown.ClearField(name)
    if isinstance(shown, identifier_pb2.TaskExecutionIdentifier):
        shown.task_id.ClearField("resource_type")
    return NotFound(f"missing entity of type {kind} with identifier {text(shown)}")


def text(message: Message) -> str:
    """One line of proto text, as FlyteAdmin prints identifiers in its messages."""
    return proto_text(message)
