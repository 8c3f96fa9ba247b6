"""The engine's end of one fork server: starts it, hands it attempts, sees it end."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import socket
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from flytelite.engine.executors import fork_server

SCRIPT = Path(fork_server.__file__)


class Refused(Exception):
    """The environment has no fork server: it cannot import flytekit, or not without starting threads."""


class Gone(Exception):
    """The fork server ended, and what it was asked for was not started."""


class ForkServer:
    """One fork server. ``interpreter`` is the Python of the environment, ``host`` the server's own variables.

    It is started at once, in the background.
    """

    def __init__(self, interpreter: str, host: Mapping[str, str]) -> None:
        self.interpreter = interpreter
        self.served = False
        self._host = dict(host)
        self._places: dict[str, int] = {}
        self._control, self._other = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self._control.setblocking(False)
        self._sending = asyncio.Lock()
        self._process = asyncio.create_task(asyncio.to_thread(self._spawn))
        self._ready = asyncio.create_task(self._greeting(), name="fork server")

    def outdated(self) -> bool:
        """Whether packages were installed in the environment after the server imported them. Reads a few inodes."""
        return any(_modified(path) != modified for path, modified in self._places.items())

    async def start(self, attempt: Mapping[str, Any], command: Mapping[str, Any], lock: int, log: int) -> socket.socket:
        """Have an attempt started; the connection that ends with its waiter.

        ``attempt`` and ``command`` are as fork_server.py reads them. Raises Refused and Gone, and OSError when no
        process can be made.
        """
        await asyncio.shield(self._ready)
        here, there = socket.socketpair()
        try:
            here.setblocking(False)
            with there:
                await self._pass([there.fileno(), lock, log])
            answer = await self._ask(here, _message(attempt) + _message(command))
            if answer != fork_server.STARTED:
                raise OSError(answer.decode())
        except BaseException:
            here.close()
            raise
        self.served = True
        return here

    async def close(self) -> None:
        """End the server; what it has forked goes on. It has nothing that it would have to put away."""
        with contextlib.suppress(OSError):
            process = await self._process
            process.kill()
            await asyncio.to_thread(process.wait)
        with contextlib.suppress(Refused, Gone):
            await self._ready
        self._control.close()

    async def _greeting(self) -> None:
        """Wait until flytekit is imported."""
        try:
            with self._other:
                await asyncio.shield(self._process)
        except (FileNotFoundError, PermissionError) as error:
            raise Refused(str(error)) from error
        except OSError as error:
            raise Gone from error
        answer = await self._receive(self._control)
        if not answer:
            raise Gone
        said = json.loads(answer)
        if "refusal" in said:
            raise Refused(said["refusal"])
        self._places = said["places"]

    def _spawn(self) -> subprocess.Popen[bytes]:
        # Its stderr is the engine's: nothing but the trace of a crash is ever written there.
        return subprocess.Popen(
            [self.interpreter, str(SCRIPT), str(self._other.fileno())],
            pass_fds=[self._other.fileno()],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            env=self._host,
            cwd="/",
            start_new_session=True,
        )

    async def _pass(self, descriptors: Sequence[int]) -> None:
        loop = asyncio.get_running_loop()
        async with self._sending:
            while True:
                try:
                    socket.send_fds(self._control, [b"+"], descriptors)
                except BlockingIOError:
                    await _writable(loop, self._control)
                except OSError as error:
                    raise Gone from error
                else:
                    return

    async def _ask(self, connection: socket.socket, request: bytes) -> bytes:
        loop = asyncio.get_running_loop()
        try:
            await loop.sock_sendall(connection, request)
        except OSError as error:
            raise Gone from error
        answer = await self._receive(connection)
        if not answer:
            raise Gone
        return answer

    async def _receive(self, connection: socket.socket) -> bytes:
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
