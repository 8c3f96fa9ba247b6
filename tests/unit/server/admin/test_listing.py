from __future__ import annotations

from collections.abc import Iterable, Sequence

import pytest
from flyteidl.admin import common_pb2, project_pb2
from hypothesis import given
from hypothesis import strategies as st

from flytelite.errors import InvalidArgument
from flytelite.server.admin.filters import Filter, Kind
from flytelite.server.admin.listing import ROW, Entity, Join, Listing
from flytelite.server.admin.records import Record, Records
from flytelite.server.store.interface import Condition, Operator, Query
from flytelite.server.store.memory import MemoryStore

FRUIT = Entity(
    code="e",
    prefix="execution",
    columns={
        **ROW,
        "name": Kind.TEXT,
        "state": Kind.INTEGER,
        "duration": Kind.DURATION,
        "started_at": Kind.TIMESTAMP,
        "spec": Kind.OPAQUE,
    },
    renamed={},
)
TAG = Entity("et", "execution_tag", {**ROW, "key": Kind.TEXT, "value": Kind.TEXT, "execution": Kind.TEXT})
ADMIN_TAG = Entity("at", "admin_tag", {**ROW, "name": Kind.TEXT}, renamed={"name": "key"})
BASKET = Entity("l", "launch_plan", {**ROW, "name": Kind.TEXT, "spec": Kind.OPAQUE})

SORTS = {common_pb2.Sort.ASCENDING: False, common_pb2.Sort.DESCENDING: True}


class Fruits:
    """A list of rows of every kind of column, with tags in another table."""

    def __init__(self, rows: Iterable[tuple[str, int | None, float | None]], tags: Sequence[tuple[int, str, str]] = ()):
        store = MemoryStore()
        schema = FRUIT.schema("fruits", indexed=["name"], sorted=["created_at"], extra=["launch_plan.name"])
        self.records = Records(store, schema, project_pb2.Project)
        self.tags = store.table(TAG.schema("tags", indexed=["key"]))
        self.rows: list[dict[str, object]] = []
        for number, (name, state, duration) in enumerate(rows):
            columns = {"name": name, "state": state, "duration": duration, "created_at": f"{number:09}"}
            self.rows.append({"key": str(number), **columns})
            self.records.put(
                Record(str(number), project_pb2.Project(id=str(number)), {**columns, "launch_plan.name": f"b{name}"})
            )
        for number, (row, key, value) in enumerate(tags):
            self.tags.put(str(number), {"execution": str(row), "key": key, "value": value})
        joins = [Join((TAG, ADMIN_TAG), self._tagged), Join((BASKET,), stored={"name": "launch_plan.name"})]
        self.listing = Listing(self.records, FRUIT, joins)

    def _tagged(self, conditions: Sequence[Condition]) -> Iterable[str]:
        for key in self.tags.keys(Query(tuple(conditions))):
            yield (self.tags.get(key) or {})["execution"]

    def page(self, limit: int = 100, sort: tuple[str, int] | None = None, **arguments) -> tuple[list[str], str]:
        sort_by = None if sort is None else common_pb2.Sort(key=sort[0], direction=sort[1])
        page = self.listing.page(rpc="ListFruits", limit=limit, sort_by=sort_by, **arguments)
        return [record.message.id for record in page.records], page.token


def test_rows_come_as_inserted_and_a_full_page_has_a_token():
    fruits = Fruits([("c", 0, 1.0), ("a", 0, 1.0), ("b", 0, 1.0)])
    assert fruits.page(2) == (["0", "1"], "2")
    assert fruits.page(2, token="2") == (["2"], "")
    assert fruits.page(3) == (["0", "1", "2"], "3")
    assert fruits.page(3, token="3") == ([], "")
    assert fruits.page(0) == (["0", "1", "2"], "")


@pytest.mark.parametrize("token", ["x", "-1", "1.5", "1 ", "٣", "9" * 30])
def test_tokens_that_are_no_offsets(token):
    with pytest.raises(InvalidArgument, match=rf"^invalid pagination token {token} for ListFruits$"):
        Fruits([]).page(token=token)


def test_any_offset_is_a_token():
    assert Fruits([("a", 0, 0.0)]).page(token="+7") == ([], "")


def test_sort_keys():
    fruits = Fruits([("b", 0, 1.0), ("a", 0, 1.0)])
    assert fruits.page(sort=("name", common_pb2.Sort.ASCENDING))[0] == ["1", "0"]
    assert fruits.page(sort=("id", common_pb2.Sort.DESCENDING))[0] == ["1", "0"]
    assert fruits.page(sort=("spec", common_pb2.Sort.ASCENDING))[0] == ["0", "1"]
    for key in ("", "nope", "execution.name", "launch_plan.name"):
        with pytest.raises(InvalidArgument, match=f"^invalid sort key '{key}'$"):
            fruits.page(sort=(key, common_pb2.Sort.ASCENDING))
    with pytest.raises(InvalidArgument, match="invalid sort order"):
        fruits.page(sort=("name", 7))


def test_the_direction_is_descending_unless_said_otherwise():
    listing = Fruits([("a", 0, 0.0), ("b", 0, 0.0)]).listing
    page = listing.page(rpc="", limit=9, sort_by=common_pb2.Sort(key="name"))
    assert [record.message.id for record in page.records] == ["1", "0"]


