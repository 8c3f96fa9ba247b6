"""A stored document as a table holds it: in memory until it is on disk, then only as the place where it is."""

from __future__ import annotations

import gc
from collections.abc import Iterator
from contextlib import contextmanager

import orjson

from flytelite.errors import InvalidArgument
from flytelite.server.store import segments
from flytelite.server.store.interface import Document, Scalar
from flytelite.server.store.segments import Segment

Rows = dict[str, "Row"]
"""The rows of one table by key, in insertion order."""


class Row:
    """A document with what is needed to find it without reading it.

    ``content`` is its JSON text, or its place in ``segment``. ``order`` is its place in insertion order, unique in the
    store. ``columns`` are in the order of the table's columns. A row that is in a table counts as live in its segment.
    """

    __slots__ = ("columns", "content", "key", "order", "revision", "segment")

    def __init__(  # noqa: PLR0917  # made a hundred thousand times in a row
        self,
        key: str,
        order: int,
        revision: int,
        content: bytes | int,
        segment: Segment | None = None,
        columns: tuple[Scalar, ...] = (),
    ) -> None:
        self.key = key
        self.order = order
        self.revision = revision
        self.columns = columns
        self.content = content
        self.segment = segment

    def document(self) -> Document:
        """The document, a new one each time. Raises Unavailable when it cannot be read from disk."""
        if self.segment is None:
            document: Document = orjson.loads(self.content)  # type: ignore[arg-type]  # text when in no segment
            return document
        return self.segment.document(self.content)  # type: ignore[arg-type]  # a place when in a segment

    def put(self, content: bytes | int, segment: Segment | None) -> None:
        """Change the document, or where it is."""
        self.weigh(-1)
        self.content, self.segment = content, segment
        self.weigh(1)

    def weigh(self, sign: int) -> None:
        """Count the document as live (1) or no longer live (-1) in its segment."""
        if self.segment is not None:
            self.segment.live += sign * segments.length(self.content)  # type: ignore[arg-type]  # a place


@contextmanager
def bulk() -> Iterator[None]:
    """While rows are made by the thousand, all of which stay: the collector would look through them in vain.

    Neither does it look through them later: each time that would take a tenth of a second for 100,000.
    """
    enabled = gc.isenabled()
    gc.disable()
    try:
        yield
        gc.freeze()
    finally:
        if enabled:
            gc.enable()


def encode(table: str, key: str, document: Document) -> bytes:
    """The document as JSON text. Raises InvalidArgument, naming it, when it holds what JSON cannot."""
    try:
        return orjson.dumps(document)
    except TypeError as error:
        raise InvalidArgument(f"document {key!r} of {table} cannot be written as JSON: {error}") from error
