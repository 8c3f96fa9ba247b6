"""The fork servers that were forked from others, by what they are for: few, and no longer than they are used."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Hashable
from dataclasses import dataclass
from typing import Generic, TypeVar

from flytelite.engine.executors.fork_client import ForkServer

K = TypeVar("K", bound=Hashable)

MOST = 4
"""Servers at the same time; the one that was not used for the longest time goes first."""


@dataclass(frozen=True)
class Branch:
    """A server and the one that it was forked from."""

    server: ForkServer
    parent: ForkServer
    timer: asyncio.TimerHandle


class Branches(Generic[K]):
    """``retire`` ends a server, which happens when it was idle for so many seconds."""

    def __init__(self, retire: Callable[[ForkServer], None], idle_seconds: float) -> None:
        self._retire = retire
        self.idle_seconds = idle_seconds
        self._branches: dict[K, Branch] = {}
        self.closed = False

    def take(self, key: K, is_usable: Callable[[Branch], bool]) -> ForkServer | None:
        """The server of that key, taken out, to be kept again if it is used; one that is not usable ends."""
        branch = self._branches.pop(key, None)
        if branch is None:
            return None
        branch.timer.cancel()
        if not is_usable(branch):
            self._retire(branch.server)
            return None
        return branch.server

    def keep(self, key: K, server: ForkServer, parent: ForkServer) -> None:
        """Have it from now on, as the one that was used last."""
        while len(self._branches) >= MOST:
            self._end(next(iter(self._branches)))
        timer = asyncio.get_running_loop().call_later(self.idle_seconds, self.drop, server)
        self._branches[key] = Branch(server, parent, timer)

    def drop(self, server: ForkServer) -> None:
        """Forget a server that has ended or is not needed."""
        for key in [key for key, branch in self._branches.items() if branch.server is server]:
            self._end(key)

    def end(self, unwanted: Callable[[K], bool]) -> None:
        """End the servers of such keys."""
        for key in [key for key in self._branches if unwanted(key)]:
            self._end(key)

    def close(self) -> None:
        """End all servers; ``closed`` says that no more are to be begun."""
        self.closed = True
        self.end(lambda key: True)

    def _end(self, key: K) -> None:
        branch = self._branches.pop(key)
        branch.timer.cancel()
        self._retire(branch.server)
