"""Attempts with secrets: their output goes through a masker into the log, on any executor."""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import json
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

from flytelite.engine.executors import masker
from flytelite.engine.executors.attempt import unlocked
from flytelite.engine.executors.interface import Attempt, Command, Executor, Outcome

SCRIPT = Path(masker.__file__)
PIPE = "output"
LOCK = "masking"
"""Held by the masker for as long as it lives; in it is the number of its process."""

TELL_SECONDS = 0.05
"""After that time a masker that was only starting is told again that the attempt is over."""


class MaskingExecutor:
    """Starts commands on another executor, those with something to mask with a masker in front of their log."""

    def __init__(self, inner: Executor) -> None:
        self.inner = inner

    async def start(self, directory: Path, token: str, command: Command) -> Attempt:
        """Start the command; ``directory`` must exist. Raises OSError."""
        if not command.masked:
            return await self.inner.start(directory, token, command)
        pipe = directory / PIPE
        keep, process = await asyncio.to_thread(_start_masker, pipe, directory / LOCK, command)
        try:
            attempt = await self.inner.start(directory, token, replace(command, log=pipe))
        finally:
            os.close(keep)
            pipe.unlink()
        return MaskedAttempt(attempt, directory, process)

    async def adopt(self, directory: Path, token: str) -> Attempt:
        """Take over what an earlier engine started."""
        attempt = await self.inner.adopt(directory, token)
        return MaskedAttempt(attempt, directory) if (directory / LOCK).exists() else attempt

    def warm(self) -> None:
        """Prepare the other executor."""
        self.inner.warm()

    async def close(self) -> None:
        """Close the other executor."""
        await self.inner.close()


class MaskedAttempt:
    """An attempt that is over when its whole output is in the log."""

    def __init__(self, inner: Attempt, directory: Path, process: subprocess.Popen[bytes] | None = None) -> None:
        self.inner = inner
        self._lock = directory / LOCK
        self._process = process

    @property
    def ended(self) -> bool:
        """Whether it is known to have ended."""
        return self.inner.ended

    async def wait(self) -> Outcome:
        """How it ended, once it has."""
        outcome = await self.inner.wait()
        gone = asyncio.ensure_future(unlocked(self._lock))
        while not gone.done():
            self._tell()
            await asyncio.wait([gone], timeout=TELL_SECONDS)
        if self._process is not None:
            self._process.wait()  # it has ended: this only takes it off the process table
        return outcome

    def _tell(self) -> None:
        """Tell the masker, which holds the lock, that the attempt is over."""
        with contextlib.suppress(OSError, ValueError):
            os.kill(int(self._lock.read_text()), masker.OVER)

    def cancel(self) -> None:
        """Ask for its end."""
        self.inner.cancel()


def _start_masker(pipe: Path, lock: Path, command: Command) -> tuple[int, subprocess.Popen[bytes]]:
    """A masker that reads a named pipe; the descriptor keeps it reading until the attempt has the pipe open too."""
    os.mkfifo(pipe, 0o600)
    keep = os.open(pipe, os.O_RDWR)
    source = os.open(pipe, os.O_RDONLY)
    try:
        with lock.open("ab") as held, command.log.open("ab") as log:
            fcntl.flock(held, fcntl.LOCK_EX)
            process = subprocess.Popen(
                [sys.executable, "-I", "-S", str(SCRIPT), str(source), str(log.fileno())],
                pass_fds=[source, log.fileno(), held.fileno()],
                stdin=subprocess.PIPE,
                stdout=log,
                stderr=log,
                env=dict(command.env),
                cwd="/",
                start_new_session=True,
            )
            held.write(str(process.pid).encode())
        assert process.stdin is not None
        with process.stdin as values:
            values.write(json.dumps(command.masked).encode())
    except BaseException:
        os.close(keep)
        raise
    finally:
        os.close(source)
    return keep, process
