"""List requests: filters, joins, sort keys and page tokens become one query over a table's indexes.

Source: flyteadmin/pkg/manager/impl/util/filters.go, flyteadmin/pkg/common/{entity,sorting}.go,
flyteadmin/pkg/repositories/models/.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Generic, TypeVar

from flyteidl.admin import common_pb2
from google.protobuf.message import Message

from flytelite.errors import InvalidArgument
from flytelite.server.admin.bookmarks import Bookmarks
from flytelite.server.admin.filters import PREFIXES, Filter, Kind, condition, parse
from flytelite.server.admin.records import Record, Records
from flytelite.server.store.interface import Condition, Query, TableSchema

M = TypeVar("M", bound=Message)

ROW = {
    "id": Kind.OPAQUE,
    "created_at": Kind.TIMESTAMP,
    "updated_at": Kind.TIMESTAMP,
    "deleted_at": Kind.OPAQUE,
}
"""The columns that every entity has: its row's number and times. Rows are sorted by ``id`` as they were inserted."""

_TOKEN = re.compile(r"[+-]?[0-9]+")


@dataclass(frozen=True)
class Entity:
    """What a list shows: its code in error messages (``t``), its prefix in fields (``task``), and its columns.

    ``renamed`` maps fields that are accepted in filters to the columns that they stand for.
    """

    code: str
    prefix: str
    columns: Mapping[str, Kind]
    renamed: Mapping[str, str] = field(default_factory=dict)

    def condition(self, filter: Filter) -> Condition:
        """The filter over this entity's column. Raises InvalidArgument for a column that it does not have."""
        kind = self.columns.get(filter.field)
        if kind is None:
            raise InvalidArgument(f"'{self.code}.{filter.field}' is invalid filter")
        return condition(filter, self.renamed.get(filter.field, filter.field), kind)

    def is_kept(self, column: str) -> bool:
        """Whether documents hold the column."""
        return self.columns.get(column) is not Kind.OPAQUE

    def schema(
        self,
        name: str,
        indexed: Iterable[str] = (),
        sorted: Iterable[str] = (),
        extra: Iterable[str] = (),
        partition: int = 0,
    ) -> TableSchema:
        """The schema of a table that keeps this entity; ``extra`` columns are known to our own code only."""
        kept = {column for column in self.columns if self.is_kept(column)}
        return TableSchema(name, frozenset(kept | set(extra)), frozenset(indexed), frozenset(sorted), partition)


@dataclass(frozen=True)
class Join:
    """Another table whose fields filter this list.

    All conditions on ``entities`` (more than one when several prefixes name the same table) must hold for one and
    the same row there. ``keys`` answers with the keys of the listed rows that are joined to the rows which satisfy
    the conditions, a key as often as there are such rows. Fields in ``stored`` need no join: they are also columns of
    the listed table, under the name given there; ``keys`` is not needed when all fields are.
    """

    entities: tuple[Entity, ...]
    keys: Callable[[Sequence[Condition]], Iterable[str]] | None = None
    stored: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Page(Generic[M]):
    """Rows and the token of the next page, empty when this page is not full."""

    records: list[Record[M]]
    token: str


@dataclass
class _Plan:
    """The filters of one request: on the listed table, and on joined ones."""

    conditions: list[Condition] = field(default_factory=list)
    joined: dict[int, list[Condition]] = field(default_factory=dict)
    impossible: bool = False


def no_conditions(filters: Sequence[Filter]) -> Sequence[Condition]:
    """The implicit conditions of a list that has none."""
    return ()


def page_offset(token: str, rpc: str) -> int:
    """The row at which the page begins. Raises InvalidArgument when the token is no decimal, non-negative number.

    ``rpc`` is the end of the error's text, such as `` for ListTasks``.
    """
    if not token:
        return 0
    offset = int(token) if _TOKEN.fullmatch(token) and len(token) <= 19 else -1
    if offset < 0:
        raise InvalidArgument(f"invalid pagination token {token}" + (f" for {rpc}" if rpc else ""))
    return offset


def next_token(offset: int, rows: int, limit: int) -> str:
    """The token that comes with a page: empty unless the page is full."""
    return str(offset + rows) if rows and rows == limit else ""


def check_sort(sort_by: common_pb2.Sort | None, columns: Iterable[str]) -> tuple[str | None, bool]:
    """The column to sort by and whether descending. Raises InvalidArgument for another key or direction."""
    if sort_by is None:
        return None, False
    if sort_by.key not in columns:
        raise InvalidArgument(f"invalid sort key '{sort_by.key}'")
    if sort_by.direction not in (common_pb2.Sort.ASCENDING, common_pb2.Sort.DESCENDING):
        raise InvalidArgument(f"invalid sort order specified: {sort_by.direction}")
    return str(sort_by.key), sort_by.direction == common_pb2.Sort.DESCENDING


def sort_of(request: Message) -> common_pb2.Sort | None:
    """The request's ``sort_by`` when it is set."""
    return request.sort_by if request.HasField("sort_by") else None  # type: ignore[attr-defined]


