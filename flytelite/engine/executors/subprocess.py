"""Each attempt a process of its own under a detached shim: the executor for any command."""

from __future__ import annotations

import asyncio
import fcntl
import os
import subprocess
import sys
from pathlib import Path

from flytelite.engine.executors import open_files, shim
from flytelite.engine.executors.attempt import LOCK, ShimAttempt, adopted, unlocked
from flytelite.engine.executors.interface import Command

SHIM = Path(shim.__file__)


class SubprocessExecutor:
    """Starts a shim per attempt. ``grace`` seconds pass between SIGTERM and SIGKILL."""

    def __init__(self, grace: float = 10.0) -> None:
        self.grace = grace

    async def start(self, directory: Path, token: str, command: Command) -> ShimAttempt:
        """Start the command; ``directory`` must exist. Raises OSError."""
        process = await asyncio.to_thread(self._spawn, directory, token, command)
        return ShimAttempt(directory, token, _ended(directory, process))

    async def adopt(self, directory: Path, token: str) -> ShimAttempt:
        """Wait for what runs there, if anything does."""
        return await adopted(directory, token)

    def warm(self) -> None:
        """There is nothing to prepare."""

    async def close(self) -> None:
        """There is no process of the executor's own."""

    def _spawn(self, directory: Path, token: str, command: Command) -> subprocess.Popen[bytes]:
        argv = [
            sys.executable,
            "-I",
            "-S",
            str(SHIM),
            str(directory),
            token,
            str(self.grace),
            str(open_files.given()),
            str(command.limits.memory),
        ]
        with (directory / LOCK).open("ab") as lock, command.log.open("ab") as log:
            # The shim inherits the lock rather than taking it: there is no moment at which it runs without.
            fcntl.flock(lock, fcntl.LOCK_EX)
            return subprocess.Popen(
                [*argv, *command.argv],
                stdin=lock,
                stdout=log,
                stderr=subprocess.STDOUT,
                env=command.whole_env,
                cwd=command.cwd,
                start_new_session=True,
            )


async def _ended(directory: Path, process: subprocess.Popen[bytes]) -> None:
    if hasattr(os, "pidfd_open"):
        await _pidfd(os.pidfd_open(process.pid))
    else:
        await unlocked(directory / LOCK)
    process.wait()  # it is dead: this only takes it off the process table


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
