"""What the control plane asks of a store: tables of JSON documents, atomic batches, and word of durability.

Two stores speak it: the journal (``journal.py``, files) and its memory twin (``memory.py``). One test suite runs
against both.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Protocol

Scalar = str | int | float | bool | None
Document = dict[str, Any]
"""A JSON object. Its top-level keys named by the table's schema are columns and hold scalars; the rest is payload."""


class Operator(StrEnum):
    """Comparisons of FlyteAdmin's filter grammar (flyteadmin/pkg/common/filters.go)."""

    EQUAL = "eq"
    NOT_EQUAL = "ne"
    GREATER = "gt"
    GREATER_OR_EQUAL = "gte"
    LESS = "lt"
    LESS_OR_EQUAL = "lte"
    CONTAINS = "contains"  # LIKE '%value%': % and _ in the value are wildcards, case matters
    NOT_LIKE = "not_like"  # NOT LIKE 'value'
    IN = "value_in"
    NOT_IN = "value_not_in"


@dataclass(frozen=True)
class Condition:
    """One comparison of a column; IN and NOT_IN take any number of values, all others exactly one.

    As in SQL a missing (None) column satisfies no comparison, except EQUAL and NOT_EQUAL against None itself.
    """

    column: str
    operator: Operator
    values: tuple[Scalar, ...]


@dataclass(frozen=True)
class Query:
    """All conditions hold. Ties, and lists without ``order_by``, come in insertion order (or its reverse)."""

    conditions: tuple[Condition, ...] = ()
    order_by: str | None = None
    descending: bool = False
    offset: int = 0
    limit: int | None = None


@dataclass(frozen=True)
class TableSchema:
    """A table's name and the columns that lists filter and sort by.

    ``indexed`` columns get an equality index (those a list names with eq or value_in, and parents of children);
    ``sorted`` columns keep their order as writes come, so that a page never sorts the whole table.

    Documents whose keys share their first ``partition`` parts (between slashes) are read and forgotten together; 0
    keeps the whole table's keys and columns in memory. The ``indexed`` columns of a partitioned table hold keys that
    begin with those parts too: EQUAL and IN on one of them tell which partitions to look into, and a query without
    reads them all.
    """

    name: str
    columns: frozenset[str] = field(default_factory=frozenset)
    indexed: frozenset[str] = field(default_factory=frozenset)
    sorted: frozenset[str] = field(default_factory=frozenset)
    partition: int = 0


class Table(Protocol):
    """Documents by key, in insertion order. Documents handed out are private copies unless said otherwise."""

    schema: TableSchema

    def get(self, key: str) -> Document | None: ...

    def put(self, key: str, document: Document) -> None:
        """Insert or replace. A replaced document keeps its place in insertion order."""

    def remove(self, key: str) -> list[str]:
        """Remove if present. Returns the keys removed."""

    def revision(self, key: str) -> int | None:
        """A number that is new with each change of that document and never used again; None when it is absent."""

    def __contains__(self, key: object) -> bool: ...

    def __len__(self) -> int: ...

    def keys(self, query: Query, among: Iterable[str] | None = None) -> list[str]:
        """The keys of the documents that answer the query, in its order; ``among`` restricts it to some keys."""

    def position(self, query: Query, key: str, among: Iterable[str] | None = None) -> int | None:
        """How many documents come before that of ``key`` in the query's whole list; None when it is not in it."""

    def count(self, conditions: Sequence[Condition] = (), among: Iterable[str] | None = None) -> int:
        """How many documents satisfy all conditions."""


class Store(Protocol):
    """Tables over one journal. Not thread-safe: one event loop reads and writes it."""

    def table(self, schema: TableSchema) -> Table:
        """The table of that schema; made, or its indexes rebuilt, at the first call."""

    def batch(self, *, insist: bool = False) -> AbstractContextManager[None]:
        """Changes inside are one atomic journal entry; an exception undoes them. Batches nest into the outermost.

        ``insist``: they are taken even when too much waits for the disk.
        """

    @property
    def position(self) -> int:
        """The number of journal entries appended so far (a batch that changes nothing appends none)."""

    async def durable(self, position: int | None = None, *, patient: bool = False) -> None:
        """Wait until the entries up to ``position`` (default: all) survive power loss. Raises Unavailable or
        ResourceExhausted when the disk refuses them; ``patient``: waits for as long as it does."""

    async def close(self) -> None:
        """Write and sync what is pending, release the directory."""
