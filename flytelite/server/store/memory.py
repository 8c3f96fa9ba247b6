"""The store that keeps nothing: for tests, and for trying things out."""

from __future__ import annotations

from contextlib import AbstractContextManager

from flytelite.server.store.batches import Batches, Change
from flytelite.server.store.interface import TableSchema
from flytelite.server.store.partitions import Partitions
from flytelite.server.store.tables import Table, Tables


class MemoryStore:
    """A Store whose documents end with the process. Everything is durable as far as it can be: at once."""

    def __init__(self) -> None:
        self._position = 0
        self._batches = Batches(self._append)
        self._tables = Tables(self._batches, Partitions({}))

    def table(self, schema: TableSchema) -> Table:
        """The table of that schema. Raises Internal when the name was taken with another schema."""
        return self._tables.table(schema)

    def batch(self, *, insist: bool = False) -> AbstractContextManager[None]:
        """Changes inside are one atomic entry; an exception undoes them. Batches nest into the outermost."""
        return self._batches.batch()

    @property
    def position(self) -> int:
        """The number of entries so far."""
        return self._position

    async def durable(self, position: int | None = None, *, patient: bool = False) -> None:
        """Nothing to wait for."""

    async def close(self) -> None:
        """Nothing to release."""

    def _append(self, changes: list[Change]) -> None:
        self._position += 1
