"""The files of inputs and outputs, whose small ones one thread makes: all that wait for it in one go.

Small files are only written; their content goes into the record with the event that names them
(``EventSink.emit``), which makes both survive power loss with one sync.
"""

from __future__ import annotations

import asyncio
import contextlib
import threading
from pathlib import Path
from queue import SimpleQueue
from typing import NamedTuple

from google.protobuf.message import Message

from flytelite.engine import data, threads
from flytelite.engine.waiting import until_there_is_space

AT_ONCE = 32
"""So many files are made before those who wait for them hear of it."""


class _Order(NamedTuple):
    path: Path
    content: bytes
    made: asyncio.Future[None]


class SmallFiles:
    """Writes files for one event loop, in the order in which they are asked for.

    Making a file takes milliseconds while others sync theirs, and several threads would be in each other's way. A
    pool of one thread would do at twice the price, and each node has two of these files.
    """

    def __init__(self) -> None:
        self._orders: SimpleQueue[_Order | None] = SimpleQueue()
        self._thread: threading.Thread | None = None
        self._closed = False

    async def write(self, path: Path, literals: Message) -> dict[Path, bytes]:
        """Write a message to a file once the disk has space for it; its content, if it is small, and then not synced.

        Raises OSError, and RuntimeError once this is closed.
        """
        content = literals.SerializeToString(deterministic=True)
        if len(content) > data.SMALL:
            await until_there_is_space(lambda: asyncio.to_thread(data.write_bytes, path, content))
            return {}
        await until_there_is_space(lambda: self._make(path, content))
        return {path: content}

    def close(self) -> None:
        """Take no more orders; those there are are still carried out."""
        self._closed = True
        self._orders.put(None)

    def _make(self, path: Path, content: bytes) -> asyncio.Future[None]:
        if self._closed:
            raise RuntimeError(f"{path} is asked for after the end")
        loop = asyncio.get_running_loop()
        if self._thread is None:
            thread = threading.Thread(target=self._run, args=(loop,), name="flytelite-files", daemon=True)
            threads.start(thread)
            self._thread = thread
        order = _Order(path, content, loop.create_future())
        self._orders.put(order)
        return order.made

    def _run(self, loop: asyncio.AbstractEventLoop) -> None:
        while (order := self._orders.get()) is not None:
            carried_out = [(order, _carry_out(order))]
            while len(carried_out) < AT_ONCE and not self._orders.empty():
                following = self._orders.get()
                if following is None:
                    self._orders.put(None)
                    break
                carried_out.append((following, _carry_out(following)))
            with contextlib.suppress(RuntimeError):  # the loop has ended, and with it whoever waited
                loop.call_soon_threadsafe(_tell, carried_out)


def _carry_out(order: _Order) -> Exception | None:
    """Make the file; what is wrong with it is for whoever waits."""
    try:
        data.write_unsynced(order.path, order.content)
    except Exception as error:
        return error
    return None


def _tell(carried_out: list[tuple[_Order, Exception | None]]) -> None:
    for order, error in carried_out:
        if order.made.done():
            continue  # cancelled
        if error is None:
            order.made.set_result(None)
        else:
            order.made.set_exception(error)
