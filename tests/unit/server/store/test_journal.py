from __future__ import annotations

import asyncio
import json
import logging
import os
from pathlib import Path

import pytest

from flytelite.errors import FailedPrecondition, Unavailable
from flytelite.server.store.entries import Header, encode
from flytelite.server.store.examination import examine
from flytelite.server.store.interface import Query, TableSchema
from flytelite.server.store.journal import JournalStore

from .disks import SlowDisk
from .store_directories import forget_closing, last_segment, read, write


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
    forget_closing(tmp_path)
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
    forget_closing(tmp_path)
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
