"""Any sequence of changes, batches, failures and restarts leaves stores that answer as a dict would.

Four tables are told the same: with partitions and without, of a journal and of its memory twin.
"""

from __future__ import annotations

import asyncio
import shutil
import tempfile
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from flytelite.server.store import orderings, writer
from flytelite.server.store.disk import Disk
from flytelite.server.store.interface import Condition, Operator, Query, TableSchema
from flytelite.server.store.journal import JournalStore
from flytelite.server.store.memory import MemoryStore
from flytelite.server.store.segments import length

COLUMNS = frozenset({"phase", "n", "parent"})
WHOLE = TableSchema("whole", COLUMNS, frozenset({"phase", "parent"}), frozenset({"n"}))
PARTITIONED = TableSchema("partitioned", COLUMNS, frozenset({"parent"}), frozenset({"n"}), partition=2)
KEYS = st.builds("p/{}/{}".format, st.sampled_from("abcd"), st.sampled_from("xyz"))
DOCUMENTS = st.fixed_dictionaries({"phase": st.sampled_from(["A", "B", None]), "n": st.integers(0, 3)})
CHANGES = st.lists(st.tuples(KEYS, st.none() | DOCUMENTS), max_size=6)


class UnsyncedDisk(Disk):
    """Quick: no power is lost here."""

    def sync(self, descriptor: int) -> None:
        pass

    def sync_directory(self, path: Path) -> None:
        pass


