"""A table as TinyDB reads and changes it: a mapping from keys to documents."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, MutableMapping

from flytelite.errors import InvalidArgument
from flytelite.server.store.interface import Document
from flytelite.server.store.rows import Rows


class View(Mapping[str, Document]):
    """The table as TinyDB reads it: documents are decoded when asked for."""

    def __init__(self, rows: Rows) -> None:
        self._rows = rows

    def __getitem__(self, key: str) -> Document:
        return self._rows[key].document()

    def __iter__(self) -> Iterator[str]:
        return iter(tuple(self._rows))

    def __len__(self) -> int:
        return len(self._rows)


class Draft(MutableMapping[str, Document]):
    """The table as TinyDB's updaters change it; remembers what they touched."""

    def __init__(self, rows: Rows) -> None:
        self._rows = rows
        self._touched: dict[str, Document | None] = {}
        self._size = len(rows)

    def __getitem__(self, key: str) -> Document:
        if key not in self._touched:
            self._touched[key] = self._rows[key].document()
        document = self._touched[key]
        if document is None:
            raise KeyError(key)
        return document

    def __setitem__(self, key: str, document: Document) -> None:
        if not isinstance(key, str):
            raise InvalidArgument(f"a document's key must be text, not {key!r}")
        self._size += key not in self
        self._touched[key] = document

    def __delitem__(self, key: str) -> None:
        if key not in self:
            raise KeyError(key)
        self._size -= 1
        self._touched[key] = None

    def __contains__(self, key: object) -> bool:
        if key in self._touched:
            return self._touched[key] is not None
        return key in self._rows

    def __iter__(self) -> Iterator[str]:
        yield from (key for key in self._rows if key in self)
        yield from (key for key, document in self._touched.items() if key not in self._rows and document is not None)

    def __len__(self) -> int:
        return self._size

    def clear(self) -> None:
        for key in list(self):
            del self[key]

    def changes(self) -> Iterator[tuple[str, Document | None]]:
        """Each document that differs from what is stored; None where it is to be removed."""
        for key, document in self._touched.items():
            row = self._rows.get(key)
            stored = None if row is None else row.document()
            if document != stored:
                yield key, document
