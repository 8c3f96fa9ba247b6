"""Where the next page begins while rows come and go.

FlyteAdmin's page tokens are offsets, and flytectl computes them itself. An offset alone shows a row twice when another
one was inserted before it meanwhile, as in every list with the newest first. So a server remembers for a while which
row each page ended with: the list goes on after that row. A token that nobody was given is the plain offset.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from hashlib import sha256
from time import monotonic

from flytelite.server.store.interface import Condition, Operator, Query, Scalar, Table

KEPT = 1024
SECONDS = 600.0
"""After that a token is an offset again: nobody is turning these pages any more."""


@dataclass(frozen=True)
class Bookmark:
    """The last row of a page, its value in the column that the list is sorted by, and how often that row was shown."""

    key: str
    value: Scalar
    times: int
    made: float


class Bookmarks:
    """The bookmarks of one table's lists. In memory only: after a restart tokens are offsets."""

    def __init__(self, table: Table, clock: Callable[[], float] = monotonic) -> None:
        """``clock`` gives seconds, from whenever."""
        self._table = table
        self._clock = clock
        self._kept: OrderedDict[tuple[bytes, int], Bookmark] = OrderedDict()

    def put(self, list: object, offset: int, key: str, value: Scalar = None, times: int = 1) -> None:
        """Note that the page before ``offset`` ended with the row of that key; ``list`` is what was asked for."""
        place = _name(list), offset
        self._kept[place] = Bookmark(key, value, times, self._clock())
        self._kept.move_to_end(place)
        if len(self._kept) > KEPT:
            self._kept.popitem(last=False)

    def find(self, list: object, offset: int) -> Bookmark | None:
        """How the page before ``offset`` ended, if that is remembered."""
        found = self._kept.get((_name(list), offset)) if offset else None
        return None if found is None or self._clock() - found.made > SECONDS else found

    def offset(self, list: object, offset: int, query: Query, among: Iterable[str] | None = None) -> int:
        """How many rows now come before the page whose token says ``offset``.

        It is ``offset`` itself when there is no bookmark, or its row is no longer in the list or has moved in it.
        """
        bookmark = self.find(list, offset)
        if bookmark is None:
            return offset
        among = None if among is None else frozenset(among)
        if among is not None and bookmark.key not in among:
            return offset
        column = query.order_by
        same = () if column is None else (Condition(column, Operator.EQUAL, (bookmark.value,)),)
        if not self._table.count(same, among=[bookmark.key]):
            return offset
        position = self._table.position(query, bookmark.key, among)
        return offset if position is None else position + 1


def _name(list: object) -> bytes:
    """Filters may be megabytes long, so they are not kept."""
    return sha256(repr(list).encode(errors="surrogatepass")).digest()
