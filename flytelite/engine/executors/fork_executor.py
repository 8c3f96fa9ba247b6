"""Task processes forked from a process that has flytekit imported; anything else is a plain subprocess."""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import logging
import shutil
import sys
from collections.abc import AsyncIterator, Coroutine, Mapping
from pathlib import Path
from typing import Any

from flytelite.engine.executors.attempt import LOCK, ShimAttempt, adopted
from flytelite.engine.executors.fork_client import ForkServer, Gone, Refused, hung_up, spawned
from flytelite.engine.executors.fork_commands import EXECUTE, interpreter_for, interpreter_of
from flytelite.engine.executors.fork_libraries import Libraries
from flytelite.engine.executors.fork_modules import Modules
from flytelite.engine.executors.interface import Command
from flytelite.engine.executors.subprocess import SubprocessExecutor

SUPPORTED = sys.platform == "linux"
"""Elsewhere libraries of the system do not survive a fork."""

LOSSES = 3
"""So many fork servers of an environment may end one after the other without having started anything."""

PAUSE_SECONDS = 30.0
LONGEST_PAUSE = 3600.0
"""Then no other is begun for so long, and twice as long each time: a machine that had no room may have it again."""

IDLE_SECONDS = 600.0
"""How long the fork server of an environment is kept that nobody uses; the one of flytelite's own stays."""

LESSON = "imports"
"""Where an attempt writes the libraries that it imported."""

logger = logging.getLogger(__name__)


