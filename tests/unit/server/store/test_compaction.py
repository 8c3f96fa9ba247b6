from __future__ import annotations

import asyncio
import errno
import logging
import os
import shutil
import threading
from pathlib import Path
from typing import Any, ClassVar

import pytest

from flytelite.server.store import maintenance
from flytelite.server.store.disk import SYNCED_AT_ONCE, Disk
from flytelite.server.store.interface import Condition, Operator, Query, TableSchema
from flytelite.server.store.journal import JournalStore

OTHER = TableSchema("other")
SEGMENT_BYTES = 4096


class WatchedDisk(Disk):
    """Stops at the renaming of a compacted segment until let go, or fails there; keeps a copy of what a kill leaves."""

    def __init__(self, directory: Path, copies: Path | None = None) -> None:
        self.directory = directory
        self.copies = copies
        self.compactions = 0
        self.go = threading.Event()
        self.go.set()
        self.waiting = threading.Event()
        self.error: int | None = None

    def rename(self, source: Path, target: Path) -> None:
        if not target.name.startswith("journal-") or target.suffix != ".jsonl":
            return super().rename(source, target)
        self.waiting.set()
        assert self.go.wait(10)
        if self.error:
            raise OSError(self.error, os.strerror(self.error))
        self.keep("before")
        super().rename(source, target)
        self.keep("after")
        self.compactions += 1
        return None

    def keep(self, moment: str) -> None:
        if self.copies is not None:
            shutil.copytree(self.directory, self.copies / f"{moment}-{self.compactions}")


async def rewrite(store: JournalStore, runs: TableSchema, rounds: int, keys: int = 20) -> None:
    """Write the same documents again and again: all but the last round is history."""
    for number in range(rounds):
        for key in range(keys):
            store.table(runs).put(str(key), {"name": "x" * 50, "phase": "AB"[key % 2], "started": number})
        await store.durable()


def contents(store: JournalStore, runs: TableSchema) -> dict[str, Any]:
    table = store.table(runs)
    return {key: table.get(key) for key in table.keys(Query())}


def used(directory: Path) -> int:
    return sum(path.stat().st_size for path in directory.glob("journal-*"))


def test_history_goes_and_documents_stay(tmp_path: Path, runs: TableSchema) -> None:
    disk = WatchedDisk(tmp_path)

    async def scenario() -> dict[str, Any]:
        store = JournalStore.open(tmp_path, segment_bytes=SEGMENT_BYTES, disk=disk)
        store.table(OTHER).put("kept", {"since": "the beginning"})
        store.table(runs).put("gone", {"name": "y" * 100})
        store.table(runs).remove("gone")
        for _ in range(100):
            await rewrite(store, runs, 1)
            if store._maintenance.task is not None:
                await store._maintenance.task
        expected = contents(store, runs)
        await store.close()
        return expected

    expected = asyncio.run(scenario())
    assert disk.compactions > 3
    live = len(expected) * 200
    assert used(tmp_path) < 3 * live + 4 * SEGMENT_BYTES, "of 400,000 bytes written"
    assert not list(tmp_path.glob("*.tmp"))
    store = JournalStore.open(tmp_path)
    assert not store.damages
    assert contents(store, runs) == expected
    assert store.position == 2003
    assert store.table(OTHER).get("kept") == {"since": "the beginning"}
    is_a = Condition("phase", Operator.EQUAL, ("A",))
    assert store.table(runs).keys(Query((is_a,), limit=3)) == ["0", "2", "4"]
    asyncio.run(store.close())


