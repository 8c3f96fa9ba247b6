from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flytelite.errors import Internal
from flytelite.server.store.conditions import like, sort_key
from flytelite.server.store.interface import Condition, Operator, Query, Scalar, Store, TableSchema
from flytelite.server.store.memory import MemoryStore
from flytelite.server.store.orderings import BLOCK_ROWS
from flytelite.server.store.row_filter import RowFilter

ROWS: dict[str, dict[str, Any]] = {
    "a": {"name": "alpha", "phase": "RUNNING", "started": 3, "note": "10%_done"},
    "b": {"name": "beta", "phase": "FAILED", "started": 1, "note": None},
    "c": {"name": "Alphabet", "phase": "RUNNING", "started": None},
    "d": {"name": "delta", "phase": None, "started": 2, "note": "line\nbreak"},
    "e": {"name": "eta", "phase": "SUCCEEDED", "started": 2, "note": ""},
}


@pytest.fixture
def table(store: Store, runs: TableSchema) -> Any:
    table = store.table(runs)
    for key, document in ROWS.items():
        table.put(key, document)
    return table


@pytest.mark.parametrize(
    ("column", "operator", "values", "expected"),
    [
        ("phase", Operator.EQUAL, ("RUNNING",), "ac"),
        ("phase", Operator.EQUAL, (None,), "d"),
        ("note", Operator.EQUAL, (None,), "bc"),
        ("phase", Operator.NOT_EQUAL, ("RUNNING",), "be"),
        ("phase", Operator.NOT_EQUAL, (None,), "abce"),
        ("phase", Operator.IN, ("FAILED", "SUCCEEDED", "FAILED"), "be"),
        ("phase", Operator.IN, (None,), ""),
        ("name", Operator.IN, ("eta", "nobody"), "e"),
        ("phase", Operator.NOT_IN, ("FAILED", "SUCCEEDED"), "ac"),
        ("phase", Operator.NOT_IN, (None,), ""),
        ("started", Operator.GREATER, (2,), "a"),
        ("started", Operator.GREATER_OR_EQUAL, (2,), "ade"),
        ("started", Operator.LESS, (2,), "b"),
        ("started", Operator.LESS_OR_EQUAL, (2,), "bde"),
        ("started", Operator.LESS, (None,), ""),
        ("started", Operator.GREATER, ("text",), ""),
        ("name", Operator.GREATER, ("beta",), "de"),
        ("name", Operator.CONTAINS, ("alpha",), "a"),
        ("name", Operator.CONTAINS, ("l%a",), "acd"),
        ("name", Operator.CONTAINS, ("_ta",), "bde"),
        ("note", Operator.CONTAINS, ("",), "ade"),
        ("note", Operator.CONTAINS, (r"\%\_",), "a"),
        ("note", Operator.CONTAINS, ("e_b",), "d"),
        ("name", Operator.NOT_LIKE, ("%ta",), "ac"),
        ("name", Operator.NOT_LIKE, ("eta",), "abcd"),
        ("note", Operator.NOT_LIKE, ("%zzz%",), "ade"),
        ("started", Operator.CONTAINS, (2,), "de"),
    ],
)
def test_operators(table: Any, column: str, operator: Operator, values: tuple[Scalar, ...], expected: str) -> None:
    condition = Condition(column, operator, values)
    assert table.keys(Query((condition,))) == list(expected)
    assert table.keys(Query((condition,), descending=True)) == list(reversed(expected))
    assert table.count((condition,)) == len(expected)
    assert table.keys(Query((condition,)), among=["e", "a", "a", "absent"]) == [k for k in expected if k in "ae"]


@pytest.mark.parametrize("values", [(), ("a", "b")])
def test_a_comparison_takes_one_value(table: Any, values: tuple[str, ...]) -> None:
    with pytest.raises(Internal, match="eq of column phase takes one value"):
        table.keys(Query((Condition("phase", Operator.EQUAL, values),)))


def test_order_puts_none_last_and_ties_by_insertion(table: Any) -> None:
    assert table.keys(Query(order_by="started")) == ["b", "d", "e", "a", "c"]
    assert table.keys(Query(order_by="started", descending=True)) == ["c", "a", "e", "d", "b"]
    assert table.keys(Query(order_by="phase")) == ["b", "a", "c", "e", "d"]
    assert table.keys(Query(order_by="name", offset=1, limit=2)) == ["a", "b"]
    assert table.keys(Query(order_by="started", descending=True, offset=4, limit=9)) == ["b"]
    assert table.keys(Query(limit=0)) == []
    assert table.keys(Query(offset=7)) == []


