from __future__ import annotations

import pytest

from flytelite.server.admin import bookmarks
from flytelite.server.admin.bookmarks import Bookmarks
from flytelite.server.store.interface import Query, Table, TableSchema
from flytelite.server.store.memory import MemoryStore

NEWEST_FIRST = Query(order_by="n", descending=True)


@pytest.fixture
def table() -> Table:
    table = MemoryStore().table(TableSchema("numbers", frozenset({"n"})))
    for n in (1, 2, 3, None):
        table.put(f"{n}", {"n": n})
    return table


def test_rows_inserted_before_a_page_move_it(table: Table):
    kept = Bookmarks(table)
    kept.put("list", 2, "3", 3)
    assert kept.offset("list", 2, NEWEST_FIRST) == 2
    table.put("9", {"n": 9})
    table.put("3 too", {"n": 3})
    table.put("0", {"n": 0})
    assert kept.offset("list", 2, NEWEST_FIRST) == 4


@pytest.mark.parametrize(("list", "offset"), [("other", 2), ("list", 3), ("list", 0)])
def test_tokens_that_nobody_was_given_are_offsets(table: Table, list: str, offset: int):
    kept = Bookmarks(table)
    kept.put("list", 2, "3", 3)
    table.put("9", {"n": 9})
    assert kept.offset(list, offset, NEWEST_FIRST) == offset


def test_a_row_that_went_or_moved_is_no_bookmark(table: Table):
    kept = Bookmarks(table)
    kept.put("list", 2, "3", 3)
    table.put("9", {"n": 9})
    table.put("3", {"n": 0})
    assert kept.offset("list", 2, NEWEST_FIRST) == 2
    table.remove("3")
    assert kept.offset("list", 2, NEWEST_FIRST) == 2


def test_bookmarks_are_forgotten(table: Table, monkeypatch: pytest.MonkeyPatch):
    now = 0.0
    kept = Bookmarks(table, clock=lambda: now)
    kept.put("list", 2, "3", 3)
    now = bookmarks.SECONDS + 1
    assert kept.find("list", 2) is None
    monkeypatch.setattr(bookmarks, "KEPT", 2)
    for offset in (1, 2, 3):
        kept.put("list", offset, "3", 3)
    assert [kept.find("list", offset) is not None for offset in (1, 2, 3)] == [False, True, True]
