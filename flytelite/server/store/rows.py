"""A stored document as a table holds it."""

from __future__ import annotations

import orjson

from flytelite.errors import InvalidArgument
from flytelite.server.store.interface import Document, Scalar


class Row:
    """The document as JSON text, with what is needed to find it without reading that text.

    ``order`` is its place in insertion order, unique in the store. ``columns`` are in the order of the table's columns.
    """

    __slots__ = ("columns", "document", "key", "order", "revision")

    def __init__(self, key: str, order: int, revision: int, columns: tuple[Scalar, ...], document: bytes) -> None:
        self.key = key
        self.order = order
        self.revision = revision
        self.columns = columns
        self.document = document


def decode(encoded: bytes) -> Document:
    """The document of that JSON text; a new one each time."""
    document: Document = orjson.loads(encoded)
    return document


def encode(table: str, key: str, document: Document) -> bytes:
    """The document as JSON text. Raises InvalidArgument, naming it, when it holds what JSON cannot."""
    try:
        return orjson.dumps(document)
    except TypeError as error:
        raise InvalidArgument(f"document {key!r} of {table} cannot be written as JSON: {error}") from error