def test_changes_during_a_compaction_are_kept(tmp_path: Path, runs: TableSchema) -> None:
    disk = WatchedDisk(tmp_path)
    disk.go.clear()

    async def scenario() -> dict[str, Any]:
        store = JournalStore.open(tmp_path, segment_bytes=SEGMENT_BYTES, disk=disk)
        await rewrite(store, runs, 20)
        await asyncio.to_thread(disk.waiting.wait, 10)
        table = store.table(runs)
        table.put("0", {"name": "changed"})
        table.remove("1")
        table.remove("2")
        table.put("2", {"name": "at the end"})
        with pytest.raises(RuntimeError), store.batch():
            table.put("3", {"name": "undone"})
            table.remove("4")
            raise RuntimeError
        await store.durable()
        disk.go.set()
        expected = contents(store, runs)
        assert store._maintenance.task is not None
        await store._maintenance.task
        assert contents(store, runs) == expected
        await store.close()
        return expected

    expected = asyncio.run(scenario())
    assert disk.compactions == 1
    assert next(iter(expected)) == "0"
    assert list(expected)[-1] == "2"
    store = JournalStore.open(tmp_path)
    assert contents(store, runs) == expected
    assert "1" not in store.table(runs)
    asyncio.run(store.close())


@pytest.mark.parametrize("moment", ["before-0", "after-0", "before-1", "after-1"])
def test_a_kill_at_any_point_loses_nothing(tmp_path: Path, runs: TableSchema, moment: str) -> None:
    directory = tmp_path / "store"
    disk = WatchedDisk(directory, tmp_path)

    async def scenario() -> None:
        store = JournalStore.open(directory, segment_bytes=SEGMENT_BYTES, disk=disk)
        store.table(OTHER).put("kept", {})
        await rewrite(store, runs, 100)
        await store.close()

    asyncio.run(scenario())
    killed = tmp_path / moment
    files = {path.name for path in killed.glob("journal-*")}
    store = JournalStore.open(killed)
    assert not store.damages
    assert len(contents(store, runs)) == 20
    assert "kept" in store.table(OTHER)
    left = {path.name for path in killed.glob("journal-*")}
    assert left < files, "what the compaction would have removed is gone"
    asyncio.run(store.close())
    store = JournalStore.open(killed)
    assert len(contents(store, runs)) == 20
    asyncio.run(store.close())


def test_a_compaction_that_fails_is_reported_and_tried_again(
    tmp_path: Path, runs: TableSchema, caplog: pytest.LogCaptureFixture
) -> None:
    disk = WatchedDisk(tmp_path)
    disk.error = errno.ENOSPC

    async def scenario() -> None:
        store = JournalStore.open(tmp_path, segment_bytes=SEGMENT_BYTES, disk=disk)
        with caplog.at_level(logging.WARNING):
            await rewrite(store, runs, 20)
            assert await asyncio.to_thread(disk.waiting.wait, 10)
            if store._maintenance.task is not None:
                await store._maintenance.task
        assert f"{tmp_path} could not be compacted" in caplog.text
        assert not list(tmp_path.glob("*.tmp"))
        disk.error = None
        await rewrite(store, runs, 60)
        expected = contents(store, runs)
        await store.close()
        assert disk.compactions > 0
        reopened = JournalStore.open(tmp_path)
        assert contents(reopened, runs) == expected
        await reopened.close()

    asyncio.run(scenario())


def test_a_compacted_segment_that_was_cut_off_is_damage(tmp_path: Path, runs: TableSchema) -> None:
    async def scenario() -> None:
        store = JournalStore.open(tmp_path, segment_bytes=SEGMENT_BYTES)
        await rewrite(store, runs, 100)
        await store.close()

    asyncio.run(scenario())
    (compacted,) = tmp_path.glob("journal-*-*.jsonl")
    lines = compacted.read_bytes().splitlines(keepends=True)
    compacted.write_bytes(b"".join(lines[:-1]))
    store = JournalStore.open(tmp_path)
    assert "the file was cut off" in str(store.damages[0])
    assert len(contents(store, runs)) == 20
    asyncio.run(store.close())