class Listing(Generic[M]):
    """The list RPCs over one table."""

    def __init__(
        self,
        records: Records[M],
        entity: Entity,
        joins: Sequence[Join] = (),
        bookmarks: Bookmarks | None = None,
    ) -> None:
        """``bookmarks`` are the table's when its listings are made anew for each request."""
        self.records = records
        self.entity = entity
        self.joins = tuple(joins)
        self.bookmarks = Bookmarks(records.table) if bookmarks is None else bookmarks
        self._reachable = {
            joined.prefix: (index, joined) for index, join in enumerate(joins) for joined in join.entities
        }

    def page(
        self,
        *,
        rpc: str,
        limit: int,
        token: str = "",
        filters: str = "",
        sort_by: common_pb2.Sort | None = None,
        scope: Sequence[Condition] = (),
        among: Iterable[str] | None = None,
        implicit: Callable[[Sequence[Filter]], Sequence[Condition]] = no_conditions,
    ) -> Page[M]:
        """The rows that satisfy the request's filters, ``scope`` and the ``implicit`` conditions for these filters.

        ``limit`` 0 means all rows (the caller refuses it where FlyteAdmin does); ``among`` restricts to some keys.
        A page goes on where the one before it ended, also when rows were inserted meanwhile.
        Without ``sort_by`` rows come as they were inserted, which also settles ties. Raises InvalidArgument for
        filters, sort keys and tokens that cannot be used, the latter naming ``rpc``.
        """
        parsed = parse(filters)
        plan = self._plan(parsed)
        key, descending = check_sort(sort_by, self.entity.columns)
        offset = page_offset(token, rpc)
        if plan.impossible:
            return Page([], "")
        order_by = key if key is not None and self.entity.is_kept(key) else None
        query = Query((*scope, *implicit(parsed), *plan.conditions), order_by, descending, offset, limit or None)
        records = self._rows(query, self._joined(plan), among, (rpc, scope, filters, key, descending))
        return Page(records, next_token(offset, len(records), limit))

    def following(self, query: Query, name: object, among: Iterable[str] | None = None) -> list[Record[M]]:
        """The rows of a page, after those of the page before it; ``name`` is what the list is known by."""
        begin = self.bookmarks.offset(name, query.offset, query, among)
        records = self.records.find(replace(query, offset=begin), among)
        if records and len(records) == query.limit:
            last = records[-1]
            value = None if query.order_by is None else last.columns.get(query.order_by)
            self.bookmarks.put(name, query.offset + query.limit, last.key, value)
        return records

    def _plan(self, filters: Sequence[Filter]) -> _Plan:
        plan = _Plan()
        for filter in filters:
            if filter.entity_prefix is None or filter.entity_prefix == self.entity.prefix:
                condition = self.entity.condition(filter)
                plan.conditions.append(condition)
                plan.impossible |= not self.entity.is_kept(condition.column)
                continue
            if filter.entity_prefix not in self._reachable:
                raise InvalidArgument(f"'{PREFIXES[filter.entity_prefix]}' entity is not allowed in filters")
            index, joined = self._reachable[filter.entity_prefix]
            condition = joined.condition(filter)
            plan.impossible |= not joined.is_kept(condition.column)
            stored = self.joins[index].stored.get(condition.column)
            if stored is not None:
                plan.conditions.append(Condition(stored, condition.operator, condition.values))
            else:
                plan.joined.setdefault(index, []).append(condition)
        return plan

    def _joined(self, plan: _Plan) -> Counter[str] | None:
        """How often each row is joined; None when no join is needed."""
        times: Counter[str] | None = None
        for index, conditions in plan.joined.items():
            find = self.joins[index].keys
            assert find is not None
            keys = Counter(find(conditions))
            times = keys if times is None else Counter({key: n * keys[key] for key, n in times.items() if key in keys})
        return times

    def _rows(
        self, query: Query, times: Counter[str] | None, among: Iterable[str] | None, name: object
    ) -> list[Record[M]]:
        """The page's rows; ``name`` is what the list is known by."""
        if times is None:
            return self.following(query, name, among)
        keys = set(times) if among is None else set(times).intersection(among)
        if all(times[key] == 1 for key in keys):
            return self.following(query, name, keys)
        ordered = self.records.table.keys(Query(query.conditions, query.order_by, query.descending), keys)
        found = map(self.records.get, self._repeated(ordered, times, query, name))
        return [record for record in found if record is not None]

    def _repeated(self, ordered: list[str], times: Counter[str], query: Query, name: object) -> list[str]:
        """The page's keys. As in SQL, a row shows up once for each row that it is joined to, and a page counts all."""
        repeated = [key for key in ordered for _ in range(times[key])]
        begin = query.offset
        bookmark = self.bookmarks.find(name, begin)
        if bookmark is not None and bookmark.key in ordered:
            begin = repeated.index(bookmark.key) + bookmark.times
        end = len(repeated) if query.limit is None else begin + query.limit
        page = repeated[begin:end]
        if page and len(page) == query.limit:
            shown = end - repeated.index(page[-1])
            self.bookmarks.put(name, query.offset + query.limit, page[-1], times=shown)
        return page
