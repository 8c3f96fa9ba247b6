"""Each attempt a process of its own under a detached shim: the executor for any command."""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import os
import signal
import subprocess
import sys
import threading
from pathlib import Path

from flytelite.engine.executors import shim
from flytelite.engine.executors.interface import Command, Outcome

SHIM = Path(shim.__file__)
LOCK = "lock"
"""Held by the shim for as long as it lives, from before it is started."""


class SubprocessAttempt:
    """A shim and its task."""

    def __init__(self, directory: Path, token: str, process: subprocess.Popen[bytes] | None) -> None:
        self.directory = directory
        self.token = token
        self._process = process
        self._watch: asyncio.Task[Outcome] = asyncio.create_task(self._finish())

    async def wait(self) -> Outcome:
        """How it ended, once it has."""
        return await asyncio.shield(self._watch)

    def cancel(self) -> None:
        """The shim passes SIGTERM on and keeps the grace period, even if this engine should end meanwhile."""
        if self._watch.done():
            return
        (self.directory / shim.CANCEL).touch()
        pid = self._process.pid if self._process is not None else _shim_pid(self.directory, self.token)
        if pid:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.kill(pid, signal.SIGTERM)

    async def _finish(self) -> Outcome:
        await _gone(self.directory, self._process.pid if self._process is not None else 0)
        if self._process is not None:
            self._process.wait()  # it is dead: this only takes it off the process table
        return await asyncio.to_thread(_settle, self.directory, self.token)


class SubprocessExecutor:
    """Starts a shim per attempt. ``grace`` seconds pass between SIGTERM and SIGKILL."""

    def __init__(self, grace: float = 10.0) -> None:
        self.grace = grace

    async def start(self, directory: Path, token: str, command: Command) -> SubprocessAttempt:
        """Start the command; ``directory`` must exist. Raises OSError."""
        process = await asyncio.to_thread(self._spawn, directory, token, command)
        return SubprocessAttempt(directory, token, process)

    async def adopt(self, directory: Path, token: str) -> SubprocessAttempt:
        """Wait for what runs there, if anything does."""
        return SubprocessAttempt(directory, token, None)

    async def close(self) -> None:
        """There is no process of the executor's own."""

    def _spawn(self, directory: Path, token: str, command: Command) -> subprocess.Popen[bytes]:
        argv = [sys.executable, "-I", "-S", str(SHIM), str(directory), token, str(self.grace)]
        with (directory / LOCK).open("ab") as lock, command.log.open("ab") as log:
            # The shim inherits the lock rather than taking it: there is no moment at which it runs without.
            fcntl.flock(lock, fcntl.LOCK_EX)
            return subprocess.Popen(
                [*argv, *command.argv],
                stdin=lock,
                stdout=log,
                stderr=subprocess.STDOUT,
                env=dict(command.env),
                cwd=command.cwd,
                start_new_session=True,
            )


async def _gone(directory: Path, child: int) -> None:
    """Return when the shim is dead, its own child or an earlier engine's."""
    if child and hasattr(os, "pidfd_open"):
        await _pidfd(os.pidfd_open(child))
        return
    await _unlocked(directory / LOCK)


async def _pidfd(descriptor: int) -> None:
    loop = asyncio.get_running_loop()
    dead = loop.create_future()

    def tell() -> None:
        if not dead.done():
            dead.set_result(None)

    loop.add_reader(descriptor, tell)
    try:
        await dead
    finally:
        loop.remove_reader(descriptor)
        os.close(descriptor)


async def _unlocked(lock: Path) -> None:
    """Wait for a lock that the system gives back when its holder dies, however it dies."""
    loop = asyncio.get_running_loop()
    free = loop.create_future()

    def tell() -> None:
        if not free.done():
            free.set_result(None)

    def watch() -> None:
        try:
            descriptor = os.open(lock, os.O_RDWR)
        except FileNotFoundError:
            pass  # nothing was ever started there
        else:
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            os.close(descriptor)
        with contextlib.suppress(RuntimeError):  # the loop is closed: nobody waits any more
            loop.call_soon_threadsafe(tell)

    # A thread of its own: a pool would be full of waiting threads. Daemon: it must not keep a stopping server.
    threading.Thread(target=watch, name=f"waits for {lock.parent}", daemon=True).start()
    await free


def _settle(directory: Path, token: str) -> Outcome:
    """The exit record's word, which is the only proof of an end that can be trusted."""
    record = _read(directory / shim.EXIT)
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
    return Outcome(lost=True)


def _kill_orphan(directory: Path, token: str) -> None:
    """End a task whose shim was killed: its result could not be trusted, and its successor must run alone."""
    record = _read(directory / shim.PROCESS)
    pid = int(record.get("task_pid", 0))
    if not pid or record.get("token") != token or record.get("boot_id") != shim.boot_id():
        return
    if (started := shim.start_time(pid)) and started == record.get("task_start_time"):
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(pid, signal.SIGKILL)


def _shim_pid(directory: Path, token: str) -> int:
    record = _read(directory / shim.PROCESS)
    pid = int(record.get("pid", 0))
    same = record.get("token") == token and record.get("boot_id") == shim.boot_id()
    return pid if same and pid and shim.start_time(pid) == record.get("start_time", "") else 0


def _read(path: Path) -> dict[str, str]:
    try:
        lines = path.read_text().splitlines()
    except FileNotFoundError:
        return {}
    return {name: value for name, _, value in (line.partition(" ") for line in lines)}
