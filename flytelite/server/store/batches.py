"""Atomic batches: changes are made at once, given to the journal together, and undone together."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import count
from typing import NamedTuple

from flytelite.server.store.rows import Row


class Change(NamedTuple):
    """One document written, as JSON text, or removed (None)."""

    table: str
    row: Row
    document: bytes | None


class Batches:
    """Collects changes already made to tables and gives each outermost batch to ``append`` as one entry.

    ``append`` may refuse by raising; the changes are then undone. ``order`` is the highest place in insertion order
    that was given away so far.
    """

    def __init__(self, append: Callable[[list[Change]], None], order: int = 0) -> None:
        self._append = append
        self._depth = 0
        self._changes: list[Change] = []
        self._undo: list[Callable[[], None]] = []
        self.order = order
        self.insists = False
        self._revisions = count(1)

    @contextmanager
    def batch(self, *, insist: bool = False) -> Iterator[None]:
        """Changes inside are one entry. An exception undoes those made inside this very batch, and goes on.

        ``append`` can see in ``insists`` whether the outermost does.
        """
        if self._depth == 0:
            self.insists = insist
        mark = len(self._changes)
        self._depth += 1
        try:
            yield
            if self._depth == 1 and self._changes:
                self._append(self._final())
        except BaseException:
            self._roll_back(mark)
            raise
        finally:
            self._depth -= 1
            if self._depth == 0:
                self._changes.clear()
                self._undo.clear()

    def next_order(self) -> int:
        """The next place in insertion order."""
        self.order += 1
        return self.order

    def next_revision(self) -> int:
        """A number that was not used before."""
        return next(self._revisions)

    def record(self, change: Change, undo: Callable[[], None]) -> None:
        """Note a change that was just made inside a batch."""
        assert self._depth > 0
        self._changes.append(change)
        self._undo.append(undo)

    def _final(self) -> list[Change]:
        """Only the last change of each document: the others can never be seen."""
        return list({(change.table, change.row.key): change for change in self._changes}.values())

    def _roll_back(self, mark: int) -> None:
        while len(self._undo) > mark:
            self._undo.pop()()
        del self._changes[mark:]
