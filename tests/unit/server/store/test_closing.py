"""What is missing from a journal that was closed in order is damage, also at its end."""

from __future__ import annotations

import asyncio
import errno
import json
import logging
from pathlib import Path

import pytest

from flytelite.errors import Unavailable
from flytelite.server.store.disk import Disk
from flytelite.server.store.examination import examine
from flytelite.server.store.interface import TableSchema
from flytelite.server.store.journal import JournalStore

from .store_directories import last_segment, read, write


def damages(directory: Path, runs: TableSchema) -> list[str]:
    """As a server and as the doctor tells them; none of them may change a file."""
    before = {path.name: path.read_bytes() for path in directory.iterdir() if path.name != "lock"}
    found = [str(damage) for damage in read(directory, runs)[1].damages]
    assert [str(finding.damage) for finding in examine(directory).findings] == found
    if found:
        assert {path.name: path.read_bytes() for path in directory.iterdir() if path.name != "lock"} == before
    return found


def test_a_byte_changed_in_the_last_line_is_damage(tmp_path: Path, runs: TableSchema) -> None:
    write(tmp_path, runs, "ab")
    segment = last_segment(tmp_path)
    text = segment.read_bytes()
    first = text.index(b"\n") + 1
    segment.write_bytes(text[:-20] + b"#" + text[-19:])
    reason = "a line does not match its checksum, after entry 1"
    assert damages(tmp_path, runs) == [f"{segment} is damaged at byte {first}: {reason}"]
    assert list(read(tmp_path, runs)[0]) == ["a"]


def test_a_last_line_that_is_gone_is_damage(tmp_path: Path, runs: TableSchema) -> None:
    write(tmp_path, runs, "abc")
    segment = last_segment(tmp_path)
    lines = segment.read_bytes().splitlines(keepends=True)
    segment.write_bytes(lines[0])
    missing = "entries 2 to 3, which were there when the store was closed, are missing"
    assert damages(tmp_path, runs) == [f"{segment} is damaged at byte {len(lines[0])}: {missing}"]


def test_a_closing_without_a_checksum_counts_as_it_did(
    tmp_path: Path, runs: TableSchema, caplog: pytest.LogCaptureFixture
) -> None:
    write(tmp_path, runs, "abc")
    (tmp_path / "closed.json").write_bytes(b'{"entry":3}\n')
    assert damages(tmp_path, runs) == []
    segment = last_segment(tmp_path)
    lines = segment.read_bytes().splitlines(keepends=True)
    segment.write_bytes(lines[0] + lines[1])
    missing = "entries 3 to 3, which were there when the store was closed, are missing"
    assert damages(tmp_path, runs) == [f"{segment} is damaged at byte {len(lines[0] + lines[1])}: {missing}"]
    assert "closed.json" not in caplog.text


def test_the_last_segment_or_all_gone_is_damage(tmp_path: Path, runs: TableSchema) -> None:
    for keys in "ab":
        write(tmp_path, runs, keys, segment_bytes=1)
    first, second = sorted(tmp_path.glob("journal-*.jsonl"))
    size = first.stat().st_size
    second.unlink()
    missing = "which were there when the store was closed, are missing"
    assert damages(tmp_path, runs) == [f"{first} is damaged at byte {size}: entries 2 to 2, {missing}"]
    first.unlink()
    assert damages(tmp_path, runs) == [f"{first} is damaged at byte 0: entries 1 to 2, {missing}"]

    async def scenario() -> None:
        store = JournalStore.open(tmp_path)
        with pytest.raises(Unavailable, match="entries 1 to 2"):
            store.table(runs).put("c", {})
        await store.close()

    asyncio.run(scenario())


def test_what_came_after_the_closing_may_be_torn(tmp_path: Path, runs: TableSchema) -> None:
    write(tmp_path, runs, "a")
    closed = (tmp_path / "closed.json").read_bytes()
    write(tmp_path, runs, "bc")
    (tmp_path / "closed.json").write_bytes(closed)
    segment = last_segment(tmp_path)
    segment.write_bytes(segment.read_bytes()[:-1])
    documents, store = read(tmp_path, runs)
    assert (list(documents), store.damages) == (["a", "b"], [])
    assert json.loads((tmp_path / "closed.json").read_bytes())["entry"] == 2


def test_a_closing_that_cannot_be_read_or_written_is_told_and_harms_nothing(
    tmp_path: Path, runs: TableSchema, caplog: pytest.LogCaptureFixture
) -> None:
    write(tmp_path, runs, "a")
    sound = (tmp_path / "closed.json").read_bytes()
    for spoilt in (b"", b"{", sound[:-1], sound.replace(b'"entry":1', b'"entry":9')):
        (tmp_path / "closed.json").write_bytes(spoilt)
        caplog.clear()
        with caplog.at_level(logging.WARNING):
            documents, store = read(tmp_path, runs)
        assert (list(documents), store.damages) == (["a"], [])
        assert "closed.json cannot be used, it does not match its checksum" in caplog.text
        assert json.loads((tmp_path / "closed.json").read_bytes())["entry"] == 1

    class Full(Disk):
        def rename(self, source: Path, target: Path) -> None:
            raise OSError(errno.ENOSPC, "full")

    write(tmp_path, runs, "b", disk=Full())
    assert "closed.json could not be written: full" in caplog.text
    assert list(read(tmp_path, runs)[0]) == ["a", "b"]
