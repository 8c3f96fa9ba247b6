"""Examination and salvage of damaged stores."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest

from flytelite.errors import FailedPrecondition, NotFound
from flytelite.server.store.directory import undisturbed
from flytelite.server.store.examination import examine
from flytelite.server.store.interface import Query, TableSchema
from flytelite.server.store.journal import JournalStore
from flytelite.server.store.salvage import salvage

from .store_directories import forget_closing

NOTES = TableSchema("notes")


def write(directory: Path, *documents: tuple[str, Any], segment_bytes: int = 1 << 20) -> None:
    """Put documents (None removes), each in an entry of its own that is synced before the next."""

    async def scenario() -> None:
        store = JournalStore.open(directory, segment_bytes=segment_bytes)
        store._maintenance._stopped = True  # no compaction: the files are as they were written
        table = store.table(NOTES)
        for key, value in documents:
            if value is None:
                table.remove(key)
            else:
                table.put(key, {"value": value})
            await store.durable()
        await store.close()

    asyncio.run(scenario())


def read(directory: Path) -> dict[str, Any]:
    store = JournalStore.open(directory)
    table = store.table(NOTES)
    found = {key: table.get(key)["value"] for key in table.keys(Query())}  # type: ignore[index]
    assert not store.damages
    asyncio.run(store.close())
    return found


def segment(directory: Path, number: int = 0) -> Path:
    return sorted(directory.glob("journal-*.jsonl"))[number]


def spoil(path: Path, where: bytes, by: bytes = b"#") -> int:
    """Overwrite the first place that reads so; returns the offset of its line."""
    text = path.read_bytes()
    place = text.index(where)
    path.write_bytes(text[:place] + by + text[place + len(by) :])
    return text.rfind(b"\n", 0, place) + 1


def files(directory: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in directory.iterdir()}


def test_a_sound_store_has_no_findings(tmp_path: Path) -> None:
    write(tmp_path, ("a", 1), ("b", 2), ("a", None), segment_bytes=100)
    before = files(tmp_path)
    found = examine(tmp_path)
    assert (found.findings, found.torn) == ([], None)
    assert (len(found.segments), found.lines, found.changes, found.last) == (3, 3, 3, 3)
    assert files(tmp_path) == before


def test_each_document_of_a_damaged_line_has_its_fate(tmp_path: Path) -> None:
    write(tmp_path, ("older", 1))

    async def both() -> None:
        store = JournalStore.open(tmp_path)
        with store.batch():
            for key in ("older", "lost", "again", 'odd"name'):
                store.table(NOTES).put(key, {"value": "spoiled"})
        await store.close()

    asyncio.run(both())
    write(tmp_path, ("again", 3), ("other", 4))
    offset = spoil(segment(tmp_path), b"spoiled")
    (finding,) = examine(tmp_path).findings
    assert (finding.damage.path, finding.damage.offset) == (segment(tmp_path), offset)
    assert finding.unharmed == 1
    assert finding.lost is not None
    assert finding.lost.keys() == {("notes", "older"), ("notes", "lost"), ("notes", 'odd"name')}
    older = finding.lost["notes", "older"]
    assert older is not None
    assert (older.entry, older.removed) == (1, False)
    assert finding.lost["notes", "lost"] is None


def test_what_can_be_read_is_salvaged_in_its_order(tmp_path: Path) -> None:
    old, new = tmp_path / "old", tmp_path / "new"
    write(old, ("z", 1), ("y", 2), ("x", 3), ("gone", 4), ("gone", None), ("z", 5), ("w", 6))
    spoil(segment(old), b'"value":3')
    before = files(old)
    assert salvage(old, new) == 6
    assert files(old) == before
    assert read(new) == {"z": 5, "y": 2, "w": 6}
    assert list(read(new)) == ["z", "y", "w"]
    assert not examine(new).findings
    write(new, ("v", 7))
    assert list(read(new)) == ["z", "y", "w", "v"]


def test_a_compacted_store_is_salvaged_but_for_the_damaged_line(tmp_path: Path) -> None:
    old, new = tmp_path / "old", tmp_path / "new"
    write(old, *((f"k{number}", "x" * 50) for number in range(40)), segment_bytes=500)

    async def compact() -> None:
        store = JournalStore.open(old, segment_bytes=500)
        store.table(NOTES).put("last", {"value": 0})
        await store.durable()
        while store._maintenance.task is not None:
            await store._maintenance.task
        await store.close()

    asyncio.run(compact())
    spoil(next(old.glob("journal-*-*.jsonl")), b'"k7"')
    (finding,) = examine(old).findings
    assert finding.lost is not None
    lost = {key for _, key in finding.lost}
    assert {"k6", "k8"} <= lost
    assert "k39" not in lost
    salvage(old, new)
    kept = [f"k{number}" for number in range(40) if f"k{number}" not in lost and number != 7]
    assert list(read(new)) == [*kept, "last"]


def test_an_end_that_was_never_completed_is_no_damage(tmp_path: Path) -> None:
    old, new = tmp_path / "old", tmp_path / "new"
    write(old, ("a", 1), ("b", 2))
    forget_closing(old)
    offset = spoil(segment(old), b'"value":2')
    found = examine(old)
    assert not found.findings
    assert found.torn is not None
    assert found.torn.offset == offset
    assert salvage(old, new) == 1
    assert read(new) == {"a": 1}


def test_a_missing_segment_and_a_cut_one_are_findings(tmp_path: Path) -> None:
    write(tmp_path, *((key, "x" * 100) for key in "abcdef"), segment_bytes=100)
    segment(tmp_path, 2).unlink()
    found = examine(tmp_path)
    assert ["are missing" in str(finding.damage) for finding in found.findings] == [True]
    assert salvage(tmp_path, tmp_path / "new") == 5
    assert list(read(tmp_path / "new")) == ["a", "b", "d", "e", "f"]


def test_a_damaged_format_file_is_a_finding_and_salvaged(tmp_path: Path) -> None:
    write(tmp_path / "old", ("a", 1))
    (tmp_path / "old" / "format.json").write_text("{")
    (finding,) = examine(tmp_path / "old").findings
    assert finding.damage.path.name == "format.json"
    salvage(tmp_path / "old", tmp_path / "new")
    assert read(tmp_path / "new") == {"a": 1}


def test_a_store_in_use_or_from_the_future_or_missing_is_refused(tmp_path: Path) -> None:
    store = JournalStore.open(tmp_path / "used")
    with pytest.raises(FailedPrecondition, match="is in use by process"), undisturbed(tmp_path / "used"):
        pass
    asyncio.run(store.close())
    with undisturbed(tmp_path / "used"), pytest.raises(FailedPrecondition, match="in use"):
        JournalStore.open(tmp_path / "used")
    (tmp_path / "used" / "format.json").write_text('{"format": 99}')
    with pytest.raises(FailedPrecondition, match="upgrade flytelite"):
        examine(tmp_path / "used")
    with pytest.raises(NotFound, match="there is no store in"):
        examine(tmp_path / "missing")