@pytest.mark.parametrize(
    ("filters", "message"),
    [
        ("eq(nope,1)", "'e.nope' is invalid filter"),
        ("eq(execution.nope,1)", "'e.nope' is invalid filter"),
        ("eq(my.name,1)", "'e.my.name' is invalid filter"),
        ("eq(launch_plan.state,1)", "'l.state' is invalid filter"),
        ("eq(workflow.name,1)", "'w' entity is not allowed in filters"),
        ("eq(execution_admin_tag.id,1)", "'eat' entity is not allowed in filters"),
        ("same(name,1)", "unrecognized filter function: same"),
        ("eq(name)", "invalid value for filters"),
    ],
)
def test_filters_that_cannot_be_used(filters, message):
    with pytest.raises(InvalidArgument) as caught:
        Fruits([]).page(filters=filters)
    assert str(caught.value) == message


def test_columns_that_are_not_kept_satisfy_no_comparison():
    fruits = Fruits([("a", 0, 0.0)])
    assert fruits.page(filters="eq(spec,x)") == ([], "")
    assert fruits.page(filters="ne(launch_plan.spec,x)") == ([], "")
    assert fruits.page(filters="eq(deleted_at,x)") == ([], "")


def test_stored_fields_of_another_entity():
    fruits = Fruits([("a", 0, 0.0), ("b", 0, 0.0)])
    assert fruits.page(filters="eq(launch_plan.name,bb)") == (["1"], "")


def test_conditions_on_one_joined_entity_hold_for_one_row_of_it():
    tags = [(0, "team", "x"), (1, "team", "y"), (1, "x", "x"), (2, "team", "x")]
    fruits = Fruits([("a", 0, 0.0), ("b", 0, 0.0), ("a", 0, 0.0)], tags)
    both = "eq(execution_tag.key,team)+eq(execution_tag.value,x)"
    assert fruits.page(filters=both) == (["0", "2"], "")
    assert fruits.page(filters=f"{both}+eq(name,b)") == ([], "")
    assert fruits.page(filters="eq(admin_tag.name,team)+eq(execution_tag.value,y)") == (["1"], "")
    assert fruits.page(filters=both, among=["2", "1"]) == (["2"], "")


def test_a_row_shows_up_for_each_row_it_is_joined_to():
    fruits = Fruits([("a", 0, 0.0), ("b", 0, 0.0)], [(0, "k", "1"), (0, "k", "2"), (1, "k", "1")])
    assert fruits.page(filters="eq(execution_tag.key,k)") == (["0", "0", "1"], "")
    assert fruits.page(2, filters="eq(execution_tag.key,k)") == (["0", "0"], "2")
    assert fruits.page(2, filters="eq(execution_tag.key,k)", token="2") == (["1"], "")
    descending = ("name", common_pb2.Sort.DESCENDING)
    assert fruits.page(2, sort=descending, filters="eq(execution_tag.key,k)") == (["1", "0"], "2")


def test_scope_always_holds_and_implicit_conditions_depend_on_the_filters():
    def active(filters: Sequence[Filter]) -> Sequence[Condition]:
        named = any(filter.field == "state" for filter in filters)
        return () if named else (Condition("state", Operator.EQUAL, (0,)),)

    fruits = Fruits([("a", 0, 0.0), ("a", 1, 0.0), ("b", 0, 0.0)])
    scope = (Condition("name", Operator.EQUAL, ("a",)),)
    assert fruits.page(scope=scope, implicit=active)[0] == ["0"]
    assert fruits.page(scope=scope, implicit=active, filters="eq(state,1)")[0] == ["1"]
    assert fruits.page(scope=scope, implicit=active, filters="ne(name,z)")[0] == ["0"]


COMPARISONS = {
    "eq": lambda a, b: a == b,
    "ne": lambda a, b: a != b,
    "gt": lambda a, b: a > b,
    "gte": lambda a, b: a >= b,
    "lt": lambda a, b: a < b,
    "lte": lambda a, b: a <= b,
}
names = st.sampled_from(["a", "b", "ab", "B"])
states = st.none() | st.integers(0, 3)
seconds = st.none() | st.sampled_from([0.0, 0.5, 2.0])
rows_ = st.lists(st.tuples(names, states, seconds), max_size=12)
filters_ = st.lists(
    st.one_of(
        st.tuples(st.sampled_from(list(COMPARISONS)), st.just("name"), names),
        st.tuples(st.sampled_from(list(COMPARISONS)), st.just("state"), st.integers(0, 3)),
        st.tuples(st.sampled_from(list(COMPARISONS)), st.just("duration"), st.sampled_from([0.0, 0.5, 2.0])),
    ),
    max_size=3,
)
sorts = st.none() | st.tuples(st.sampled_from(["name", "state", "duration", "created_at"]), st.sampled_from([*SORTS]))


@given(rows_, filters_, sorts, st.integers(1, 5))
def test_pages_are_slices_of_what_brute_force_finds(rows, filters, sort, limit):
    fruits = Fruits(rows)
    expected = [
        row
        for row in fruits.rows
        if all(
            row[column] is not None and COMPARISONS[function](row[column], value) for function, column, value in filters
        )
    ]
    if sort is not None:  # missing values are greater than all others, ties come as they were inserted
        column, descending = sort[0], SORTS[sort[1]]
        expected.sort(
            key=lambda row: (row[column] is None, row[column] if row[column] is not None else 0, row["created_at"])
        )
        if descending:
            expected.reverse()
    text = "+".join(f"{function}({column},{value})" for function, column, value in filters)
    found, token = [], ""
    for _ in range(len(rows) + 2):
        ids, token = fruits.page(limit, sort=sort, filters=text, token=token)
        found += ids
        if not token:
            break
    assert token == ""
    assert found == [row["key"] for row in expected]
