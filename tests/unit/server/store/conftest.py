from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path

import pytest

from flytelite.server.store.interface import Store, TableSchema
from flytelite.server.store.journal import JournalStore
from flytelite.server.store.memory import MemoryStore

RUNS = TableSchema(
    "runs",
    columns=frozenset({"name", "phase", "started", "note"}),
    indexed=frozenset({"phase"}),
    sorted=frozenset({"started"}),
)


@pytest.fixture(params=["memory", "journal"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Store]:
    """Each store that speaks the interface."""
    if request.param == "memory":
        yield MemoryStore()
        return
    journal = JournalStore.open(tmp_path / "store", segment_bytes=4096)
    yield journal
    asyncio.run(journal.close())


@pytest.fixture
def runs() -> TableSchema:
    """A table with a plain, an equality-indexed and a sorted column."""
    return RUNS
