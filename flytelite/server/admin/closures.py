"""Compiled workflows, each stored once under the digest of its content.

The content is everything but the workflow's own identifier: a dynamic node makes a workflow of a new version at each
run, and it is nearly always the same workflow.
"""

from __future__ import annotations

import hashlib
from typing import Any, TypeAlias

import orjson
from flyteidl.core import compiler_pb2, identifier_pb2
from google.protobuf import json_format

from flytelite.errors import InvalidArgument
from flytelite.server.admin.message_printing import print_message
from flytelite.server.admin.records import Records
from flytelite.server.store.interface import Store, TableSchema

CLOSURES = TableSchema("closures")
Closure: TypeAlias = compiler_pb2.CompiledWorkflowClosure
CACHED_BYTES = 8 << 20
"""Each launch needs its workflow's closure, and that of a large workflow takes a megabyte."""


class Closures:
    """Content-addressed CompiledWorkflowClosures."""

    def __init__(self, store: Store) -> None:
        self._records = Records(store, CLOSURES, Closure, CACHED_BYTES)

    def put(self, closure: Closure) -> str:
        """Store the closure unless its content is there already; returns its digest.

        Raises InvalidArgument for what proto3 JSON cannot say, such as NaN inside a Struct.
        """
        content = without_id(closure)
        try:
            document = print_message(content)
        except (json_format.SerializeToJsonError, ValueError) as error:
            raise InvalidArgument(f"the workflow cannot be kept: {error}") from error
        digest = digest_of(document)
        if digest not in self._records.table:
            self._records.table.put(digest, {"message": document})
        return digest

    def get(self, digest: str, id: identifier_pb2.Identifier) -> Closure | None:
        """The closure of that content and the Identifier, or None."""
        record = self._records.get(digest)
        return None if record is None else with_id(record.message, id)


def without_id(closure: Closure) -> Closure:
    """What is stored of a closure."""
    content = Closure()
    content.CopyFrom(closure)
    content.primary.template.ClearField("id")
    return content


def with_id(content: Closure, id: identifier_pb2.Identifier) -> Closure:
    """The closure of which that is stored."""
    closure = Closure()
    closure.CopyFrom(content)
    closure.primary.template.id.CopyFrom(id)
    return closure


def digest_of(content: dict[str, Any]) -> str:
    """The key of a closure: SHA-256 of its content as JSON."""
    return hashlib.sha256(orjson.dumps(content, option=orjson.OPT_SORT_KEYS)).hexdigest()
