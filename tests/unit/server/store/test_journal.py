from __future__ import annotations

import asyncio
import errno
import json
import logging
import os
import threading
from pathlib import Path
from typing import Any

import pytest

from flytelite.errors import FailedPrecondition, FlyteError, ResourceExhausted, Unavailable
from flytelite.server.store.disk import Disk
from flytelite.server.store.entries import Header, encode
from flytelite.server.store.examination import examine
from flytelite.server.store.interface import Query, TableSchema
from flytelite.server.store.journal import JournalStore


class FailingDisk(Disk):
    """A disk on which one kind of call fails for as long as ``error`` is set, perhaps after half of the work."""

    def __init__(self, call: str) -> None:
        self.call = call
        self.error: int | None = None
        self.synced = threading.Event()

    def write(self, descriptor: int, data: bytes, offset: int) -> None:
        if self.call == "write" and self.error:
            super().write(descriptor, data[: len(data) // 2], offset)
        self._fail("write")
        super().write(descriptor, data, offset)

    def sync(self, descriptor: int) -> None:
        self._fail("sync")
        super().sync(descriptor)
        self.synced.set()

    def create(self, path: Path) -> int:
        self._fail("create")
        return super().create(path)

    def sync_directory(self, path: Path) -> None:
        self._fail("sync_directory")
        super().sync_directory(path)

    def _fail(self, call: str) -> None:
        if call == self.call and self.error:
            raise OSError(self.error, os.strerror(self.error))


class SlowDisk(Disk):
    """A disk whose sync waits until it is let go; counts the syncs."""

    def __init__(self) -> None:
        self.go = threading.Event()
        self.syncing = threading.Event()
        self.syncs = 0

    def sync(self, descriptor: int) -> None:
        self.syncing.set()
        assert self.go.wait(10)
        self.syncs += 1
        super().sync(descriptor)


def last_segment(directory: Path) -> Path:
    return max(directory.glob("journal-*.jsonl"))


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


def test_everything_is_there_after_reopening(tmp_path: Path, runs: TableSchema) -> None:
    async def scenario() -> None:
        store = JournalStore.open(tmp_path / "deep" / "store", segment_bytes=500)
        table = store.table(runs)
        for key in "abcdef":
            table.put(key, {"name": key, "started": 1, "phase": "A"})
        await store.durable()
        with store.batch():
            table.put("a", {"name": "again", "started": 5, "phase": "B"})
            table.remove("c")
        table.remove("d")
        table.put("d", {"name": "last", "started": 0})
        await store.close()

    asyncio.run(scenario())
    documents, store = read(tmp_path / "deep" / "store", runs)
    assert list(documents) == ["a", "b", "e", "f", "d"]
    assert documents["a"] == {"name": "again", "started": 5, "phase": "B"}
    assert store.position == 9
    assert len(list((tmp_path / "deep" / "store").glob("journal-*.jsonl"))) > 1
    reopened = JournalStore.open(tmp_path / "deep" / "store")
    assert reopened.table(runs).keys(Query(order_by="started")) == ["d", "b", "e", "f", "a"]
    asyncio.run(reopened.close())


def test_a_table_nobody_asks_for_is_kept(tmp_path: Path, runs: TableSchema) -> None:
    write(tmp_path, runs, "ab")
    write(tmp_path, TableSchema("other"), "c")
    assert list(read(tmp_path, runs)[0]) == ["a", "b"]
    assert list(read(tmp_path, TableSchema("other"))[0]) == ["c"]


def test_lines_are_json_that_a_person_can_read(tmp_path: Path, runs: TableSchema) -> None:
    write(tmp_path, runs, "a")
    (line,) = last_segment(tmp_path).read_text().splitlines()
    entry = json.loads(line)
    assert entry["entry"] == 1
    assert entry["changes"] == [
        {"table": "runs", "key": "a", "order": 1, "length": 37, "document": {"name": "a", "phase": "A", "started": 97}}
    ]


def test_names_in_a_key_cannot_confuse_the_reader(tmp_path: Path) -> None:
    schema = TableSchema('t,"document":{"changes":[')
    keys = ['k,"document":{}},{"table":"x"', "\n", '"crc32":"00000000"}', "ü€\u2028", "\\"]

    async def scenario() -> None:
        store = JournalStore.open(tmp_path)
        with store.batch():
            for key in keys:
                store.table(schema).put(key, {key: key})
        await store.close()

    asyncio.run(scenario())
    assert read(tmp_path, schema)[0] == {key: {key: key} for key in keys}


@pytest.mark.parametrize("cut", [1, 2, 12, 60, -1])
def test_a_torn_end_is_dropped_and_reported(
    tmp_path: Path, runs: TableSchema, cut: int, caplog: pytest.LogCaptureFixture
) -> None:
    write(tmp_path, runs, "ab")
    segment = last_segment(tmp_path)
    whole = segment.read_bytes()
    first = whole.index(b"\n") + 1
    torn = whole[:-cut] if cut > 0 else whole[:first] + bytes(len(whole) - first)
    segment.write_bytes(torn)
    with caplog.at_level(logging.WARNING):
        documents, store = read(tmp_path, runs)
    assert list(documents) == ["a"]
    assert not store.damages
    assert f"{segment} ends in an entry that was never completed" in caplog.text
    assert f"dropped {len(torn) - first} bytes from byte {first} on, after entry 1" in caplog.text
    write(tmp_path, runs, "c")
    assert list(read(tmp_path, runs)[0]) == ["a", "c"]


def test_an_unsynced_group_that_reached_the_disk_in_part_is_dropped_whole(tmp_path: Path, runs: TableSchema) -> None:
    """Power loss may keep a later page of one group and lose an earlier one."""

    async def scenario() -> None:
        disk = SlowDisk()
        disk.go.set()
        store = JournalStore.open(tmp_path, disk=disk)
        store.table(runs).put("acknowledged", {})
        await store.durable()
        disk.go.clear()
        disk.syncing.clear()
        store.table(runs).put("x", {})
        await asyncio.to_thread(disk.syncing.wait, 10)
        for key in "abc":  # one group: written together once the first is synced
            store.table(runs).put(key, {})
        disk.go.set()
        await store.close()

    asyncio.run(scenario())
    segment = last_segment(tmp_path)
    lines = segment.read_bytes().splitlines(keepends=True)
    assert len(lines) == 5
    lines[2] = bytes(len(lines[2]) - 1) + b"\n"
    segment.write_bytes(b"".join(lines))
    documents, store = read(tmp_path, runs)
    assert list(documents) == ["acknowledged", "x"]
    assert not store.damages


def test_damage_in_the_middle_is_reported_and_the_rest_served_read_only(
    tmp_path: Path, runs: TableSchema, caplog: pytest.LogCaptureFixture
) -> None:
    for keys in ("ab", "cd", "e"):
        write(tmp_path, runs, keys)
    segment = last_segment(tmp_path)
    before = segment.read_bytes()
    offset = before.index(b'{"entry":2,')
    damaged = before[: offset + 70] + b"#" + before[offset + 71 :]
    segment.write_bytes(damaged)

    async def scenario() -> None:
        store = JournalStore.open(tmp_path)
        table = store.table(runs)
        assert table.keys(Query()) == ["a", "c", "d", "e"]
        assert table.get("e") == {"name": "e", "phase": "A", "started": 101}
        with pytest.raises(Unavailable, match=rf"{segment.name} is damaged at byte {offset}"):
            table.put("a", {"name": "changed"})
        with pytest.raises(Unavailable), store.batch():
            table.remove("a")
        assert table.get("a") == {"name": "a", "phase": "A", "started": 97}
        await store.durable()
        await store.close()

    with caplog.at_level(logging.ERROR):
        asyncio.run(scenario())
    assert f"{segment} is damaged at byte {offset}" in caplog.text
    assert segment.read_bytes() == damaged
    assert [path.name for path in tmp_path.glob("journal-*")] == [segment.name]


def test_a_missing_file_is_damage(tmp_path: Path, runs: TableSchema) -> None:
    for keys in ("abc", "def", "ghi"):
        write(tmp_path, runs, keys, segment_bytes=1)
    first, second, *_ = sorted(tmp_path.glob("journal-*"))
    second.unlink()
    documents, store = read(tmp_path, runs)
    assert "a" in documents
    assert "i" in documents
    assert "are missing" in str(store.damages[0])
    first.unlink()
    assert "entries 1 to" in str(read(tmp_path, runs)[1].damages[0])


def test_a_file_that_became_unreadable_is_named(tmp_path: Path, runs: TableSchema) -> None:
    async def scenario() -> None:
        store = JournalStore.open(tmp_path)
        table = store.table(runs)
        table.put("a", {"name": "x" * 100})
        await store.durable()
        os.truncate(last_segment(tmp_path), 50)
        with pytest.raises(Unavailable, match=rf"{last_segment(tmp_path).name} ends before byte"):
            table.get("a")
        await store.close()

    asyncio.run(scenario())


def test_a_second_opener_learns_who_holds_the_directory(tmp_path: Path) -> None:
    store = JournalStore.open(tmp_path)
    with pytest.raises(FailedPrecondition, match=rf"{tmp_path} is in use by process {os.getpid()}; .*--data-dir"):
        JournalStore.open(tmp_path)
    asyncio.run(store.close())
    asyncio.run(JournalStore.open(tmp_path).close())


def test_a_newer_format_is_refused_and_left_alone(tmp_path: Path, runs: TableSchema) -> None:
    write(tmp_path, runs, "a")
    (tmp_path / "format.json").write_text('{"format": 99, "written_by": "flytelite 9.0"}')
    with pytest.raises(FailedPrecondition, match=r"format 99, written by flytelite 9\.0; .* upgrade flytelite"):
        JournalStore.open(tmp_path)
    (tmp_path / "format.json").write_text("{")
    with pytest.raises(Unavailable, match=r"format\.json is damaged"):
        JournalStore.open(tmp_path)
    (tmp_path / "format.json").write_text('{"format": 1}')
    assert list(read(tmp_path, runs)[0]) == ["a"]


def test_a_closed_store_refuses(tmp_path: Path, runs: TableSchema) -> None:
    store = JournalStore.open(tmp_path)
    table = store.table(runs)
    asyncio.run(store.close())
    asyncio.run(store.close())
    with pytest.raises(FailedPrecondition, match="is closed"):
        table.put("a", {})
    assert "a" not in table


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


def test_documents_on_disk_leave_memory(tmp_path: Path, runs: TableSchema) -> None:
    async def scenario() -> None:
        store = JournalStore.open(tmp_path)
        table = store.table(runs)
        table.put("a", {"name": "x" * 1000})
        assert isinstance(table._rows["a"].content, bytes)
        await store.durable()
        assert isinstance(table._rows["a"].content, int)
        assert table.get("a") == {"name": "x" * 1000}
        with pytest.raises(RuntimeError), store.batch():
            table.put("a", {"name": "y"})
            raise RuntimeError
        assert table.get("a") == {"name": "x" * 1000}
        await store.close()

    asyncio.run(scenario())


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


@pytest.mark.parametrize("torn", [b"", b'{"entry":3,"synced":2,"tim'])
@pytest.mark.parametrize("blanks", [1, 100_000])
def test_blanks_that_a_killed_process_left_are_no_damage(
    tmp_path: Path, runs: TableSchema, torn: bytes, blanks: int
) -> None:
    write(tmp_path, runs, "ab")
    whole = last_segment(tmp_path).read_bytes()
    last_segment(tmp_path).write_bytes(whole + torn + b" " * blanks)
    examination = examine(tmp_path)
    assert not examination.findings
    assert (examination.torn is None) == (not torn)
    documents, store = read(tmp_path, runs)
    assert list(documents) == ["a", "b"]
    assert not store.damages
    write(tmp_path, runs, "c")
    assert list(read(tmp_path, runs)[0]) == ["a", "b", "c"]
    assert last_segment(tmp_path).read_bytes().startswith(whole)
    assert b" " * 2 not in last_segment(tmp_path).read_bytes()


def test_a_hole_between_lines_that_were_not_synced_is_a_torn_end(tmp_path: Path, runs: TableSchema) -> None:
    """Power went while a group of lines was written over blanks: the first page of it never reached the disk."""
    write(tmp_path, runs, "ab")
    whole = last_segment(tmp_path).read_bytes()
    first, second = (encode(Header(number, 2), "", [("runs", "x", 9, b"{}")])[0] for number in (3, 4))
    last_segment(tmp_path).write_bytes(whole + b" " * len(first) + second + b" " * 50)
    documents, store = read(tmp_path, runs)
    assert list(documents) == ["a", "b"]
    assert not store.damages
    assert last_segment(tmp_path).read_bytes() == whole
