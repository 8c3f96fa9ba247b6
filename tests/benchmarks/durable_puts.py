"""The same durable puts by the store and by SQLite, which bench_store.py prints side by side."""

from __future__ import annotations

import asyncio
import sqlite3
import statistics
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import orjson

from flytelite.server.store.interface import Query, TableSchema
from flytelite.server.store.journal import JournalStore

PUTS, WRITERS, ROUNDS = 300, 16, 21


def beside_sqlite(place: Path, text: bytes) -> Iterator[tuple[str, float, float]]:
    """Durable puts per second of both, by turns in one run: one after the other, and by 16 writers at once."""
    document = orjson.loads(text)
    for title, writers in (("one writer", 1), (f"{WRITERS} writers", WRITERS)):
        ours, theirs = [], []
        for number in range(ROUNDS):
            ours.append(asyncio.run(journal_puts(place / f"journal-{writers}-{number}", document, writers)))
            theirs.append(sqlite_puts(place / f"{writers}-{number}.sqlite", text.decode(), writers))
        yield title, statistics.median(ours), statistics.median(theirs)


async def journal_puts(place: Path, document: dict[str, Any], writers: int) -> float:
    store = JournalStore.open(place)
    table = store.table(TableSchema("node_executions"))

    async def write(writer: int) -> None:
        for number in range(PUTS):
            table.put(f"{writer}/{number}", document)
            await store.durable(store.position)

    began = time.perf_counter()
    await asyncio.gather(*map(write, range(writers)))
    seconds = time.perf_counter() - began
    assert len(table.keys(Query())) == writers * PUTS
    await store.close()
    return writers * PUTS / seconds


def sqlite_puts(path: Path, text: str, writers: int) -> float:
    connection = sqlite3.connect(path)
    connection.execute("PRAGMA journal_mode=WAL")
    connection.execute("CREATE TABLE node_executions (key TEXT PRIMARY KEY, document TEXT)")
    connection.close()

    def write(writer: int) -> None:
        own = sqlite3.connect(path, timeout=60, isolation_level=None)
        own.execute("PRAGMA synchronous=FULL")
        for number in range(PUTS):
            own.execute("INSERT OR REPLACE INTO node_executions VALUES (?, ?)", (f"{writer}/{number}", text))
        own.close()

    threads = [threading.Thread(target=write, args=(writer,)) for writer in range(writers)]
    began = time.perf_counter()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return writers * PUTS / (time.perf_counter() - began)
