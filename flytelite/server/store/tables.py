"""TinyDB's table over rows in memory: changes are recorded one by one where TinyDB rewrites the whole file."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from typing import Any

import orjson
from tinydb import table as tinydb
from tinydb.queries import QueryLike
from tinydb.storages import Storage

from flytelite.errors import Internal, InvalidArgument
from flytelite.server.store import planner
from flytelite.server.store.batches import Batches, Change
from flytelite.server.store.drafts import Draft, View
from flytelite.server.store.indexes import Indexes
from flytelite.server.store.interface import Condition, Document, Operator, Query, Scalar, TableSchema
from flytelite.server.store.partitions import Partitions, name_of
from flytelite.server.store.rows import Row, Rows, bulk, encode
from flytelite.server.store.segments import Segment

_SCALARS = frozenset({str, int, float, bool, type(None)})


class Table(tinydb.Table):
    """Documents by key (``document_id_class`` is str), in insertion order, with the columns and indexes of its schema.

    Both ways of use work on it: this project's (get, put, remove by key; keys, count by ``Query``) and TinyDB's own
    (insert, search, update, upsert, remove, count by TinyDB's queries, which read every document). Each call is one
    atomic batch. Documents handed out are private copies.
    """

    document_id_class = str  # type: ignore[assignment]

    def __init__(
        self,
        schema: TableSchema,
        batches: Batches,
        storage: Storage,
        partitions: Partitions,
        columns: tuple[str, ...] | None = None,
    ) -> None:
        """``columns`` are those that rows in memory hold already, if any."""
        self.schema = schema
        self._batches = batches
        self._partitions = partitions
        self._rows = partitions.rows.setdefault(schema.name, {})
        self._indexes = Indexes(schema)
        self._numbers = 0
        super().__init__(storage, schema.name, cache_size=0)  # cached results would not be private copies
        with bulk():
            self._index(columns)

    def get(  # type: ignore[override]  # a key is told from a query by its type
        self,
        key: str | QueryLike | None = None,
        doc_id: str | None = None,
        doc_ids: list[str] | None = None,
        *,
        cond: QueryLike | None = None,
    ) -> Any:
        """The document of that key, or None; with any other argument, TinyDB's ``get``."""
        if not isinstance(key, str):
            return super().get(cond if key is None else key, doc_id, doc_ids)  # type: ignore[arg-type]
        row = self._find(key)
        return None if row is None else row.document()

    def put(self, key: str, document: Document) -> None:
        """Insert or replace. A replaced document keeps its place in insertion order.

        Raises InvalidArgument when the document is not JSON, or a column not a scalar.
        """
        columns = self._columns(key, document)
        encoded = encode(self.name, key, document)
        with self._batches.batch():
            row = self._find(key)
            undo: Callable[[], None]
            if row is None:
                row = Row(key, self._batches.next_order(), self._batches.next_revision(), encoded)
                row.columns = columns
                self._add(row)
                undo = partial(self._discard, row)
            else:
                undo = partial(self._change, row, row.columns, row.revision, row.content, row.segment)
                self._change(row, columns, self._batches.next_revision(), encoded, None)
            self._touch(key)
            self._batches.record(Change(self.name, row, encoded), undo)

    def remove(  # type: ignore[override]  # a key is told from a query by its type
        self, key: str | QueryLike | None = None, doc_ids: Iterable[str] | None = None, *, cond: QueryLike | None = None
    ) -> list[str]:
        """Remove the document of that key if present; with any other argument, TinyDB's ``remove``.

        Returns the keys that were removed.
        """
        if not isinstance(key, str):
            return super().remove(cond if key is None else key, doc_ids)  # type: ignore[arg-type,return-value]
        row = self._find(key)
        if row is None:
            return []
        with self._batches.batch():
            self._discard(row)
            self._touch(key)
            self._batches.record(Change(self.name, row, None), partial(self._add, row))
        return [key]

    def revision(self, key: str) -> int | None:
        """A number that is new with each change of that document and never used again; None when it is absent."""
        row = self._find(key)
        return None if row is None else row.revision

    def keys(self, query: Query, among: Iterable[str] | None = None) -> list[str]:
        """The keys of the documents that answer the query, in its order; ``among`` restricts it to some keys."""
        among = self._read(query.conditions, among)
        return [row.key for row in planner.select(self._rows, self._indexes, query, among)]

    def position(self, query: Query, key: str, among: Iterable[str] | None = None) -> int | None:
        """How many documents come before that of ``key`` in the query's whole list; None when it is not in it."""
        among = self._read(query.conditions, among)
        return planner.position(self._rows, self._indexes, query, key, among)

    def count(self, conditions: Sequence[Condition] | QueryLike = (), among: Iterable[str] | None = None) -> int:
        """How many documents satisfy all conditions; with a TinyDB query, how many match it."""
        if callable(conditions):
            return super().count(conditions)
        if not conditions and among is None:
            return len(self)
        among = self._read(conditions, among)
        return planner.count(self._rows, self._indexes, conditions, among)

    def __contains__(self, key: object) -> bool:
        return isinstance(key, str) and self._find(key) is not None

    def __len__(self) -> int:
        return len(self._rows) + self._partitions.folded.documents[self.name]

    @property
    def columns(self) -> tuple[str, ...]:
        """The names of a row's columns, in their order."""
        return self._indexes.columns

    def admit(self, row: Row, document: bytes) -> None:
        """Take a row of a partition that was read."""
        row.revision = self._batches.next_revision()
        row.columns = self._columns(row.key, orjson.loads(document))
        self._add(row)

    def forget(self, key: str) -> None:
        """Let go of a row of a partition that is on disk only from now on."""
        self._discard(self._rows[key])

    def _index(self, columns: tuple[str, ...] | None) -> None:
        known = columns == self._indexes.columns
        for row in self._rows.values() if self._indexes.columns else ():
            if not (known and row.columns):
                row.columns = self._columns(row.key, row.document())
        self._indexes.load(tuple(self._rows.values()))

    def _find(self, key: str) -> Row | None:
        row = self._rows.get(key)
        if row is None and self.schema.partition and self._partitions.folded:
            self._partitions.leave_some()
            self._partitions.enter(name_of(key, self.schema.partition))
            row = self._rows.get(key)
        return row

    def _touch(self, key: str) -> None:
        if self.schema.partition:
            self._partitions.touch(name_of(key, self.schema.partition))

    def _read(self, conditions: Iterable[Condition], among: Iterable[str] | None) -> Iterable[str] | None:
        """Have the partitions in memory that can hold what is asked for. Returns ``among``, to be used once more."""
        if not self.schema.partition or not self._partitions.folded:
            return among
        self._partitions.leave_some()
        among = None if among is None else list(among)
        keys = among
        for condition in conditions if keys is None else ():
            if condition.column in self.schema.indexed and condition.operator in (Operator.EQUAL, Operator.IN):
                keys = [value for value in condition.values if isinstance(value, str)]
        if keys is None:
            self._partitions.enter_all(self.name)
        for key in keys or ():
            self._partitions.enter(name_of(key, self.schema.partition))
        return among

    def _columns(self, key: str, document: Document) -> tuple[Scalar, ...]:
        columns = tuple(map(document.get, self._indexes.columns))
        if _SCALARS.issuperset(map(type, columns)):
            return columns
        for position, value in enumerate(columns):
            if value is not None and not isinstance(value, (str, int, float)):
                column = self._indexes.columns[position]
                raise InvalidArgument(f"column {column} of {self.name} {key!r} must be a scalar, not {value!r}")
        return columns

    def _add(self, row: Row) -> None:
        self._rows[row.key] = row
        row.weigh(1)
        self._indexes.add(row)

    def _change(
        self, row: Row, columns: tuple[Scalar, ...], revision: int, content: bytes | int, segment: Segment | None
    ) -> None:
        self._indexes.move(row, columns)
        row.revision = revision
        row.put(content, segment)

    def _discard(self, row: Row) -> None:
        self._indexes.remove(row)
        row.weigh(-1)
        del self._rows[row.key]

    def _read_table(self) -> dict[str, Mapping[Any, Any]]:
        self._partitions.enter_all(self.name)
        return View(self._in_order())  # type: ignore[return-value]  # all that TinyDB reads of it is a mapping

    def _update_table(self, updater: Callable[[Any], None]) -> None:
        self._partitions.enter_all(self.name)
        draft = Draft(self._in_order())
        updater(draft)
        with self._batches.batch():
            for key, document in draft.changes():
                if document is None:
                    self.remove(key)
                else:
                    self.put(key, document)

    def _in_order(self) -> Rows:
        return {row.key: row for row in self._indexes.inserted}

    def _get_next_id(self) -> str:
        """A key for a document inserted without one: a number, as in TinyDB, that no document has yet."""
        self._numbers = max(self._numbers, len(self)) + 1
        while str(self._numbers) in self:
            self._numbers += 1
        return str(self._numbers)


class Tables(Storage):
    """The tables of one store, made at their first use; to TinyDB its storage, which writes through tables alone."""

    def __init__(
        self, batches: Batches, partitions: Partitions, columns: Mapping[str, tuple[str, ...]] | None = None
    ) -> None:
        """``columns`` are those that the rows in memory hold already, by table."""
        self._batches = batches
        self._columns = columns or {}
        self.partitions = partitions
        self.tables: dict[str, Table] = {}

    def table(self, schema: TableSchema) -> Table:
        """The table of that schema. Raises Internal when the name is in use with another schema."""
        name = schema.name
        table = self.tables.get(name)
        if table is None:
            self.partitions.regroup(name, schema.partition)
            table = Table(schema, self._batches, self, self.partitions, self._columns.get(name))
            self.tables[name] = self.partitions.tables[name] = table
        if table.schema != schema:
            raise Internal(f"table {name} is in use with another schema")
        return table

    def read(self) -> dict[str, dict[str, Any]]:
        """Every document of every table in use, by name and key."""
        return {name: dict(table._read_table()) for name, table in self.tables.items()}

    def write(self, data: dict[str, dict[str, Any]]) -> None:
        """Refused: a table records its changes, the file is never written whole."""
        raise Internal("documents are written through their table")
