"""The engine's end of one fork server: starts it, hands it attempts, sees it end."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import socket
import subprocess
from collections.abc import Awaitable, Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from flytelite.engine.executors import open_files
from flytelite.engine.executors.fork_server import server, waiter

SCRIPT = Path(server.__file__)


class Refused(Exception):
    """There can be no such fork server, for example because an import fails or starts threads."""


class Gone(Exception):
    """The fork server ended, and what it was asked for was not started."""


class ForkServer:
    """One fork server. ``begin`` gives a process the other end of its control socket; it is called at once."""

    def __init__(self, interpreter: str, begin: Callable[[int], Awaitable[subprocess.Popen[bytes] | None]]) -> None:
        self.interpreter = interpreter
        self.served = False
        self._places: dict[str, int] = {}
        self._control, other = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self._control.setblocking(False)
        self._sending = asyncio.Lock()
        self._process = asyncio.create_task(_with(other, begin))
        self._ready = asyncio.create_task(self._greeting(), name="fork server")

    def ready(self) -> bool:
        """Whether it can be asked without waiting for what it imports first."""
        return self._ready.done() and not self._ready.cancelled() and self._ready.exception() is None

    def when_ready(self, tell: Callable[[Exception | None], None]) -> None:
        """Call ``tell`` when it can be asked, or with Refused or Gone when it never will be."""

        def done(task: asyncio.Task[None]) -> None:
            error = None if task.cancelled() else task.exception()
            tell(error if isinstance(error, Exception) else None)

        self._ready.add_done_callback(done)

    def outdated(self) -> bool:
        """Whether packages were installed in the environment after the server imported them. Reads a few inodes."""
        return any(_modified(path) != modified for path, modified in self._places.items())

    async def start(self, attempt: Mapping[str, Any], command: Mapping[str, Any], lock: int, log: int) -> socket.socket:
        """Have an attempt started; the connection that ends with its waiter.

        ``attempt`` and ``command`` are as server.py reads them. Raises Refused and Gone, and OSError when no
        process can be made.
        """
        await self.until_ready()
        here, there = socket.socketpair()
        try:
            here.setblocking(False)
            with there:
                await self._pass(server.ATTEMPT, [there.fileno(), lock, log])
            await self._send(here, _message(attempt) + _message(command))
            answer = await _receive(here)
            if not answer:
                raise Gone
            if answer != waiter.STARTED:
                raise OSError(answer.decode())
        except BaseException:
            here.close()
            raise
        self.served = True
        return here

    async def branch(self, content: Mapping[str, Any], control: int) -> None:
        """Have a fork of the server become one itself. ``content`` is as server.py reads it. Raises Gone."""
        await self.until_ready()
        here, there = socket.socketpair()
        with here:
            here.setblocking(False)
            with there:
                await self._pass(server.BRANCH, [there.fileno(), control])
            await self._send(here, _message(content))

    async def until_ready(self) -> None:
        """Wait until it has imported what it imports first. Raises Refused and Gone."""
        if self._ready.done():
            self._ready.result()
        else:
            await asyncio.shield(self._ready)

    async def close(self) -> None:
        """End the server; what it has forked goes on. It has nothing that it would have to put away."""
        with contextlib.suppress(OSError, Refused, Gone):
            process = await self._process
            if process is not None:
                process.kill()
                await asyncio.to_thread(process.wait)
        self._ready.cancel()
        with contextlib.suppress(asyncio.CancelledError, Refused, Gone):
            await self._ready
        self._control.close()  # which ends one that has no process of ours

    async def _greeting(self) -> None:
        try:
            await asyncio.shield(self._process)
        except (FileNotFoundError, PermissionError) as error:
            raise Refused(str(error)) from error
        except OSError as error:
            raise Gone from error
        answer = await _receive(self._control)
        if not answer:
            raise Gone
        said = json.loads(answer)
        if "refusal" in said:
            raise Refused(said["refusal"])
        self._places = said["places"]

    async def _pass(self, kind: bytes, descriptors: Sequence[int]) -> None:
        loop = asyncio.get_running_loop()
        async with self._sending:
            while True:
                try:
                    socket.send_fds(self._control, [kind], descriptors)
                except BlockingIOError:
                    await _writable(loop, self._control)
                except OSError as error:
                    raise Gone from error
                else:
                    return

    async def _send(self, connection: socket.socket, request: bytes) -> None:
        try:
            await asyncio.get_running_loop().sock_sendall(connection, request)
        except OSError as error:
            raise Gone from error


def spawned(interpreter: str, host: Mapping[str, str]) -> ForkServer:
    """The fork server of an environment, whose Python is ``interpreter``; ``host`` is its own environment."""

    def spawn(control: int) -> subprocess.Popen[bytes]:
        # Its stderr is the engine's: nothing but the trace of a crash is ever written there.
        return subprocess.Popen(
            [interpreter, str(SCRIPT), str(control), str(open_files.given())],
            pass_fds=[control],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            env=dict(host),
            cwd="/",
            start_new_session=True,
        )

    return ForkServer(interpreter, lambda control: asyncio.to_thread(spawn, control))


def branched(
    parent: ForkServer, modules: Sequence[str], env: Mapping[str, str], task: Mapping[str, Any] | None = None
) -> ForkServer:
    """A fork server like another one that has also imported some modules, in the environment of a task.

    ``task`` is of a user's module, as fork_server/user_module.py reads it.
    """

    async def branch(control: int) -> None:
        await parent.branch({"modules": list(modules), "env": dict(env), **(task or {})}, control)

    return ForkServer(parent.interpreter, branch)


async def _with(
    other: socket.socket, begin: Callable[[int], Awaitable[subprocess.Popen[bytes] | None]]
) -> subprocess.Popen[bytes] | None:
    with other:
        return await begin(other.fileno())


async def _receive(connection: socket.socket) -> bytes:
    try:
        return await asyncio.get_running_loop().sock_recv(connection, 65536)
    except OSError:
        return b""  # reset: its other end was closed with something unread


def _message(content: Mapping[str, Any]) -> bytes:
    encoded = json.dumps(content).encode()
    return len(encoded).to_bytes(4, "big") + encoded


async def hung_up(connection: socket.socket) -> None:
    """Return when the other end of an attempt's connection is closed; closes this one."""
    with connection, contextlib.suppress(OSError):
        while await asyncio.get_running_loop().sock_recv(connection, 4096):
            pass


async def _writable(loop: asyncio.AbstractEventLoop, connection: socket.socket) -> None:
    writable = asyncio.Event()
    loop.add_writer(connection, writable.set)
    try:
        await writable.wait()
    finally:
        loop.remove_writer(connection)


def _modified(path: str) -> int:
    try:
        return os.stat(path).st_mtime_ns  # noqa: PTH116
    except OSError:
        return 0