SCALARS = st.one_of(st.none(), st.integers(0, 5), st.sampled_from(["A", "B", "AB", "a_b", "%", "RUNNING"]))
COLUMNS = st.sampled_from(["name", "phase", "started", "note"])
CONDITIONS = st.builds(
    lambda column, operator, values: Condition(
        column, operator, tuple(values if operator in (Operator.IN, Operator.NOT_IN) else values[:1])
    ),
    COLUMNS,
    st.sampled_from(Operator),
    st.lists(SCALARS, min_size=1, max_size=3),
)
QUERIES = st.builds(
    Query,
    st.lists(CONDITIONS, max_size=3).map(tuple),
    st.none() | COLUMNS,
    st.booleans(),
    st.integers(0, 4),
    st.none() | st.integers(0, 6),
)
DOCUMENTS = st.lists(st.dictionaries(COLUMNS, SCALARS), max_size=25)


def brute_force(documents: list[dict[str, Any]], query: Query) -> list[str]:
    rows = [
        (number, document)
        for number, document in enumerate(documents)
        if all(holds(document.get(condition.column), condition) for condition in query.conditions)
    ]
    if query.order_by:
        rows.sort(key=lambda row: (sort_key(row[1].get(query.order_by or "")), row[0]))
    if query.descending:
        rows.reverse()
    stop = None if query.limit is None else query.offset + query.limit
    return [str(number) for number, _ in rows[query.offset : stop]]


def holds(value: Any, condition: Condition) -> bool:
    wanted = condition.values[0]
    if condition.operator in (Operator.EQUAL, Operator.NOT_EQUAL) and wanted is None:
        return (value is None) == (condition.operator is Operator.EQUAL)
    if value is None or (None in condition.values and condition.operator is not Operator.IN):
        return False
    same = isinstance(value, str) == isinstance(wanted, str)
    compare: dict[Operator, Callable[[], bool]] = {
        Operator.EQUAL: lambda: value == wanted,
        Operator.NOT_EQUAL: lambda: value != wanted,
        Operator.GREATER: lambda: same and value > wanted,
        Operator.GREATER_OR_EQUAL: lambda: same and value >= wanted,
        Operator.LESS: lambda: same and value < wanted,
        Operator.LESS_OR_EQUAL: lambda: same and value <= wanted,
        Operator.CONTAINS: lambda: matches(f"%{wanted}%", str(value)),
        Operator.NOT_LIKE: lambda: not matches(str(wanted), str(value)),
        Operator.IN: lambda: value in [wanted for wanted in condition.values if wanted is not None],
        Operator.NOT_IN: lambda: value not in condition.values,
    }
    return compare[condition.operator]()


def matches(pattern: str, text: str) -> bool:
    """LIKE by its definition, slowly."""
    if not pattern:
        return not text
    if pattern[0] == "%":
        return any(matches(pattern[1:], text[start:]) for start in range(len(text) + 1))
    return bool(text) and pattern[0] in ("_", text[0]) and matches(pattern[1:], text[1:])


@given(DOCUMENTS, QUERIES)
def test_every_plan_answers_as_a_full_scan_does(documents: list[dict[str, Any]], query: Query) -> None:
    schema = TableSchema(
        "t", frozenset({"name", "note"}), frozenset({"phase", "name"}), frozenset({"started", "phase"})
    )
    table = MemoryStore().table(schema)
    for number, document in enumerate(documents):  # by way of another value, so that indexes move
        table.put(str(number), {"phase": "first", "started": -number})
        table.put(str(number), document)
    expected = brute_force(documents, query)
    assert table.keys(query) == expected
    half = [str(number) for number in range(0, len(documents), 2)]
    everything = brute_force(documents, replace(query, offset=0, limit=None))
    stop = None if query.limit is None else query.offset + query.limit
    assert table.keys(query, among=half) == [key for key in everything if key in half][query.offset : stop]
    assert table.count(query.conditions) == len(everything)
    for number in range(len(documents)):
        key = str(number)
        assert table.position(query, key) == (everything.index(key) if key in everything else None)
        kept = [one for one in everything if one in half]
        assert table.position(query, key, among=half) == (kept.index(key) if key in kept else None)


def test_a_page_deep_in_a_list_looks_at_few_rows(monkeypatch: pytest.MonkeyPatch) -> None:
    schema = TableSchema("t", frozenset({"phase"}), frozenset(), frozenset({"started"}))
    table = MemoryStore().table(schema)
    for number in range(20 * BLOCK_ROWS):
        table.put(str(number), {"phase": "AB"[number % 2], "started": -number})
    looked_at: list[int] = []
    keep = RowFilter.keep
    monkeypatch.setattr(RowFilter, "keep", lambda self, rows: looked_at.append(len(rows)) or keep(self, rows))
    conditions = (Condition("phase", Operator.EQUAL, ("A",)),)
    last = Query(conditions, order_by="started", offset=10 * BLOCK_ROWS - 3, limit=3)
    assert table.keys(last) == ["4", "2", "0"]
    assert sum(looked_at) == 20 * BLOCK_ROWS  # once, and never again

    for number in (2, 5000, 7777):  # each in another block
        table.put(str(number), {"phase": "B", "started": -number})
    looked_at.clear()
    assert table.keys(replace(last, offset=last.offset - 2)) == ["6", "4", "0"]
    assert table.position(replace(last, descending=True), "6") == 2
    assert sum(looked_at) <= 5 * 2 * BLOCK_ROWS
    assert table.count(conditions) == 10 * BLOCK_ROWS - 2


