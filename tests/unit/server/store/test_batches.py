from __future__ import annotations

import pytest

from flytelite.server.store.interface import Condition, Operator, Query, Store, TableSchema


def test_a_batch_is_one_entry(store: Store, runs: TableSchema) -> None:
    table, notes = store.table(runs), store.table(TableSchema("notes"))
    with store.batch():
        table.put("a", {"phase": "A"})
        notes.put("a", {"seen": True})
        with store.batch():
            table.put("a", {"phase": "B"})
        assert store.position == 0
    assert store.position == 1
    assert table.get("a") == {"phase": "B"}


def test_a_batch_without_changes_is_no_entry(store: Store, runs: TableSchema) -> None:
    with store.batch():
        store.table(runs).get("a")
        store.table(runs).remove("a")
    assert store.position == 0


def test_an_exception_undoes_everything_inside(store: Store, runs: TableSchema) -> None:
    table = store.table(runs)
    for number, key in enumerate("abcd"):
        table.put(key, {"phase": "A", "started": number})
    position = store.position
    with pytest.raises(RuntimeError), store.batch():
        table.put("a", {"phase": "B", "started": 9})
        table.remove("b")
        table.put("b", {"phase": "B", "started": 7})
        table.remove("c")
        table.put("new", {"phase": "B", "started": 3})
        table.put("new", {"phase": "C", "started": 2})
        raise RuntimeError
    assert store.position == position
    assert table.get("a") == {"phase": "A", "started": 0}
    assert table.get("b") == {"phase": "A", "started": 1}
    assert "new" not in table
    assert table.keys(Query()) == ["a", "b", "c", "d"]
    assert table.keys(Query(order_by="started")) == ["a", "b", "c", "d"]
    assert table.keys(Query((Condition("phase", Operator.EQUAL, ("A",)),))) == ["a", "b", "c", "d"]
    assert table.count((Condition("phase", Operator.NOT_EQUAL, ("A",)),)) == 0


def test_an_inner_exception_that_is_caught_undoes_the_inner_batch_only(store: Store, runs: TableSchema) -> None:
    table = store.table(runs)
    with store.batch():
        table.put("outer", {})
        with pytest.raises(RuntimeError), store.batch():
            table.put("inner", {})
            table.remove("outer")
            raise RuntimeError
        table.put("after", {})
    assert store.position == 1
    assert table.keys(Query()) == ["outer", "after"]
