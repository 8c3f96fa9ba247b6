"""Literal maps, each stored once under the digest of its content: execution inputs, inline inputs and outputs.

FlyteAdmin offloads them to blob storage (``flyteadmin/pkg/common/data_store.go``). Here a map is referred to by an
URI that only this server resolves; clients are handed the map itself.
"""

from __future__ import annotations

import hashlib
from base64 import b64decode, b64encode
from typing import Any

from flyteidl.core import literals_pb2
from google.protobuf import json_format
from google.protobuf.message import DecodeError

from flytelite.config import Settings
from flytelite.errors import Internal, ResourceExhausted
from flytelite.server.admin.message_parsing import parse
from flytelite.server.admin.message_printing import print_message
from flytelite.server.admin.objects import Objects
from flytelite.server.store.interface import Document, Store, TableSchema

LITERAL_MAPS = TableSchema("literal_maps")
SCHEME = "flytelite://literal_maps/"
READABLE_BYTES = 64 * 1024
"""Larger maps are kept as base64 of their binary form: as JSON they are for no one to read and slow to parse."""

CLIENT_BYTES = 20 * 1024 * 1024
"""The largest message that flytekit takes."""
MOST_BYTES = 1 << 28
"""A larger file is not read into memory."""

EMPTY = literals_pb2.LiteralMap()


class LiteralMaps:
    """Content-addressed literal maps. Maps handed out are private copies."""

    def __init__(self, store: Store) -> None:
        self._table = store.table(LITERAL_MAPS)

    def put(self, map: literals_pb2.LiteralMap) -> str:
        """Store the LiteralMap unless it is there already; returns its digest (SHA-256, hex)."""
        encoded = map.SerializeToString(deterministic=True)
        digest = hashlib.sha256(encoded).hexdigest()
        if digest not in self._table:
            self._table.put(digest, document_of(map, encoded))
        return digest

    def get(self, digest: str) -> literals_pb2.LiteralMap | None:
        """The LiteralMap of that digest, or None."""
        document = self._table.get(digest)
        return None if document is None else map_of(digest, document)

    def offload(self, map: literals_pb2.LiteralMap) -> str:
        """Store the LiteralMap and return an URI for ``resolve``."""
        return SCHEME + self.put(map)

    def resolve(self, uri: str) -> literals_pb2.LiteralMap | None:
        """The LiteralMap behind an URI that ``offload`` gave; None for any other URI."""
        return self.get(uri.removeprefix(SCHEME)) if uri.startswith(SCHEME) else None


class LiteralReader:
    """Reads the LiteralMap at an URI, whether it lies in the store or in a file of the bucket."""

    def __init__(self, literal_maps: LiteralMaps, objects: Objects, settings: Settings) -> None:
        self._literal_maps = literal_maps
        self._objects = objects
        self._largest = settings.max_message_bytes
        self._room = min(self._largest, CLIENT_BYTES) * 19 // 20

    def fill(self, answer: Any, inputs_uri: str, outputs_uri: str) -> None:
        """Put inputs and outputs into the answer to a data RPC, which has all else already.

        Of a file that does not fit into a message that clients take goes the address, as with FlyteAdmin
        (``manager/impl/util/data.go``): its path, since flytekit takes the ? of a signed URL for a pattern.
        """
        answer.inputs.SetInParent()
        answer.outputs.SetInParent()
        room = self._room - answer.ByteSize()
        for uri, full, blob in (
            (inputs_uri, answer.full_inputs, answer.inputs),
            (outputs_uri, answer.full_outputs, answer.outputs),
        ):
            full.SetInParent()
            size = self._objects.size(uri)
            if size is not None and size > room:
                blob.url, blob.bytes = uri, size
            else:
                full.CopyFrom(self.read(uri))
                room -= full.ByteSize()

    def alone(self, uri: str) -> literals_pb2.LiteralMap:
        """The map as ``read`` gives it, for an answer that holds nothing else.

        Raises ResourceExhausted for a file that no answer can hold, which is not even read.
        """
        size = self._objects.size(uri)
        if size is not None and size > self._largest:
            raise ResourceExhausted(
                f"{uri} has {size} bytes, more than the {self._largest} of an answer (flytelite's setting "
                "max_message_bytes); read it by its path"
            )
        return self.read(uri)

    def find(self, uri: str) -> literals_pb2.LiteralMap | None:
        """The map; None when there is no such object, or it is no LiteralMap."""
        if uri.startswith(SCHEME):
            return self._literal_maps.resolve(uri)
        content = self._objects.read(uri, MOST_BYTES) if uri else None
        if content is None:
            return None
        map = literals_pb2.LiteralMap()
        try:
            map.ParseFromString(content)
        except DecodeError:
            return None
        return map

    def read(self, uri: str) -> literals_pb2.LiteralMap:
        """The map, or an empty one: unreadable data never fails a request (``manager/impl/util/data.go``)."""
        map = self.find(uri)
        return EMPTY if map is None else map


def document_of(map: literals_pb2.LiteralMap, encoded: bytes) -> Document:
    """The document that keeps the LiteralMap; ``encoded`` is its binary form, whose digest is the document's key."""
    if len(encoded) <= READABLE_BYTES:
        try:
            return {"message": print_message(map)}
        except (json_format.SerializeToJsonError, ValueError):
            # Proto3 JSON has no words for some values, e.g. NaN inside a Struct or a year beyond 9999.
            pass
    return {"binary": b64encode(encoded).decode()}


def map_of(digest: str, document: Document) -> literals_pb2.LiteralMap:
    """The LiteralMap that the document of that digest keeps. Raises Internal."""
    try:
        if "binary" in document:
            return literals_pb2.LiteralMap.FromString(b64decode(document["binary"]))
        return parse(document["message"], literals_pb2.LiteralMap)
    except (DecodeError, json_format.ParseError, ValueError, KeyError) as error:
        raise Internal(f"literal map {digest} in the store cannot be read: {error}") from error
