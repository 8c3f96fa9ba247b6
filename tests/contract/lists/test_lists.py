"""Lists over random entities answer what a look at every row answers: filters, joins, order and pages."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from itertools import count
from typing import Any

import grpc
import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from flytelite.errors import Code, InvalidArgument

from ..rpcs.rows import METHODS, Call
from ..rpcs.server import Server
from ..rpcs.ways import OverGrpc
from ..rpcs.words import SCOPE
from .columns import COLUMNS, LISTS, Kind, List
from .drafts import DRAFTS
from .keys import name_of
from .model import listed
from .requests import FUNCTIONS, OTHER, filters, write, written
from .universe import Universe

REQUESTS = 4
"""Of each list in each universe."""

ORDERS = {"ASCENDING": False, "DESCENDING": True}
FOUND_ONLY = (Phase.explicit, Phase.reuse, Phase.generate)
"""Whole universes take minutes to shrink."""
thorough = settings(suppress_health_check=list(HealthCheck), phases=FOUND_ONLY)


@dataclass
class Asked:
    """A request and the rows that answer it, in order."""

    request: dict[str, Any]
    expected: list[Any]


def draw_request(data: st.DataObject, universe: Universe, asked: List) -> Asked:
    text, conditions = data.draw(filters(asked, universe.rows[asked.entity]), label="filters")
    request = {**universe.request(asked.method), **({"filters": text} if text else {})}
    rows = universe.rows_of(asked.method, [one.rpartition(".")[2] for one in columns_in(text)])
    key = data.draw(st.none() | st.sampled_from(sorted(COLUMNS[asked.entity])), label="sort key")
    order = data.draw(st.sampled_from(sorted(ORDERS)), label="order")
    if key is None:
        return Asked(request, listed(rows, conditions, "identifier" if asked.entity == "project" else None))
    request["sort_by"] = {"key": key, "direction": order}
    return Asked(request, listed(rows, conditions, key, ORDERS[order]))


def columns_in(text: str) -> list[str]:
    return [one.partition("(")[2].rpartition(",")[0] for one in text.split("+") if one]


def compare(data: st.DataObject, universe: Universe, asked: List, answer: Callable[[Call], Any]) -> None:
    """Ask for some rows of one list, in pages, and compare with the model. ``answer`` makes the call."""
    drawn = draw_request(data, universe, asked)
    limit = data.draw(st.integers(1, 4), label="limit")

    def page(token: str) -> tuple[list[Any], str]:
        answered = answer(Call(asked.method, {**drawn.request, "limit": limit, "token": token}))
        return [name_of(item) for item in getattr(answered, asked.field)], answered.token

    start = data.draw(st.integers(0, len(drawn.expected) + 1), label="token")
    assert page(str(start))[0] == drawn.expected[start : start + limit]
    found, token = page("")
    pages = [found]
    while token:
        assert token == str(limit * len(pages))
        found, token = page(token)
        pages.append(found)
    assert all(len(found) == limit for found in pages[:-1])
    assert len(pages[-1]) < limit
    assert [name for found in pages for name in found] == drawn.expected


@pytest.mark.parametrize("asked", LISTS, ids=str)
@settings(thorough, max_examples=12, derandomize=True)
@given(data=st.data())
def test_lists(asked: List, server: Server, data: st.DataObject):
    universe = Universe(server, data.draw(DRAFTS))
    for _ in range(REQUESTS):
        compare(data, universe, asked, universe.world.do)


@pytest.mark.soak
@pytest.mark.parametrize("asked", LISTS, ids=str)
@settings(thorough, max_examples=150)
@given(data=st.data())
def test_lists_at_length(asked: List, server: Server, data: st.DataObject):
    universe = Universe(server, data.draw(DRAFTS))
    for _ in range(REQUESTS):
        compare(data, universe, asked, universe.world.do)


LETTERS = st.sampled_from("abcz")
IDS = {"ListTaskIds": "task", "ListWorkflowIds": "workflow", "ListLaunchPlanIds": "launch_plan"}


@pytest.mark.parametrize("method", IDS)
@settings(thorough, max_examples=12, derandomize=True)
@given(data=st.data())
def test_names(method: str, server: Server, data: st.DataObject):
    """Each name once, whatever filters say; only what names consist of can be sorted by."""
    universe = Universe(server, data.draw(DRAFTS))
    request: dict[str, Any] = {**SCOPE, "limit": data.draw(st.integers(1, 3)), "filters": "eq(name,a)"}
    key = data.draw(st.none() | st.sampled_from(sorted(COLUMNS[IDS[method]])), label="sort key")
    order = data.draw(st.sampled_from(sorted(ORDERS)), label="order")
    if key is not None:
        request["sort_by"] = {"key": key, "direction": order}
    if key not in (None, "project", "domain", "name"):
        refuses(lambda: universe.world.do(Call(f"AdminService/{method}", request)), f"invalid sort key '{key}'")
        return
    old = sorted({str(row.columns["name"]) for row in universe.rows[IDS[method]]})
    shown: list[str] = []
    for number in count():
        token = str(len(shown)) if shown else ""
        answer = universe.world.do(Call(f"AdminService/{method}", {**request, "token": token}))
        shown += [id.name for id in answer.entities]
        assert answer.token == (str(len(shown)) if len(answer.entities) == request["limit"] else "")
        if not answer.token:
            break
        if number < 5:
            universe.insert(f"AdminService/{method.replace('Id', '')}", data.draw(LETTERS), number)
    assert [name for name in shown if name in old] == (old[::-1] if key and ORDERS[order] else old)
    assert len(shown) == len(set(shown))


@pytest.mark.parametrize("asked", LISTS, ids=str)
@settings(thorough, max_examples=12, derandomize=True)
@given(data=st.data())
def test_pages_while_rows_are_inserted(asked: List, server: Server, data: st.DataObject):
    """What was there before the first page is shown once and in order, whatever the list is sorted by."""
    universe = Universe(server, data.draw(DRAFTS))
    drawn = draw_request(data, universe, asked)
    limit = data.draw(st.integers(1, 3), label="limit")
    shown, token, inserted = [], "", 0
    while token or not shown:
        answer = universe.world.do(Call(asked.method, {**drawn.request, "limit": limit, "token": token}))
        shown += [name_of(item) for item in getattr(answer, asked.field)]
        token = answer.token
        assert token in ("", str(len(shown)))
        for letter in data.draw(st.lists(LETTERS, max_size=3), label="inserted") if inserted < 9 else ():
            universe.insert(asked.method, letter, inserted)
            inserted += 1
        if not token:
            break
    assert [name for name in shown if name in drawn.expected] == drawn.expected
    new = [name for name in shown if name not in drawn.expected]
    assert asked.joined or len(new) == len(set(new))


@settings(thorough, max_examples=5, derandomize=True)
@given(data=st.data())
def test_lists_over_grpc(server: Server, channel: grpc.Channel, data: st.DataObject):
    universe = Universe(server, data.draw(DRAFTS))
    way = OverGrpc(channel)

    def answer(call: Call) -> Any:
        found = way.call(METHODS[call.method], call.message(universe.world.bucket_path))
        assert found.response is not None, found.status
        return found.response

    for asked in LISTS:
        compare(data, universe, asked, answer)


@pytest.fixture(scope="module")
def universe(server: Server) -> Universe:
    """The same few entities for everybody."""
    running = [{"phase": "RUNNING"}]
    execution = {"runs": 0, "mode": 0, "labels": {}, "tags": [], "history": running, "end": ""}
    draft = {
        "projects": {},
        "tasks": {("a", "v1"): ("", ""), ("b", "v1"): ("", "")},
        "entities": [],
        "workflows": {("a", "v1"): ""},
        "plans": {("a", "v1"): (0, "NONE", True)},
        "executions": {"a": execution, "b": execution},
        "nodes": {"n0": running, "n1": running},
        "attempts": {(0, 0): (running, 0), (0, 1): (running, 0)},
        "signals": ["a", "b"],
        "steps": [1],
    }
    return Universe(server, draft)


BAD: dict[Kind, list[str]] = {
    Kind.INTEGER: ["x", "1.5", "", "9" * 30, "ACTIVE", "0x1", "٣"],
    Kind.TIMESTAMP: ["x", "yesterday", "2024-13-01T00:00:00Z", "2024-01-01T25:00:00Z", "1700000000", "0000-00-00"],
    Kind.DURATION: ["x", "1 s", "1y", "1e999", "nan", "--1", "1h-1m"],
}
COLUMNS_OF_LISTS = [
    pytest.param(asked, prefix, column, kind, id=f"{asked} {prefix or ''}{'.' if prefix else ''}{column}")
    for asked in LISTS
    if asked.filters
    for prefix in (None, *asked.joined)
    for column, kind in COLUMNS[prefix or asked.entity].items()
]


@pytest.mark.parametrize(("asked", "prefix", "column", "kind"), COLUMNS_OF_LISTS)
def test_functions_of_a_column(asked: List, prefix: str | None, column: str, kind: Kind, universe: Universe):
    def ask(function: str, *values: str) -> Any:
        request = {**universe.request(asked.method), "limit": 1, "filters": write(function, prefix, column, *values)}
        return universe.world.do(Call(asked.method, request))

    value = written(next(filter(None, OTHER[kind])), kind)
    for function in FUNCTIONS:
        if function in ("contains", "not_like") and kind not in (Kind.TEXT, Kind.BLOB):
            refuses(lambda: ask(function, value), column)  # noqa: B023
            continue
        ask(function, value)
        if function.startswith("value_"):
            ask(function, value, value)
        else:
            refuses(lambda: ask(function, value, value), "takes one value, got 2")  # noqa: B023
        for bad in filter(None, BAD.get(kind, ())):
            refuses(lambda: ask(function, bad), bad)  # noqa: B023
    refuses(lambda: ask("between", value), "unrecognized filter function: between")
    refuses(lambda: ask("eq", ""), "invalid value for filters")


def refuses(ask: Any, words: str) -> None:
    with pytest.raises(InvalidArgument) as caught:
        ask()
    assert caught.value.code is Code.INVALID_ARGUMENT
    assert words in caught.value.message


@pytest.mark.parametrize("asked", LISTS, ids=str)
def test_columns_that_are_not_there(asked: List, universe: Universe):
    request = {**universe.request(asked.method), "limit": 1}
    everything = {column for columns in COLUMNS.values() for column in columns} | {"nonsense", "execution.phase"}
    for column in everything - COLUMNS[asked.entity].keys():
        sort_by = {"key": column, "direction": "ASCENDING"}
        refuses(lambda: universe.world.do(Call(asked.method, {**request, "sort_by": sort_by})), f"'{column}'")  # noqa: B023
        if asked.filters and "." not in column:
            refuses(
                lambda: universe.world.do(Call(asked.method, {**request, "filters": f"eq({column},x)"})),  # noqa: B023
                f"{column}' is invalid filter",
            )