def test_the_far_end_of_a_list_with_a_new_filter_is_found_from_there(monkeypatch: pytest.MonkeyPatch) -> None:
    schema = TableSchema("t", frozenset(), frozenset({"phase"}), frozenset({"started", "duration"}))
    table = MemoryStore().table(schema)
    rows = 20 * BLOCK_ROWS
    for number in range(rows):
        phase = "FAILED" if number % 10 == 0 else "SUCCEEDED"
        table.put(str(number), {"phase": phase, "started": number, "duration": number % 100})
    looked_at: list[int] = []
    keep = RowFilter.keep
    monkeypatch.setattr(RowFilter, "keep", lambda self, rows: looked_at.append(len(rows)) or keep(self, rows))
    conditions = (Condition("phase", Operator.EQUAL, ("SUCCEEDED",)), Condition("duration", Operator.GREATER, (20,)))
    expected = [number for number in range(rows) if number % 10 and number % 100 > 20]
    last = Query(conditions, order_by="started", offset=len(expected) - 3, limit=5)
    assert table.keys(last) == [str(number) for number in expected[-3:]]
    assert table.position(last, str(expected[-2])) == len(expected) - 2
    first = replace(last, descending=True)
    assert table.keys(first) == [str(number) for number in expected[2::-1]]
    assert table.keys(replace(last, offset=len(expected))) == []
    assert table.count(conditions) == len(expected)
    assert sum(looked_at) < rows, "all of them four times, and those that failed for each total"


def test_pages_of_a_list_in_turn_do_not_count_its_rows_each_time(monkeypatch: pytest.MonkeyPatch) -> None:
    schema = TableSchema("t", frozenset(), frozenset({"phase"}), frozenset({"started", "duration"}))
    table = MemoryStore().table(schema)
    rows = 20 * BLOCK_ROWS
    for number in range(rows):  # half of them: looking at either half is as dear
        phase = "FAILED" if number // 2 % 2 == 0 else "SUCCEEDED"
        table.put(str(number), {"phase": phase, "started": number, "duration": number % 100})
    conditions = (Condition("phase", Operator.EQUAL, ("SUCCEEDED",)), Condition("duration", Operator.GREATER, (20,)))
    page = Query(conditions, order_by="started", descending=True, limit=BLOCK_ROWS // 4)
    expected = [str(number) for number in reversed(range(rows)) if number // 2 % 2 and number % 100 > 20]
    looked_at: list[int] = []
    keep = RowFilter.keep
    monkeypatch.setattr(RowFilter, "keep", lambda self, rows: looked_at.append(len(rows)) or keep(self, rows))
    found: list[str] = []
    pages = 0
    while some := table.keys(replace(page, offset=len(found))):
        found += some
        pages += 1
        assert table.position(page, some[-1]) == len(found) - 1
        assert table.count(conditions) == len(expected)
    assert found == expected
    assert sum(looked_at) < 3 * rows + 6 * BLOCK_ROWS * pages, "each block for the list and for the count, and a few"


@given(st.text("ab%_", max_size=6), st.text("ab", max_size=6))
def test_like_matches_by_its_definition(pattern: str, text: str) -> None:
    assert (like(pattern).fullmatch(text) is not None) == matches(pattern, text)


def test_a_hostile_pattern_is_quick() -> None:
    started = time.perf_counter()
    assert like("%a" * 50 + "%b").fullmatch("a" * 5000) is None
    assert time.perf_counter() - started < 5


def test_pages_of_a_large_table_hold_together() -> None:
    schema = TableSchema("t", frozenset({"phase"}), frozenset({"phase"}), frozenset({"started"}))
    table = MemoryStore().table(schema)
    for number in range(3000):
        table.put(str(number), {"phase": "AB"[number % 2], "started": number * 7 % 100})
    query = Query((Condition("phase", Operator.EQUAL, ("A",)),), order_by="started", descending=True)
    pages = [table.keys(replace(query, offset=offset, limit=100)) for offset in range(0, 1600, 100)]
    assert [key for page in pages for key in page] == table.keys(query)
    assert len(table.keys(query)) == 1500
