"""One TCP port, two protocols, told apart by a connection's first bytes.

PRI * HTTP/2.0   gRPC: handed to the gRPC server's protocol in this process
GET, POST, …     HTTP/1: handed to uvicorn's protocol class in this process
0x16 0x03        TLS: answered with an alert and a line in the log, for the port speaks plaintext only
"""

from __future__ import annotations

import asyncio
import errno
import logging
import socket
from collections.abc import Callable, Coroutine
from typing import Any, cast

from flytelite.errors import FailedPrecondition, FlyteError, InvalidArgument, PermissionDenied
from flytelite.server.http_side import HttpSide
from flytelite.server.open_connections import OpenConnections

FIRST_BYTES_SECONDS = 10.0
BACKLOG = 1024

_GRPC = b"PRI * HTTP/2.0"
_TLS = b"\x16\x03"
_TLS_ALERT = bytes.fromhex("15030100020246")  # fatal, protocol_version

TakeConnection = Callable[[asyncio.Transport, bytes], None]

log = logging.getLogger(__name__)


def bind(host: str, port: int) -> socket.socket:
    """Take the port and listen, accepting nothing yet, so that whatever depends on its number can be built first.

    Port 0 is the system's choice. Raises FailedPrecondition (port in use), PermissionDenied or InvalidArgument (host).
    """
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        bound = socket.socket(family, kind, protocol)
        try:
            bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            bound.bind(address)
            # Two sockets may be bound alike until one of them listens; a taken port must be found out here.
            bound.listen(BACKLOG)
        except BaseException:
            bound.close()
            raise
    except OSError as error:
        raise _bind_error(host, port, error) from error
    bound.setblocking(False)
    return bound


class Listener:
    """Accepts on a socket that ``bind`` made. ``take_grpc`` is what GrpcServer does with a connection that already sent
    some bytes; ``make_app`` builds the ASGI application, once, in a thread, when the first HTTP connection comes (or at
    ``load_http``): gRPC alone needs none of it.
    """

    def __init__(self, socket: socket.socket, take_grpc: TakeConnection, make_app: Callable[[], Any]) -> None:
        self._socket = socket
        self.take_grpc = take_grpc
        self.connections = OpenConnections()
        self.http = HttpSide(make_app, self.connections)
        self.background: set[asyncio.Task[None]] = set()
        self._server: asyncio.Server
        self.port: int = socket.getsockname()[1]

    async def start(self) -> None:
        """Accept connections."""
        loop = asyncio.get_running_loop()
        self._server = await loop.create_server(lambda: _Arrival(self), sock=self._socket, backlog=BACKLOG)

    async def load_http(self) -> None:
        """Build the HTTP application now instead of at the first HTTP connection."""
        await self.http.load()

    async def stop(self, grace: float) -> None:
        """Accept no more, give what runs over HTTP ``grace`` seconds, then abort it.

        gRPC connections end when the gRPC server, stopped at the same time, ends them.
        """
        self._server.close()
        self.http.finish()
        for connection in tuple(self.connections):
            if isinstance(connection, _Arrival):
                connection.leave_if_undecided()
        if not await self.connections.gone(grace):
            for connection in tuple(self.connections):
                connection.transport.abort()
        for task in self.background | self.http.tasks:
            task.cancel()


class _Arrival(asyncio.Protocol):
    """A connection whose protocol is not known yet."""

    transport: asyncio.Transport

    def __init__(self, listener: Listener) -> None:
        self._listener = listener
        self._received = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast("asyncio.Transport", transport)
        self._listener.connections.add(self)
        self._timer = asyncio.get_running_loop().call_later(FIRST_BYTES_SECONDS, self.transport.abort)

    def connection_lost(self, error: Exception | None) -> None:
        self._timer.cancel()
        self._listener.connections.discard(self)

    def data_received(self, data: bytes) -> None:
        self._received += data
        received = self._received
        if received.startswith(_GRPC):
            self._to_grpc()
        elif received.startswith(_TLS):
            self._refuse_tls()
        elif _GRPC.startswith(received) or _TLS.startswith(received):
            return  # too few bytes to tell
        elif received[:1].isalpha():
            self._hand_over(self._to_http())
        else:
            self.transport.abort()

    def leave_if_undecided(self) -> None:
        """Give up a client that has not said yet what it speaks."""
        if not self._timer.cancelled():
            self.transport.abort()

    def _hand_over(self, work: Coroutine[Any, Any, None]) -> None:
        self._timer.cancel()
        self.transport.pause_reading()
        task = asyncio.get_running_loop().create_task(work)
        self._listener.background.add(task)
        task.add_done_callback(self._listener.background.discard)

    def _to_grpc(self) -> None:
        self._timer.cancel()
        self.transport.pause_reading()
        self._listener.connections.discard(self)
        self._listener.take_grpc(self.transport, self._received)

    async def _to_http(self) -> None:
        try:
            await self._listener.http.load()
        except Exception:
            log.exception("the HTTP side cannot be loaded")
            self.transport.abort()
        if not self.transport.is_closing():
            self._listener.http.take(self.transport, self._received)
        self._listener.connections.discard(self)

    def _refuse_tls(self) -> None:
        host, port = self.transport.get_extra_info("sockname")[:2]
        log.warning(
            "A client tried TLS, but port %s of %s speaks plaintext: set admin.insecure: true in the client's config, "
            "or FLYTE_PLATFORM_INSECURE=true.",
            port,
            host,
        )
        self.transport.write(_TLS_ALERT)
        self.transport.close()


def _bind_error(host: str, port: int, error: OSError) -> FlyteError:
    if error.errno == errno.EADDRINUSE:
        return FailedPrecondition(
            f"Port {port} of {host} is in use by another program: stop it, or choose another port with --port."
        )
    if error.errno == errno.EACCES:
        return PermissionDenied(f"This user may not listen on port {port}: choose a port above 1023 with --port.")
    if isinstance(error, socket.gaierror) or error.errno == errno.EADDRNOTAVAIL:
        return InvalidArgument(f"This machine has no address {host!r} to listen on: set host to one of its own.")
    return FailedPrecondition(f"Cannot listen on {host}:{port}: {error.strerror or error}.")
