"""A table of messages: columns to filter by, and one protobuf message kept as proto3 JSON."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any, Generic, NamedTuple, TypeVar

from google.protobuf import json_format
from google.protobuf.message import Message

from flytelite.errors import InvalidArgument
from flytelite.server.admin.message_parsing import parse
from flytelite.server.admin.message_printing import print_message
from flytelite.server.store.interface import Query, Store, TableSchema

M = TypeVar("M", bound=Message)

CACHED_BYTES = 1 << 20
"""So much memory is taken per table by decoded records.

Parsing proto3 JSON costs far more than keeping a screenful of lists. The newest record is kept whatever its size: the
task execution of a large array comes again with its next event.
"""
RECORD_BYTES = 1024
COLUMN_BYTES = 64
MESSAGE_FACTOR = 3
"""What a record, each of its columns, and each byte of its message as it is on the wire take in memory, roughly."""


@dataclass
class Record(Generic[M]):
    """A message with its columns. ``extra`` is JSON that belongs to it but is not part of the API message."""

    key: str
    message: M
    columns: dict[str, Any] = field(default_factory=dict)
    extra: dict[str, Any] = field(default_factory=dict)

    def size(self) -> int:
        """The bytes that it takes in memory, roughly."""
        return RECORD_BYTES + COLUMN_BYTES * len(self.columns) + MESSAGE_FACTOR * int(self.message.ByteSize())


class _Cached(NamedTuple, Generic[M]):
    """A decoded record, the revision of the document it was decoded from, and its size in bytes."""

    revision: int
    record: Record[M]
    size: int


class Records(Generic[M]):
    """The one place where messages become documents and documents messages.

    Records handed out by ``get`` and ``find``, and those given to ``put``, are shared: read them, and take an ``edit``
    copy to change one.
    """

    def __init__(
        self, store: Store, schema: TableSchema, message_type: type[M], cached_bytes: int = CACHED_BYTES
    ) -> None:
        self.table = store.table(schema)
        self.message_type = message_type
        self._cached_bytes = cached_bytes
        self._cache: OrderedDict[str, _Cached[M]] = OrderedDict()
        self._size = 0

    def get(self, key: str) -> Record[M] | None:
        """The record of that key, or None."""
        revision = self.table.revision(key)
        if revision is None:
            return None
        cached = self._cache.get(key)
        if cached is not None and cached.revision == revision:
            self._cache.move_to_end(key)
            return cached.record
        document = self.table.get(key)
        assert document is not None
        record = self._decode(key, document)
        self._keep(revision, record)
        return record

    def edit(self, key: str) -> Record[M] | None:
        """A private copy of the record, to change and ``put`` back."""
        record = self.get(key)
        if record is None:
            return None
        message = self.message_type()
        message.CopyFrom(record.message)
        return Record(key, message, dict(record.columns), dict(record.extra))

    def put(self, record: Record[M]) -> None:
        """Insert or replace; the record belongs to the table from here on.

        Raises InvalidArgument for what proto3 JSON cannot say: a timestamp beyond its years, NaN inside a Struct.
        """
        try:
            message = print_message(record.message)
        except (json_format.SerializeToJsonError, ValueError) as error:
            raise InvalidArgument(
                f"{self.message_type.DESCRIPTOR.name} {record.key} cannot be kept: {error}"
            ) from error
        self.table.put(record.key, {**record.columns, "extra": record.extra, "message": message})
        revision = self.table.revision(record.key)
        assert revision is not None
        self._keep(revision, record)

    def remove(self, key: str) -> None:
        """Remove if present."""
        self.table.remove(key)
        self._forget(key)

    def find(self, query: Query, among: Iterable[str] | None = None) -> list[Record[M]]:
        """The records that answer the query, in its order."""
        found = (self.get(key) for key in self.table.keys(query, among))
        return [record for record in found if record is not None]

    def __contains__(self, key: object) -> bool:
        return key in self.table

    def _keep(self, revision: int, record: Record[M]) -> None:
        self._forget(record.key)
        kept = _Cached(revision, record, record.size())
        self._cache[record.key] = kept
        self._size += kept.size
        while self._size > self._cached_bytes and len(self._cache) > 1:
            self._forget(next(iter(self._cache)))

    def _forget(self, key: str) -> None:
        kept = self._cache.pop(key, None)
        if kept is not None:
            self._size -= kept.size

    def _decode(self, key: str, document: dict[str, Any]) -> Record[M]:
        message = parse(document.pop("message"), self.message_type)
        extra = document.pop("extra", {})
        return Record(key, message, document, extra)
