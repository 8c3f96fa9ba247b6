"""Atomic batches: changes are made at once, given to the journal together, and undone together."""

from __future__ import annotations

from collections.abc import Callable
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

    def batch(self, *, insist: bool = False) -> Batch:
        """Changes inside are one entry. An exception undoes those made inside this very batch, and goes on.

        ``append`` can see in ``insists`` whether the outermost does.
        """
        return Batch(self, insist)

    def enter(self, insist: bool) -> int:
        """Begin a batch; what was changed before it."""
        if self._depth == 0:
            self.insists = insist
        self._depth += 1
        return len(self._changes)

    def leave(self, mark: int, failed: bool) -> None:
        """End the batch that ``enter`` gave the mark of."""
        try:
            if failed:
                self._roll_back(mark)
            elif self._depth == 1 and self._changes:
                try:
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


class Batch:
    """``Batches.batch`` as what ``with`` takes; made dozens of times for each event, so it is no generator."""

    __slots__ = ("_batches", "_insist", "_mark")

    def __init__(self, batches: Batches, insist: bool) -> None:
        self._batches = batches
        self._insist = insist
        self._mark = 0

    def __enter__(self) -> None:
        self._mark = self._batches.enter(self._insist)

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: object) -> None:
        self._batches.leave(self._mark, failed=kind is not None)
