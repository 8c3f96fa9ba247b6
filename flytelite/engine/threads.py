"""Threads on a machine that may have no room for one more: Python says RuntimeError then, and not whose fault it is."""

from __future__ import annotations

import errno
import threading
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any, TypeVar

T = TypeVar("T")

_NO_ROOM = "can't start new thread"


class Threads(ThreadPoolExecutor):
    """A pool that does with the threads that it has when the machine refuses another one.

    With none at all it refuses as the machine refuses a process: with OSError, and nothing is done, now or later.
    """

    _has_threads = False

    def submit(self, fn: Callable[..., T], /, *args: Any, **kwargs: Any) -> Future[T]:
        """Have it called in a thread. Raises OSError when there is none."""
        # A future of this class's own: the pool has queued the call before it finds that there is no new thread.
        future: Future[T] = Future()
        try:
            super().submit(_fulfil, future, fn, args, kwargs)
        except RuntimeError as error:
            if str(error) != _NO_ROOM:
                raise
            if not self._has_threads:
                future.cancel()
                raise _refusal() from error
        self._has_threads = True
        return future


def start(thread: threading.Thread) -> None:
    """Start it. Raises OSError when the machine has no room for it."""
    try:
        thread.start()
    except RuntimeError as error:
        if str(error) != _NO_ROOM:
            raise
        raise _refusal() from error


def _refusal() -> OSError:
    return BlockingIOError(errno.EAGAIN, _NO_ROOM)


def _fulfil(future: Future[T], fn: Callable[..., T], args: Any, kwargs: Any) -> None:
    if not future.set_running_or_notify_cancel():
        return
    try:
        result = fn(*args, **kwargs)
    except BaseException as error:
        future.set_exception(error)
    else:
        future.set_result(result)