class StoreMachine(RuleBasedStateMachine):
    @initialize()
    def begin(self) -> None:
        self.block_rows, orderings.BLOCK_ROWS = orderings.BLOCK_ROWS, 2
        self.padding, writer.PADDING = writer.PADDING, b" " * 100
        self.memory = MemoryStore()
        self.directory = Path(tempfile.mkdtemp())
        self.model: dict[str, dict[str, Any]] = {}
        self.loop = asyncio.new_event_loop()
        self.open()

    def open(self) -> None:
        self.store = JournalStore.open(self.directory, segment_bytes=300, disk=UnsyncedDisk())
        self.store._tables.partitions.kept = 1
        self.tables = [store.table(schema) for store in (self.store, self.memory) for schema in (WHOLE, PARTITIONED)]

    def apply(self, target: dict[str, dict[str, Any]], changes: list[tuple[str, dict[str, Any] | None]]) -> None:
        for key, document in changes:
            if document is None:
                assert [bool(table.remove(key)) for table in self.tables] == [key in target] * 4
                target.pop(key, None)
            else:
                target[key] = {**document, "parent": key[:3]}
                for table in self.tables:
                    table.put(key, target[key])

    @rule(changes=CHANGES)
    def change_one_by_one(self, changes: list[Any]) -> None:
        self.apply(self.model, changes)

    @rule(changes=CHANGES)
    def change_in_a_batch(self, changes: list[Any]) -> None:
        with self.store.batch(), self.memory.batch():
            self.apply(self.model, changes)

    @rule(changes=CHANGES, inner=CHANGES)
    def fail_in_a_batch(self, changes: list[Any], inner: list[Any]) -> None:
        with pytest.raises(ZeroDivisionError), self.store.batch(), self.memory.batch():
            self.apply(dict(self.model), changes)
            with self.store.batch():
                for key, document in inner:
                    self.tables[1].put(key, document or {})
            with self.memory.batch():
                for key, document in inner:
                    self.tables[2].put(key, document or {})
            raise ZeroDivisionError

    @rule()
    def sync(self) -> None:
        self.loop.run_until_complete(self.store.durable())

    @rule()
    def compact(self) -> None:
        async def scenario() -> None:
            await self.store.durable()
            if self.store._maintenance.task is not None:
                await self.store._maintenance.task

        self.loop.run_until_complete(scenario())

    @rule(key=KEYS)
    def get(self, key: str) -> None:
        for table in self.tables:
            assert table.get(key) == self.model.get(key)
            assert (key in table) == (key in self.model) == (table.revision(key) is not None)

    @rule(name=st.sampled_from("abcd"))
    def list_a_partition(self, name: str) -> None:
        condition = Condition("parent", Operator.EQUAL, (f"p/{name}",))
        expected = [key for key in self.model if key.startswith(f"p/{name}/")]
        for table in self.tables:
            assert table.keys(Query((condition,))) == expected
            assert table.count((condition,)) == len(expected)
            assert table.keys(Query(), among=[f"p/{name}/x", f"p/{name}/y"]) == [k for k in expected if k[-1] != "z"]

    @rule()
    def list_everything(self) -> None:
        by_n = sorted(self.model, key=lambda key: self.model[key]["n"])
        for table in self.tables:
            assert {key: table.get(key) for key in table.keys(Query())} == self.model
            assert table.keys(Query()) == list(self.model)
            assert table.keys(Query(order_by="n")) == by_n
            assert [document.doc_id for document in table] == list(self.model)

    @rule(
        phase=st.sampled_from(["A", "B"]), least=st.integers(0, 3), descending=st.booleans(), offset=st.integers(0, 5)
    )
    def list_a_page(self, phase: str, least: int, descending: bool, offset: int) -> None:
        conditions = Condition("phase", Operator.EQUAL, (phase,)), Condition("n", Operator.GREATER_OR_EQUAL, (least,))
        matching = [key for key, d in self.model.items() if d["phase"] == phase and d["n"] >= least]
        for column in ("n", "phase", "parent", None):
            ordered = sorted(matching, key=lambda key: self.model[key][column] if column else 0)
            expected = (ordered[::-1] if descending else ordered)[offset : offset + 3]
            for table in self.tables:
                query = Query(conditions, column, descending, offset, 3)
                assert table.keys(query) == expected
                assert [table.position(query, key) for key in expected] == list(range(offset, offset + len(expected)))
        assert [table.count(conditions) for table in self.tables] == [len(matching)] * 4

    @rule(keep_contents=st.booleans())
    def reopen(self, keep_contents: bool) -> None:
        position = self.store.position
        self.loop.run_until_complete(self.store.close())
        for contents in self.directory.glob("*.contents"):
            if not keep_contents:
                contents.unlink()
        self.open()
        assert not self.store.damages
        assert self.store.position == position

    @invariant()
    def answers_as_the_model(self) -> None:
        condition = Condition("phase", Operator.EQUAL, ("A",))
        for whole in self.tables[0], self.tables[2]:
            assert whole.keys(Query()) == list(self.model)
            assert whole.keys(Query((condition,))) == [key for key, d in self.model.items() if d["phase"] == "A"]
        assert [len(table) for table in self.tables] == [len(self.model)] * 4
        assert [table.count() for table in self.tables] == [len(self.model)] * 4

    @invariant()
    def live_bytes_are_counted_right(self) -> None:
        if self.store._maintenance.task is not None:  # rows are on their way from one segment to another
            return
        partitions = self.store._tables.partitions
        live = Counter(dict.fromkeys(self.store._segments, 0))
        for rows in partitions.rows.values():
            for row in rows.values():
                if row.segment is not None:
                    live[row.segment] += length(row.content)
        for folded in partitions.folded.values():
            live[folded.segment] += length(folded.place)
        assert live == Counter({segment: segment.live for segment in self.store._segments})

    def teardown(self) -> None:
        self.loop.run_until_complete(self.store.close())
        self.loop.run_until_complete(self.loop.shutdown_default_executor())
        self.loop.close()
        shutil.rmtree(self.directory)
        orderings.BLOCK_ROWS, writer.PADDING = self.block_rows, self.padding


TestStore = StoreMachine.TestCase
TestStore.settings = settings(
    max_examples=50, stateful_step_count=30, deadline=None, suppress_health_check=[HealthCheck.too_slow]
)
