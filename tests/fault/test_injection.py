"""The store on a disk that fails at any one of its calls: no acknowledged write is lost, and nothing crashes."""

from __future__ import annotations

import asyncio
import errno
import os
import random
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

from flytelite.errors import FlyteError, ResourceExhausted, Unavailable
from flytelite.server.store import writer
from flytelite.server.store.disk import Disk
from flytelite.server.store.interface import Query, TableSchema
from flytelite.server.store.journal import JournalStore

TABLES = (TableSchema("plain", indexed=frozenset({"phase"})), TableSchema("parts", partition=1))
STEPS = 40
SEGMENT_BYTES = 1500
CALLS = ("create", "open", "write", "sync", "truncate", "rename", "remove", "sync_directory")
SLOW_SECONDS = 0.05


State = dict[tuple[str, str], Any]


class FaultyDisk(Disk):
    """A disk whose calls number ``first`` to ``last``, counted over all threads and kinds, go wrong in one way.

    It does not really sync: no power is lost here, and the test takes a tenth of the time.
    """

    def __init__(self, fault: str = "", first: int = 0, last: int = 0) -> None:
        self.fault, self.first, self.last = fault, first, last
        self.calls: list[str] = []

    def write(self, descriptor: int, data: bytes, offset: int) -> None:
        hit = self._is_hit("write")
        if hit and self.fault == "short write":
            super().write(descriptor, data[: len(data) // 2], offset)
        self._fail(hit)
        super().write(descriptor, data, offset)

    def sync(self, descriptor: int) -> None:
        hit = self._is_hit("sync")
        if hit and self.fault == "slow":
            time.sleep(SLOW_SECONDS)
        self._fail(hit)

    def _fail(self, hit: bool) -> None:
        number = {"short write": errno.ENOSPC, "ENOSPC": errno.ENOSPC, "EIO": errno.EIO}.get(self.fault)
        if hit and number is not None:
            raise OSError(number, os.strerror(number))

    def _is_hit(self, name: str) -> bool:
        self.calls.append(name)
        return self.first <= len(self.calls) <= self.last


def _checked(name: str) -> Callable[..., Any]:
    original = getattr(Disk, name)

    def call(self: FaultyDisk, *arguments: Any) -> Any:
        self._fail(self._is_hit(name))
        return original(self, *arguments)

    return call


for _name in set(CALLS) - {"write", "sync"}:
    setattr(FaultyDisk, _name, _checked(_name))


class Workload:
    """Random batches over both tables. The last of ``states`` is what the store should hold; the first is the last one
    that was acknowledged. After a refusal any of them may be on disk, since each batch is there whole or not at all."""

    def __init__(self, seed: int) -> None:
        self.chance = random.Random(seed)
        self.states: list[State] = [{}]
        self.refusals = 0

    async def run(self, directory: Path, disk: Disk) -> None:
        store = await self._open(directory, disk)
        assert not store.damages
        tables = {schema.name: store.table(schema) for schema in TABLES}
        self.check(tables)
        for step in range(STEPS):
            changed = dict(self.states[-1])
            with store.batch():
                for _ in range(self.chance.randint(1, 3)):
                    self._change(tables, changed, step)
            self.states.append(changed)
            await self._acknowledged(store.durable())
            assert contents(tables) == changed
        await self._acknowledged(store.close())

    def check(self, tables: dict[str, Any]) -> None:
        """What was found after opening is one of the states that may be, and from now on the only one."""
        found = contents(tables)
        assert found in self.states
        self.states = [found]

    async def _acknowledged(self, wait: Awaitable[None]) -> None:
        try:
            await wait
            self.states = self.states[-1:]
        except (ResourceExhausted, Unavailable):
            self.refusals += 1

    def _change(self, tables: dict[str, Any], changed: dict[tuple[str, str], Any], step: int) -> None:
        name = self.chance.choice([schema.name for schema in TABLES])
        key = f"{self.chance.randrange(6)}/{self.chance.randrange(4)}"
        if self.chance.random() < 0.2:
            tables[name].remove(key)
            changed.pop((name, key), None)
        else:
            document = {"phase": self.chance.choice("AB"), "step": step, "text": "x" * self.chance.randrange(200)}
            tables[name].put(key, document)
            changed[name, key] = document

    async def _open(self, directory: Path, disk: Disk) -> JournalStore:
        while True:
            try:
                return JournalStore.open(directory, disk=disk, segment_bytes=SEGMENT_BYTES)
            except FlyteError as error:
                assert isinstance(error, (ResourceExhausted, Unavailable)), error
                self.refusals += 1


def contents(tables: dict[str, Any]) -> State:
    return {(name, key): table.get(key) for name, table in tables.items() for key in table.keys(Query())}


async def twice(directory: Path, disk: Disk, seed: int) -> Workload:
    """Fill a store, and open and fill it again."""
    work = Workload(seed)
    await work.run(directory, disk)
    await work.run(directory, disk)
    return work


def count_calls(directory: Path) -> list[str]:
    disk = FaultyDisk()
    asyncio.run(twice(directory, disk, 1))
    return disk.calls


def run_with(fault: str, first: int, last: int, directory: Path) -> None:
    work = asyncio.run(twice(directory, FaultyDisk(fault, first, last), first))
    store = JournalStore.open(directory)
    assert not store.damages, (fault, first, store.damages)
    work.check({schema.name: store.table(schema) for schema in TABLES})
    asyncio.run(store.close())


@pytest.fixture(autouse=True)
def short_blanks(monkeypatch: pytest.MonkeyPatch) -> None:
    """Blanks for one or two entries, so that some are written over blanks and others beyond."""
    monkeypatch.setattr(writer, "PADDING", b" " * 700)


def inject(tmp_path: Path, every: int) -> None:
    calls = count_calls(tmp_path / "counted")
    assert {"create", "write", "sync", "open", "rename", "remove", "sync_directory"} <= set(calls), (
        "compaction is among it"
    )
    for fault, length, step, kinds in (
        ("short write", 1, 1, ("write",)),
        ("ENOSPC", 1, 1, CALLS),
        ("EIO", 1, 1, CALLS),
        ("EIO", 6, 3, CALLS),
        ("ENOSPC", 40, 3, CALLS),
        ("slow", 2, 2, ("sync",)),
    ):
        sites = [number for number, call in enumerate(calls, start=1) if call in kinds]
        for first in sites[:: step * every]:
            run_with(fault, first, first + length - 1, tmp_path / f"{fault}-{first}-{length}")


def test_a_fault_at_some_of_the_calls(tmp_path: Path) -> None:
    inject(tmp_path, 101)


@pytest.mark.soak
@pytest.mark.timeout(900)
def test_a_fault_at_every_call(tmp_path: Path) -> None:
    inject(tmp_path, 1)