class ForkServerExecutor:
    """Forks flytekit's task commands from one fork server per Python environment.

    ``host`` is the environment that tasks get from this machine, before their own variables. ``otherwise`` starts
    what cannot be forked.
    """

    def __init__(self, host: Mapping[str, str], otherwise: SubprocessExecutor | None = None) -> None:
        self.host = dict(host)
        self.otherwise = otherwise or SubprocessExecutor()
        self.idle_seconds = IDLE_SECONDS
        self.pause_seconds = PAUSE_SECONDS
        self._servers: dict[str, ForkServer] = {}
        self._losses: dict[str, int] = {}
        self._not_before: dict[str, float] = {}
        self._idle: dict[str, asyncio.TimerHandle] = {}
        self._ending: set[asyncio.Task[None]] = set()
        self._libraries = Libraries(self._retire)
        self._modules = Modules(self._retire)

    async def start(self, directory: Path, token: str, command: Command) -> ShimAttempt:
        """Start the command; ``directory`` must exist. Raises OSError."""
        interpreter = interpreter_for(command, self.host) if SUPPORTED else None
        while interpreter is not None and asyncio.get_running_loop().time() >= self._not_before.get(interpreter, 0.0):
            server = self._server(interpreter)
            try:
                attempt = await self._fork(server, directory, token, command)
            except Gone:
                self._lost(server)
            except Refused as refusal:
                self._give_up(server, str(refusal))
            else:
                self._succeeded(interpreter)
                return attempt
        return await self.otherwise.start(directory, token, command)

    async def adopt(self, directory: Path, token: str) -> ShimAttempt:
        """Wait for what runs there, if anything does, however it was started."""
        return await adopted(directory, token)

    def warm(self) -> None:
        """Have the fork server of flytelite's own environment import flytekit, in the background."""
        script = shutil.which(EXECUTE, path=self.host.get("PATH")) if SUPPORTED else None
        interpreter = interpreter_of(Path(script)) if script is not None else None
        if interpreter is not None:
            self._server(interpreter)

    async def close(self) -> None:
        """End the fork servers; attempts are not touched."""
        self._modules.close()
        self._libraries.close()
        for timer in self._idle.values():
            timer.cancel()
        for server in self._servers.values():
            self._retire(server)
        self._servers.clear()
        if self._ending:
            await asyncio.wait(self._ending)

    async def _fork(self, server: ForkServer, directory: Path, token: str, command: Command) -> ShimAttempt:
        """Have the server, or one like it that has imported more, start the attempt. Raises Refused and Gone."""
        libraries = self._libraries.find(server, command)
        beside = self._libraries.beside(libraries, server, command)
        module = self._modules.find(libraries or server, beside, command)
        for better, forget in ((module, self._modules.drop), (libraries, self._libraries.drop)):
            if better is not None:
                try:
                    return await self._ask(better, server, directory, token, command)
                except (Gone, Refused):
                    forget(better)
        return await self._ask(server, server, directory, token, command)

    async def _ask(
        self, server: ForkServer, parent: ForkServer, directory: Path, token: str, command: Command
    ) -> ShimAttempt:
        lesson = directory / LESSON if self._libraries.wants_lesson(parent, command) else None
        asked = {"directory": str(directory), "token": token, "grace": self.otherwise.grace}
        program = {
            "argv": command.argv,
            "env": command.whole_env,
            "cwd": str(command.cwd),
            "lesson": str(lesson or ""),
            "memory": command.limits.memory,
        }
        async with _descriptors(directory, command) as (lock, log):
            connection = await server.start(asked, program, lock, log)
        gone = hung_up(connection)
        return ShimAttempt(directory, token, gone if lesson is None else self._taught(gone, parent, command, lesson))

    async def _taught(self, gone: Coroutine[Any, Any, None], parent: ForkServer, command: Command, path: Path) -> None:
        await gone
        with contextlib.suppress(OSError):  # nothing was written: the attempt has ended all the same
            self._libraries.learn(parent, command, await asyncio.to_thread(_read_lesson, path))

    def _server(self, interpreter: str) -> ForkServer:
        server = self._servers.get(interpreter)
        if server is not None and server.outdated():
            self._retire(server)
            server = None
        if server is None:
            server = self._servers[interpreter] = spawned(interpreter, self.host)
        self._keep(interpreter)
        return server

    def _keep(self, interpreter: str) -> None:
        """Give the server of another environment its time anew."""
        if timer := self._idle.pop(interpreter, None):
            timer.cancel()
        if Path(interpreter).parent != Path(sys.executable).parent:
            loop = asyncio.get_running_loop()
            self._idle[interpreter] = loop.call_later(self.idle_seconds, self._evict, interpreter)

    def _evict(self, interpreter: str) -> None:
        self._idle.pop(interpreter, None)
        if server := self._servers.pop(interpreter, None):
            self._retire(server)

    def _succeeded(self, interpreter: str) -> None:
        self._losses.pop(interpreter, None)
        if self._not_before.pop(interpreter, None) is not None:
            logger.warning("tasks of %s are forked again", interpreter)

    def _lost(self, server: ForkServer) -> None:
        """Make room for another one, unless that has happened already; at once, unless it happens all the time."""
        interpreter = server.interpreter
        if self._servers.get(interpreter) is not server:
            return
        losses = self._losses[interpreter] = 1 if server.served else self._losses.get(interpreter, 0) + 1
        if losses >= LOSSES:
            pause = min(self.pause_seconds * 2.0 ** min(losses - LOSSES, 20), LONGEST_PAUSE)
            self._not_before[interpreter] = asyncio.get_running_loop().time() + pause
            reason = "its fork server ends each time it is started"
            logger.warning("for %g seconds, tasks of %s are new processes: %s", pause, interpreter, reason)
        self._retire(self._servers.pop(interpreter))

    def _give_up(self, server: ForkServer, reason: str) -> None:
        if self._servers.pop(server.interpreter, None) is not server:
            return
        self._not_before[server.interpreter] = float("inf")
        logger.warning("until the next start, tasks of %s are new processes: %s", server.interpreter, reason)
        self._retire(server)

    def _retire(self, server: ForkServer) -> None:
        task = asyncio.create_task(server.close())
        self._ending.add(task)
        task.add_done_callback(self._ending.discard)


@contextlib.asynccontextmanager
async def _descriptors(directory: Path, command: Command) -> AsyncIterator[tuple[int, int]]:
    """The attempt's lock, taken, and its log: the waiter gets them, so there is no moment without the lock."""
    with (directory / LOCK).open("ab") as lock, command.log.open("ab") as log:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:  # a fork server that has just ended may still be about to let go of it
            await asyncio.to_thread(fcntl.flock, lock, fcntl.LOCK_EX)
        yield lock.fileno(), log.fileno()


def _read_lesson(path: Path) -> list[str]:
    modules = path.read_text().splitlines()
    path.unlink()
    return modules
