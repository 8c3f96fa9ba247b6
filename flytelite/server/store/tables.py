"""TinyDB's table over rows in memory: changes are recorded one by one where TinyDB rewrites the whole file."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from operator import attrgetter
from typing import Any

from tinydb import table as tinydb
from tinydb.queries import QueryLike
from tinydb.storages import Storage

from flytelite.errors import Internal, InvalidArgument
from flytelite.server.store import planner
from flytelite.server.store.batches import Batches, Change
from flytelite.server.store.drafts import Draft, View
from flytelite.server.store.indexes import Indexes
from flytelite.server.store.interface import Condition, Document, Query, Scalar, TableSchema
from flytelite.server.store.rows import Row, Rows, encode
from flytelite.server.store.segments import Segment


class Table(tinydb.Table):
    """Documents by key (``document_id_class`` is str), in insertion order, with the columns and indexes of its schema.

    Both ways of use work on it: this project's (get, put, remove by key; keys, count by ``Query``) and TinyDB's own
    (insert, search, update, upsert, remove, count by TinyDB's queries, which read every document). Each call is one
    atomic batch. Documents handed out are private copies.
    """

    document_id_class = str  # type: ignore[assignment]

    def __init__(self, schema: TableSchema, batches: Batches, storage: Storage, rows: Rows) -> None:
        self.schema = schema
        self._batches = batches
        self._rows = rows
        self._indexes = Indexes(schema)
        self._numbers = 0
        super().__init__(storage, schema.name, cache_size=0)  # cached results would not be private copies
        for row in rows.values() if self._indexes.columns else ():
            row.columns = self._columns(row.key, row.document())
        self._indexes.load(rows.values())

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
        row = self._rows.get(key)
        return None if row is None else row.document()

    def put(self, key: str, document: Document) -> None:
        """Insert or replace. A replaced document keeps its place in insertion order.

        Raises InvalidArgument when the document is not JSON, or a column not a scalar.
        """
        columns = self._columns(key, document)
        encoded = encode(self.name, key, document)
        with self._batches.batch():
            row = self._rows.get(key)
            undo: Callable[[], None]
            if row is None:
                row = Row(key, next(self._batches.orders), next(self._batches.revisions), encoded)
                row.columns = columns
                self._add(row)
                undo = partial(self._discard, row)
            else:
                undo = partial(self._change, row, row.columns, row.revision, row.content, row.segment)
                self._change(row, columns, next(self._batches.revisions), encoded, None)
            self._batches.record(Change(self.name, row, encoded), undo)

    def remove(  # type: ignore[override]  # a key is told from a query by its type
        self, key: str | QueryLike | None = None, doc_ids: Iterable[str] | None = None, *, cond: QueryLike | None = None
    ) -> list[str]:
        """Remove the document of that key if present; with any other argument, TinyDB's ``remove``.

        Returns the keys that were removed.
        """
        if not isinstance(key, str):
            return super().remove(cond if key is None else key, doc_ids)  # type: ignore[arg-type,return-value]
        row = self._rows.get(key)
        if row is None:
            return []
        with self._batches.batch():
            self._discard(row)
            self._batches.record(Change(self.name, row, None), partial(self._restore, row))
        return [key]

    def revision(self, key: str) -> int | None:
        """A number that is new with each change of that document and never used again; None when it is absent."""
        row = self._rows.get(key)
        return None if row is None else row.revision

    def keys(self, query: Query, among: Iterable[str] | None = None) -> list[str]:
        """The keys of the documents that answer the query, in its order; ``among`` restricts it to some keys."""
        return [row.key for row in planner.select(self._rows, self._indexes, query, among)]

    def count(self, conditions: Sequence[Condition] | QueryLike = (), among: Iterable[str] | None = None) -> int:
        """How many documents satisfy all conditions; with a TinyDB query, how many match it."""
        if callable(conditions):
            return super().count(conditions)
        return planner.count(self._rows, self._indexes, conditions, among)

    def __contains__(self, key: object) -> bool:
        return key in self._rows

    def __len__(self) -> int:
        return len(self._rows)

    def _columns(self, key: str, document: Document) -> tuple[Scalar, ...]:
        columns = tuple(map(document.get, self._indexes.columns))
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

    def _restore(self, row: Row) -> None:
        self._add(row)
        in_order = sorted(self._rows.values(), key=attrgetter("order"))
        self._rows.clear()
        self._rows.update((row.key, row) for row in in_order)

    def _read_table(self) -> dict[str, Mapping[Any, Any]]:
        return View(self._rows)  # type: ignore[return-value]  # all that TinyDB reads of it is a mapping

    def _update_table(self, updater: Callable[[Any], None]) -> None:
        draft = Draft(self._rows)
        updater(draft)
        with self._batches.batch():
            for key, document in draft.changes():
                if document is None:
                    self.remove(key)
                else:
                    self.put(key, document)

    def _get_next_id(self) -> str:
        """A key for a document inserted without one: a number, as in TinyDB, that no document has yet."""
        self._numbers = max(self._numbers, len(self._rows)) + 1
        while str(self._numbers) in self._rows:
            self._numbers += 1
        return str(self._numbers)


class Tables(Storage):
    """The tables of one store, made at their first use; to TinyDB its storage, which writes through tables alone."""

    def __init__(self, batches: Batches, rows: dict[str, Rows] | None = None) -> None:
        self._batches = batches
        self._tables: dict[str, Table] = {}
        self.rows: dict[str, Rows] = {} if rows is None else rows

    def table(self, schema: TableSchema) -> Table:
        """The table of that schema. Raises Internal when the name is in use with another schema."""
        table = self._tables.get(schema.name)
        if table is None:
            rows = self.rows.setdefault(schema.name, {})
            table = self._tables[schema.name] = Table(schema, self._batches, self, rows)
        if table.schema != schema:
            raise Internal(f"table {schema.name} is in use with another schema")
        return table

    def read(self) -> dict[str, dict[str, Any]]:
        """Every document of every table by name and key."""
        return {name: dict(View(rows)) for name, rows in self.rows.items()}

    def write(self, data: dict[str, dict[str, Any]]) -> None:
        """Refused: a table records its changes, the file is never written whole."""
        raise Internal("documents are written through their table")
