"""A command under a shim: how it is waited for, ended and settled, whoever started the shim."""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import os
import signal
import threading
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

from flytelite.engine import threads
from flytelite.engine.executors import shim
from flytelite.engine.executors.interface import Outcome
from flytelite.engine.waiting import until_there_is_space

LOCK = "lock"
"""Held by the shim for as long as it lives, from before it is started."""


class ShimAttempt:
    """A shim and its task. ``gone`` returns when the shim is dead. Is it taken over, it is an earlier engine's."""

    def __init__(
        self, directory: Path, token: str, gone: Coroutine[Any, Any, None], *, taken_over: bool = False
    ) -> None:
        self.directory = directory
        self.token = token
        self._taken_over = taken_over
        self._watch: asyncio.Task[Outcome] = asyncio.create_task(self._finish(gone))

    @property
    def ended(self) -> bool:
        """Whether it is known to have ended."""
        return self._watch.done()

    def when_ended(self, tell: Callable[[], None]) -> None:
        """Have it told."""
        self._watch.add_done_callback(lambda _: tell())

    async def wait(self) -> Outcome:
        """How it ended, once it has."""
        return await asyncio.shield(self._watch)

    def cancel(self) -> None:
        """The shim passes SIGTERM on and keeps the grace period, even if this engine should end meanwhile."""
        if self._watch.done():
            return
        # In this order: a shim that has not written who it is looks for the file afterwards.
        (self.directory / shim.CANCEL).touch()
        if pid := _shim_pid(self.directory, self.token):
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.kill(pid, signal.SIGTERM)

    async def _finish(self, gone: Coroutine[Any, Any, None]) -> Outcome:
        await gone
        return await until_there_is_space(self._settled)

    async def _settled(self) -> Outcome:
        # Not in a thread: it reads a small file that was written this moment, and changing threads takes longer.
        return _settle(self.directory, self.token, self._taken_over)


async def adopted(directory: Path, token: str) -> ShimAttempt:
    """The attempt that an earlier engine started in a directory; lost when there is none.

    Returns when it is known whether it has ended.
    """
    known = asyncio.Event()
    attempt = ShimAttempt(directory, token, unlocked(directory / LOCK, known.set), taken_over=True)
    attempt.when_ended(known.set)
    await known.wait()
    return attempt


async def unlocked(lock: Path, held: Callable[[], None] = lambda: None) -> None:
    """Wait for a lock that the system gives back when its holder dies, however it dies. ``held`` hears of a holder."""
    loop = asyncio.get_running_loop()
    free: asyncio.Future[None] = loop.create_future()

    def let_go() -> None:
        if not free.done():
            free.set_result(None)

    def watch() -> None:
        with contextlib.suppress(RuntimeError):  # the loop is closed: nobody waits any more
            with contextlib.suppress(FileNotFoundError):  # nothing was ever started there
                _wait_for(lock, lambda: loop.call_soon_threadsafe(held))
            loop.call_soon_threadsafe(let_go)

    async def begin() -> None:
        # A thread of its own: a pool would be full of waiting threads. Daemon: it must not keep a stopping server.
        threads.start(threading.Thread(target=watch, name=f"waits for {lock.parent}", daemon=True))

    await until_there_is_space(begin)
    await free


def _wait_for(lock: Path, held: Callable[[], object]) -> None:
    descriptor = os.open(lock, os.O_RDWR)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            held()
            fcntl.flock(descriptor, fcntl.LOCK_EX)
    finally:
        os.close(descriptor)


def _settle(directory: Path, token: str, taken_over: bool) -> Outcome:
    """The exit record's word, which is the only proof of an end that can be trusted."""
    record = read_record(directory / shim.EXIT)
    if record.get("token") == token:
        return Outcome(
            exit_code=int(record["exit_code"]),
            signal=int(record["signal"]),
            started_at=float(record["started_at"]),
            ended_at=float(record["ended_at"]),
            peak_memory=int(record["peak_memory"]),
            cpu_time=float(record["cpu_time"]),
        )
    _kill_orphan(directory, token)
    # Who attends it says who that is before the task runs. What this engine had started did not end with an engine.
    began = not taken_over or read_record(directory / shim.PROCESS).get("token") == token
    return Outcome(lost=True, began=began)


def _kill_orphan(directory: Path, token: str) -> None:
    """End a task whose shim was killed: its result could not be trusted, and its successor must run alone."""
    record = read_record(directory / shim.PROCESS)
    pid = int(record.get("task_pid", 0))
    if not pid or record.get("token") != token or record.get("boot_id") != shim.boot_id():
        return
    if (started := shim.start_time(pid)) and started == record.get("task_start_time"):
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(pid, signal.SIGKILL)


def _shim_pid(directory: Path, token: str) -> int:
    record = read_record(directory / shim.PROCESS)
    pid = int(record.get("pid", 0))
    same = record.get("token") == token and record.get("boot_id") == shim.boot_id()
    return pid if same and pid and shim.start_time(pid) == record.get("start_time", "") else 0


def read_record(path: Path) -> dict[str, str]:
    """The names and values of a shim's record; none when there is no such file."""
    try:
        lines = path.read_text().splitlines()
    except FileNotFoundError:
        return {}
    return {name: value for name, _, value in (line.partition(" ") for line in lines)}
