"""What the writer's thread does while the disk refuses, is slow, or works."""

from __future__ import annotations

import asyncio
import errno
import os
from pathlib import Path

import pytest

from flytelite.errors import FlyteError, ResourceExhausted, Unavailable
from flytelite.server.store.interface import TableSchema
from flytelite.server.store.journal import JournalStore

from .disks import FailingDisk, SlowDisk
from .store_directories import last_segment, read


@pytest.mark.parametrize("call", ["write", "sync", "create", "sync_directory"])
@pytest.mark.parametrize(
    ("error", "expected"),
    [(errno.ENOSPC, ResourceExhausted), (errno.EDQUOT, ResourceExhausted), (errno.EIO, Unavailable)],
)
def test_when_the_disk_refuses_nothing_is_acknowledged_until_it_works_again(
    tmp_path: Path, runs: TableSchema, call: str, error: int, expected: type[FlyteError]
) -> None:
    disk = FailingDisk(call)

    async def scenario() -> None:
        store = JournalStore.open(tmp_path, disk=disk, segment_bytes=1)
        table = store.table(runs)
        table.put("before", {"name": "before"})
        await store.durable()
        disk.error = error
        for key in "ab":
            table.put(key, {"name": key})
            with pytest.raises(expected, match=os.strerror(error)):
                await store.durable()
        assert table.get("before") == {"name": "before"}
        assert table.get("b") == {"name": "b"}
        disk.error = None
        table.put("c", {"name": "c"})
        await store.durable()
        await store.close()

    asyncio.run(scenario())
    documents, store = read(tmp_path, runs)
    assert list(documents) == ["before", "a", "b", "c"]
    assert not store.damages


def test_it_recovers_when_nobody_asks(tmp_path: Path, runs: TableSchema) -> None:
    disk = FailingDisk("write")

    async def scenario() -> None:
        store = JournalStore.open(tmp_path, disk=disk)
        disk.error = errno.ENOSPC
        store.table(runs).put("a", {})
        with pytest.raises(ResourceExhausted):
            await store.durable()
        disk.synced.clear()
        disk.error = None
        assert await asyncio.to_thread(disk.synced.wait, 10)
        await store.close()

    asyncio.run(scenario())
    assert list(read(tmp_path, runs)[0]) == ["a"]


def test_closing_on_a_full_disk_says_so_and_releases(tmp_path: Path, runs: TableSchema) -> None:
    disk = FailingDisk("write")
    store = JournalStore.open(tmp_path, disk=disk)
    disk.error = errno.ENOSPC
    store.table(runs).put("a", {})
    with pytest.raises(ResourceExhausted, match="free some space"):
        asyncio.run(store.close())
    assert list(read(tmp_path, runs)[0]) == []


def test_what_waits_for_a_full_disk_is_bounded(tmp_path: Path, runs: TableSchema) -> None:
    disk = FailingDisk("write")

    async def scenario() -> None:
        store = JournalStore.open(tmp_path, disk=disk, pending_bytes=10_000)
        table = store.table(runs)
        disk.error = errno.ENOSPC
        table.put("first", {"name": "x" * 20_000})
        with pytest.raises(ResourceExhausted):
            await store.durable()
        with pytest.raises(ResourceExhausted):
            table.put("second", {})
        assert "second" not in table
        with store.batch(insist=True):
            table.put("insisted", {})
        patient = asyncio.create_task(store.durable(patient=True))
        with pytest.raises(ResourceExhausted):
            await store.durable()
        assert not patient.done()
        disk.error = None
        await patient
        table.put("second", {})
        await store.close()

    asyncio.run(scenario())
    assert list(read(tmp_path, runs)[0]) == ["first", "insisted", "second"]


def test_writers_that_wait_together_share_one_sync(tmp_path: Path, runs: TableSchema) -> None:
    disk = SlowDisk()

    async def scenario() -> None:
        disk.go.set()
        store = JournalStore.open(tmp_path, disk=disk)
        table = store.table(runs)
        disk.go.clear()
        disk.syncs = 0

        async def one(number: int) -> None:
            table.put(str(number), {"name": "x"})
            await store.durable(store.position)

        tasks = [asyncio.create_task(one(number)) for number in range(100)]
        await asyncio.to_thread(disk.syncing.wait, 10)
        assert not any(task.done() for task in tasks)
        disk.go.set()
        await asyncio.gather(*tasks)
        assert disk.syncs <= 3
        await store.close()

    asyncio.run(scenario())
    assert len(read(tmp_path, runs)[0]) == 100


def test_relaxed_durability_waits_for_the_write_and_syncs_by_itself(tmp_path: Path, runs: TableSchema) -> None:
    disk = SlowDisk()

    async def scenario() -> None:
        disk.go.set()
        store = JournalStore.open(tmp_path, disk=disk, sync_every=2)
        table = store.table(runs)
        disk.go.clear()
        disk.syncs = 0
        for number in range(10):
            table.put(str(number), {"name": "x"})
            await store.durable()
            assert len(last_segment(tmp_path).read_bytes().rstrip(b" ").splitlines()) == number + 1
        assert not disk.syncs
        assert isinstance(table._rows["0"].content, bytes), "in memory until it is synced"
        assert await asyncio.to_thread(disk.syncing.wait, 30), "nobody asked"
        disk.go.set()
        await store._synced()
        assert isinstance(table._rows["0"].content, int)
        assert disk.syncs <= 2
        await store.close()

    asyncio.run(scenario())
    assert len(read(tmp_path, runs)[0]) == 10


@pytest.mark.parametrize("call", ["write", "sync"])
def test_with_relaxed_durability_a_refusing_disk_is_told_of_and_costs_nothing(
    tmp_path: Path, runs: TableSchema, call: str
) -> None:
    disk = FailingDisk(call)

    async def scenario() -> None:
        store = JournalStore.open(tmp_path, disk=disk, sync_every=60, segment_bytes=300)
        table = store.table(runs)
        for key in "abcdef":
            table.put(key, {"name": key * 50})
            await store.durable()
        disk.error = errno.ENOSPC
        table.put("g", {"name": "g"})
        with pytest.raises(ResourceExhausted):
            await store._synced()
        table.put("h", {"name": "h"})
        with pytest.raises(ResourceExhausted):
            await store.durable()
        disk.error = None
        await store.durable()
        table.put("i", {"name": "i"})
        await store.close()

    asyncio.run(scenario())
    documents, store = read(tmp_path, runs)
    assert list(documents) == list("abcdefghi")
    assert not store.damages


def test_lines_are_written_over_blanks_which_go_in_the_end(tmp_path: Path, runs: TableSchema) -> None:
    async def scenario() -> None:
        store = JournalStore.open(tmp_path)
        table = store.table(runs)
        sizes = set()
        for number in range(20):
            table.put(str(number), {"name": "x"})
            await store.durable()
            text = last_segment(tmp_path).read_bytes()
            assert text.rstrip(b" ").endswith(b"\n")
            sizes.add(len(text))
        assert len(sizes) == 1, "the file does not grow with each line"
        await store.close()

    asyncio.run(scenario())
    assert last_segment(tmp_path).read_bytes().endswith(b"\n")
    assert len(read(tmp_path, runs)[0]) == 20