def test_old_files_stay_until_what_replaces_them_is_safe(tmp_path: Path, runs: TableSchema) -> None:
    """A document that waits for a full disk has its last acknowledged text in a file that a compaction would drop."""
    directory = tmp_path / "store"

    class FullDisk(WatchedDisk):
        full = False

        def write(self, descriptor: int, data: bytes, offset: int) -> None:
            if self.full and b'"synced"' in data and b'"waiting"' in data:
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            super().write(descriptor, data, offset)

    disk = FullDisk(directory)

    async def scenario() -> None:
        store = JournalStore.open(directory, segment_bytes=SEGMENT_BYTES, disk=disk)
        store.table(OTHER).put("precious", {"text": "acknowledged"})
        await rewrite(store, runs, 3)
        while store._maintenance.task is None:
            await rewrite(store, runs, 1)
        disk.full = True
        store.table(OTHER).put("precious", {"text": "waiting"})
        await store._maintenance.task
        shutil.copytree(directory, tmp_path / "killed")
        disk.full = False
        await store.durable()
        await store.close()

    asyncio.run(scenario())
    store = JournalStore.open(tmp_path / "killed")
    assert store.table(OTHER).get("precious") == {"text": "acknowledged"}
    asyncio.run(store.close())


def test_others_who_sync_wait_for_little_of_what_is_copied(tmp_path: Path, runs: TableSchema) -> None:
    class CountingDisk(Disk):
        def __init__(self) -> None:
            self.unsynced: dict[int, int] = {}
            self.most = 0

        def write(self, descriptor: int, data: bytes, offset: int) -> None:
            super().write(descriptor, data, offset)
            if threading.current_thread().name != "flytelite-journal":
                self.unsynced[descriptor] = self.unsynced.get(descriptor, 0) + len(data)
                self.most = max(self.most, self.unsynced[descriptor])

        def sync(self, descriptor: int) -> None:
            super().sync(descriptor)
            self.unsynced[descriptor] = 0

    disk = CountingDisk()

    async def scenario() -> None:
        store = JournalStore.open(tmp_path, segment_bytes=SEGMENT_BYTES, disk=disk)
        for number in range(16):
            store.table(runs).put(str(number), {"note": "x" * SYNCED_AT_ONCE})
            await store.durable()
        await store.close()

    asyncio.run(scenario())
    assert SYNCED_AT_ONCE < disk.most < 4 * SYNCED_AT_ONCE, "of 16 that were copied"


def test_old_files_are_freed_bit_by_bit_unless_a_backup_has_them_too(
    tmp_path: Path, runs: TableSchema, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(maintenance, "FREED_AT_ONCE", 1000)
    directory, backup = tmp_path / "store", tmp_path / "backup"

    class ShrinkingDisk(WatchedDisk):
        sizes: ClassVar[dict[int, list[int]]] = {}

        def truncate(self, descriptor: int, size: int) -> None:
            super().truncate(descriptor, size)
            if threading.current_thread().name != "flytelite-journal":
                self.sizes.setdefault(descriptor, []).append(size)

    disk = ShrinkingDisk(directory)
    disk.go.clear()

    async def scenario() -> bytes:
        store = JournalStore.open(directory, segment_bytes=SEGMENT_BYTES, disk=disk)
        while len(store._segments) < 6:
            await rewrite(store, runs, 1)
        await asyncio.to_thread(disk.waiting.wait, 10)
        first = store._segments[0].path
        backup.hardlink_to(first)
        text = first.read_bytes()
        disk.go.set()
        assert store._maintenance.task is not None
        await store._maintenance.task
        assert not first.exists()
        assert not disk.sizes
        await rewrite(store, runs, 1)
        assert store._maintenance.task is not None
        await store._maintenance.task
        await store.close()
        return text

    text = asyncio.run(scenario())
    assert backup.read_bytes() == text
    assert len(disk.sizes) >= 4, "the files of the second compaction"
    for sizes in disk.sizes.values():
        assert sizes == sorted(sizes, reverse=True)
        assert 0 < sizes[-1] <= 1000
