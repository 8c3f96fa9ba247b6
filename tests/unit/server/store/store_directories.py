"""Stores in directories: their files, and what a process would write to and find in them."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

from flytelite.server.store.interface import Query, TableSchema
from flytelite.server.store.journal import JournalStore


def last_segment(directory: Path) -> Path:
    return max(directory.glob("journal-*.jsonl"))


def forget_closing(directory: Path) -> None:
    """Leave the store as a server does that is killed."""
    (directory / "closed.json").unlink()


def write(directory: Path, runs: TableSchema, keys: str, **options: Any) -> None:
    """Put one document per key, each an entry of its own."""

    async def scenario() -> None:
        store = JournalStore.open(directory, **options)
        for key in keys:
            store.table(runs).put(key, {"name": key, "phase": "A", "started": ord(key)})
        await store.close()

    asyncio.run(scenario())


def read(directory: Path, runs: TableSchema) -> tuple[dict[str, Any], JournalStore]:
    """What a fresh process would find; the store is closed already."""
    store = JournalStore.open(directory)
    table = store.table(runs)
    documents = {key: table.get(key) for key in table.keys(Query())}
    asyncio.run(store.close())
    return documents, store
