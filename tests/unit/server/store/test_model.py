"""Any sequence of changes, batches, failures and restarts leaves a store that answers as a dict would."""

from __future__ import annotations

import asyncio
import shutil
import tempfile
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from flytelite.server.store.interface import Condition, Operator, Query, TableSchema
from flytelite.server.store.journal import JournalStore

SCHEMA = TableSchema("t", frozenset({"phase", "n"}), frozenset({"phase"}), frozenset({"n"}))
KEYS = st.sampled_from("abcdefgh")
DOCUMENTS = st.fixed_dictionaries({"phase": st.sampled_from(["A", "B", None]), "n": st.integers(0, 3)})
CHANGES = st.lists(st.tuples(KEYS, st.none() | DOCUMENTS), max_size=5)


class StoreMachine(RuleBasedStateMachine):
    @initialize()
    def begin(self) -> None:
        self.directory = Path(tempfile.mkdtemp())
        self.model: dict[str, dict[str, Any]] = {}
        self.loop = asyncio.new_event_loop()
        self.open()

    def open(self) -> None:
        self.store = JournalStore.open(self.directory, segment_bytes=300)
        self.table = self.store.table(SCHEMA)

    def apply(self, target: dict[str, dict[str, Any]], changes: list[tuple[str, dict[str, Any] | None]]) -> None:
        for key, document in changes:
            if document is None:
                self.table.remove(key)
                target.pop(key, None)
            else:
                self.table.put(key, document)
                target[key] = document

    @rule(changes=CHANGES)
    def change_one_by_one(self, changes: list[Any]) -> None:
        self.apply(self.model, changes)

    @rule(changes=CHANGES)
    def change_in_a_batch(self, changes: list[Any]) -> None:
        with self.store.batch():
            self.apply(self.model, changes)

    @rule(changes=CHANGES, inner=CHANGES)
    def fail_in_a_batch(self, changes: list[Any], inner: list[Any]) -> None:
        with pytest.raises(ZeroDivisionError), self.store.batch():
            self.apply(dict(self.model), changes)
            with self.store.batch():
                self.apply({}, inner)
            raise ZeroDivisionError

    @rule()
    def sync(self) -> None:
        self.loop.run_until_complete(self.store.durable())

    @rule()
    def reopen(self) -> None:
        position = self.store.position
        self.loop.run_until_complete(self.store.close())
        self.open()
        assert self.store.position == position

    @invariant()
    def answers_as_the_model(self) -> None:
        assert {key: self.table.get(key) for key in self.table.keys(Query())} == self.model
        assert self.table.keys(Query()) == list(self.model)
        by_n = sorted(self.model, key=lambda key: self.model[key]["n"])
        assert self.table.keys(Query(order_by="n")) == by_n
        condition = Condition("phase", Operator.EQUAL, ("A",))
        assert self.table.keys(Query((condition,))) == [k for k, d in self.model.items() if d["phase"] == "A"]

    def teardown(self) -> None:
        self.loop.run_until_complete(self.store.close())
        self.loop.run_until_complete(self.loop.shutdown_default_executor())
        self.loop.close()
        shutil.rmtree(self.directory)


TestStore = StoreMachine.TestCase
TestStore.settings = settings(
    max_examples=40, stateful_step_count=20, deadline=None, suppress_health_check=[HealthCheck.too_slow]
)
