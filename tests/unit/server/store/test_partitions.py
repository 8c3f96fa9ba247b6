from __future__ import annotations

import asyncio
import logging
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from tinydb import where

from flytelite.errors import Unavailable
from flytelite.server.store.interface import Condition, Operator, Query, TableSchema
from flytelite.server.store.journal import JournalStore

NODES = TableSchema(
    "nodes",
    columns=frozenset({"parent", "phase"}),
    indexed=frozenset({"parent"}),
    partition=2,
)
RUNS, EACH = 30, 10
SEGMENT_BYTES = 4096


def parent_is(number: int) -> Query:
    return Query((Condition("parent", Operator.EQUAL, (f"p/run{number}",)),))


async def fill(directory: Path, runs: TableSchema) -> None:
    """Runs with nodes, all compacted but the last few."""
    store = JournalStore.open(directory, segment_bytes=SEGMENT_BYTES)
    for number in range(RUNS):
        store.table(runs).put(f"p/run{number}", {"name": f"run{number}", "phase": "DONE", "started": -number})
        for node in range(EACH):
            document = {"parent": f"p/run{number}", "phase": "DONE", "message": {"text": "x" * 100}}
            store.table(NODES).put(f"p/run{number}/n{node}", document)
        await store.durable()
        if store._maintenance.task:
            await store._maintenance.task
    await store.close()


def rows_in_memory(store: JournalStore) -> int:
    return len(store._tables.partitions.rows["nodes"])


async def reopened(directory: Path) -> JournalStore:
    store = JournalStore.open(directory, segment_bytes=SEGMENT_BYTES)
    store._tables.partitions.kept = 2
    return store


def test_partitions_are_read_when_asked_for_and_forgotten_again(tmp_path: Path, runs: TableSchema) -> None:
    async def scenario() -> None:
        await fill(tmp_path, runs)
        store = await reopened(tmp_path)
        nodes = store.table(NODES)
        at_first = rows_in_memory(store)
        assert at_first < RUNS * EACH / 3
        assert len(nodes) == nodes.count() == RUNS * EACH
        for number in range(RUNS):
            assert nodes.keys(parent_is(number)) == [f"p/run{number}/n{node}" for node in range(EACH)]
            assert nodes.get(f"p/run{number}/n3")["message"] == {"text": "x" * 100}
            assert f"p/run{number}/absent" not in nodes
            assert nodes.revision(f"p/run{number}/n1") is not None
            assert rows_in_memory(store) <= at_first + 4 * EACH
        assert nodes.count((Condition("parent", Operator.IN, ("p/run0", "p/run29", "q/none")),)) == 2 * EACH
        assert nodes.keys(Query(), among=["p/run7/n1", "p/run2/n1"]) == ["p/run2/n1", "p/run7/n1"]
        assert len(nodes.keys(Query((Condition("phase", Operator.EQUAL, ("DONE",)),)))) == RUNS * EACH
        assert nodes.count(where("phase") == "DONE") == RUNS * EACH
        await store.close()

    asyncio.run(scenario())


def test_a_partition_that_was_on_disk_can_be_changed(tmp_path: Path, runs: TableSchema) -> None:
    async def scenario() -> None:
        await fill(tmp_path, runs)
        store = await reopened(tmp_path)
        nodes = store.table(NODES)
        nodes.put("p/run1/n3", {"parent": "p/run1", "phase": "AGAIN"})
        nodes.remove("p/run1/n4")
        with pytest.raises(RuntimeError), store.batch():
            nodes.put("p/run2/n3", {"parent": "p/run2", "phase": "UNDONE"})
            nodes.remove("p/run2/n4")
            raise RuntimeError
        await store.close()
        for _ in range(3):
            store = await reopened(tmp_path)
            nodes = store.table(NODES)
            assert nodes.get("p/run1/n3")["phase"] == "AGAIN"
            assert nodes.keys(parent_is(1)) == [f"p/run1/n{node}" for node in range(EACH) if node != 4]
            assert nodes.keys(parent_is(2)) == [f"p/run2/n{node}" for node in range(EACH)]
            assert len(nodes) == RUNS * EACH - 1
            for number in range(60):  # until the change was compacted too
                nodes.put(f"p/more/n{number % 5}", {"parent": "p/more", "message": {"text": "y" * 200}})
                await store.durable()
            if store._maintenance.task:
                await store._maintenance.task
            for number in range(5):
                nodes.remove(f"p/more/n{number}")
            await store.close()

    asyncio.run(scenario())


