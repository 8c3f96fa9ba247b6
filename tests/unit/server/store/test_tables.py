from __future__ import annotations

import asyncio

import pytest
from tinydb import where
from tinydb.table import Document

from flytelite.errors import Internal, InvalidArgument
from flytelite.server.store.interface import Query, Store, TableSchema


def test_a_document_comes_back_as_it_was_put(store: Store, runs: TableSchema) -> None:
    table = store.table(runs)
    document = {"name": "a", "phase": None, "message": {"text": 'ü"\\\n', "list": [1, 2.5, None, True], "n": 2**53}}
    table.put("k/1", document)
    assert table.get("k/1") == document
    assert "k/1" in table
    assert len(table) == 1
    assert table.get("other") is None
    assert "other" not in table


def test_documents_are_private_copies(store: Store, runs: TableSchema) -> None:
    table = store.table(runs)
    document = {"message": {"list": [1]}}
    table.put("k", document)
    document["message"]["list"].append(2)
    table.get("k")["message"]["list"].append(3)  # type: ignore[index]
    assert table.get("k") == {"message": {"list": [1]}}


def test_replacing_keeps_the_place_and_removing_gives_it_up(store: Store, runs: TableSchema) -> None:
    table = store.table(runs)
    for key in "abc":
        table.put(key, {"name": key})
    table.put("a", {"name": "again"})
    assert table.keys(Query()) == ["a", "b", "c"]
    assert table.remove("b") == ["b"]
    assert table.remove("b") == []
    table.put("b", {})
    assert table.keys(Query()) == ["a", "c", "b"]
    assert table.keys(Query(descending=True)) == ["b", "c", "a"]


def test_a_revision_is_new_with_each_change(store: Store, runs: TableSchema) -> None:
    table = store.table(runs)
    assert table.revision("k") is None
    seen = set()
    for phase in ("A", "B", "A"):
        table.put("k", {"phase": phase})
        seen.add(table.revision("k"))
    before = table.revision("k")
    with pytest.raises(KeyError), store.batch():
        table.put("k", {"phase": "C"})
        seen.add(table.revision("k"))
        raise KeyError
    assert table.revision("k") == before
    table.remove("k")
    assert table.revision("k") is None
    table.put("k", {})
    seen.add(table.revision("k"))
    assert len(seen) == 5


def test_a_document_that_is_no_json_is_refused_and_changes_nothing(store: Store, runs: TableSchema) -> None:
    table = store.table(runs)
    table.put("k", {"phase": "A"})
    with pytest.raises(InvalidArgument, match=r"'k' of runs .* JSON"):
        table.put("k", {"phase": "B", "message": {1, 2}})
    with pytest.raises(InvalidArgument, match="column phase of runs 'k' must be a scalar"):
        table.put("k", {"phase": ["B"]})
    assert table.get("k") == {"phase": "A"}
    assert store.position == 1


def test_tables_are_apart_and_one_name_has_one_schema(store: Store, runs: TableSchema) -> None:
    table, other = store.table(runs), store.table(TableSchema("other"))
    table.put("k", {"name": "mine"})
    assert other.get("k") is None
    assert store.table(runs) is table
    with pytest.raises(Internal, match="another schema"):
        store.table(TableSchema("runs"))


def test_a_column_that_is_not_declared_cannot_be_asked_for(store: Store, runs: TableSchema) -> None:
    with pytest.raises(Internal, match="nonsense is not a column"):
        store.table(runs).keys(Query(order_by="nonsense"))


def test_durable_returns_once_everything_is_written(store: Store, runs: TableSchema) -> None:
    async def scenario() -> None:
        table = store.table(runs)
        for number in range(50):
            table.put(f"k{number}", {"name": "x" * 200})
        await store.durable(10)
        await store.durable()
        assert table.get("k7") == {"name": "x" * 200}

    asyncio.run(scenario())


def test_tinydb_reads_and_writes_the_same_documents(store: Store, runs: TableSchema) -> None:
    table = store.table(runs)
    table.put("a", {"name": "x", "phase": "A", "message": {"n": 1}})
    assert table.insert({"name": "y", "phase": "A"}) == "2"
    assert table.insert(Document({"name": "z", "phase": "B"}, doc_id="named")) == "named"
    assert table.insert_multiple([{"name": "m"}, {"name": "m"}]) == ["4", "5"]
    assert [document.doc_id for document in table.search(where("phase") == "A")] == ["a", "2"]
    assert table.get(where("message").n == 1)["name"] == "x"
    assert table.get(doc_id="named") == {"name": "z", "phase": "B"}
    assert table.contains(where("name") == "y")
    assert table.count(where("name") == "m") == 2
    assert table.update({"phase": "C"}, where("phase") == "A") == ["a", "2"]
    assert table.upsert({"name": "z", "note": "new"}, where("name") == "z") == ["named"]
    assert table.get("named") == {"name": "z", "phase": "B", "note": "new"}
    assert table.remove(where("name") == "m") == ["4", "5"]
    assert table.remove(doc_ids=["2", "absent"]) == ["2"]
    assert [document.doc_id for document in table] == ["a", "named"]
    table.truncate()
    assert len(table) == 0


def test_what_tinydb_changes_is_indexed_and_one_entry(store: Store, runs: TableSchema) -> None:
    table = store.table(runs)
    with store.batch():
        for number in range(10):
            table.put(str(number), {"phase": "AB"[number % 2], "started": number})
    assert store.position == 1
    table.update({"phase": "C"}, where("started") >= 5)
    assert store.position == 2
    assert table.keys(Query(order_by="started", descending=True, limit=2)) == ["9", "8"]
    table.update(lambda document: document.update(started=-document["started"]), doc_ids=["9"])
    assert table.keys(Query(order_by="started", limit=1)) == ["9"]
    assert table.update({"phase": "C"}, where("phase") == "C") == ["5", "6", "7", "8", "9"]
    assert store.position == 3, "what changes nothing is no entry"


def test_an_updater_that_fails_changes_nothing(store: Store, runs: TableSchema) -> None:
    table = store.table(runs)
    table.put("a", {"started": 1})
    table.put("b", {})
    with pytest.raises(KeyError):
        table.update(lambda document: document.__setitem__("started", document["started"] + 1))
    assert table.get("a") == {"started": 1}