def test_another_grouping_reads_what_the_old_one_wrote(tmp_path: Path, runs: TableSchema) -> None:
    async def scenario() -> None:
        await fill(tmp_path, runs)
        for partition in (0, 1):
            store = await reopened(tmp_path)
            nodes = store.table(replace(NODES, partition=partition))
            assert len(nodes) == RUNS * EACH
            assert nodes.keys(parent_is(5))[0] == "p/run5/n0"
            nodes.put("p/run5/n0", {"parent": "p/run5", "phase": str(partition)})
            await store.close()
        store = await reopened(tmp_path)
        assert store.table(NODES).get("p/run5/n0")["phase"] == "1"
        assert len(store.table(NODES)) == RUNS * EACH
        await store.close()

    asyncio.run(scenario())


def compacted(directory: Path) -> Path:
    return min(directory.glob("journal-*-*.jsonl"))


def test_opening_does_not_read_documents(tmp_path: Path, runs: TableSchema, caplog: pytest.LogCaptureFixture) -> None:
    async def scenario() -> None:
        await fill(tmp_path, runs)
        segment = compacted(tmp_path)
        text = segment.read_bytes()
        end = text.rindex(b"\n", 0, -1) + 1
        damaged = b"#" * end + text[end:]
        segment.write_bytes(damaged)
        store = await reopened(tmp_path)
        assert not store.damages
        assert store.table(runs).keys(Query(order_by="started", descending=True, limit=2)) == ["p/run0", "p/run1"]
        with pytest.raises(Unavailable, match=rf"{segment.name} is damaged at byte"):
            store.table(runs).get("p/run0")
        with pytest.raises(Unavailable, match=rf"{segment.name} is damaged at byte"):
            store.table(NODES).get("p/run0/n0")

        # What opening did not see is found once the store is in use.
        store.table(runs).put("new", {})
        with caplog.at_level(logging.ERROR):
            await store.durable()
            assert store._maintenance.task is not None
            await store._maintenance.task
        assert f"{segment} is damaged at byte 0" in caplog.text
        with pytest.raises(Unavailable, match="nothing can be changed"):
            store.table(runs).put("more", {})
        assert store.table(runs).get("new") == {}
        await store.close()
        assert segment.read_bytes() == damaged

    asyncio.run(scenario())


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-30])


def change(path: Path) -> None:
    path.write_bytes(path.read_bytes().replace(b'"p/run1"', b'"p/run2"', 1))


def belong_to_another(path: Path) -> None:
    path.write_bytes(max(path.parent.glob("*.contents")).read_bytes())


@pytest.mark.parametrize("spoil", [Path.unlink, cut, change, belong_to_another])
def test_contents_that_do_not_fit_are_made_anew(tmp_path: Path, runs: TableSchema, spoil: Any) -> None:
    async def scenario() -> None:
        await fill(tmp_path, runs)
        spoil(compacted(tmp_path).with_suffix(".contents"))
        store = await reopened(tmp_path)
        assert not store.damages
        assert len(store.table(NODES)) == RUNS * EACH
        assert store.table(runs).keys(Query(limit=3)) == ["p/run0", "p/run1", "p/run2"]
        store.table(runs).put("new", {})
        await store.durable()
        assert store._maintenance.task is not None
        await store._maintenance.task
        await store.close()
        assert len(list(tmp_path.glob("*.contents"))) == 1
        store = await reopened(tmp_path)
        assert rows_in_memory(store) < RUNS * EACH / 3
        assert len(store.table(NODES)) == RUNS * EACH
        await store.close()

    asyncio.run(scenario())
