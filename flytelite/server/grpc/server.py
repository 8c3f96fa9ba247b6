"""The gRPC server: what it answers, and on which connections."""

from __future__ import annotations

import asyncio
import errno
import logging

from flytelite.config import Settings
from flytelite.errors import FailedPrecondition
from flytelite.server import api
from flytelite.server.dispatch import Dispatcher
from flytelite.server.grpc import health
from flytelite.server.grpc.calls import Method
from flytelite.server.grpc.connection import Connection
from flytelite.server.grpc.health import Health
from flytelite.server.grpc.reflection import Reflection
from flytelite.server.grpc.services import FlyteServices
from flytelite.server.open_connections import OpenConnections

FLUSH_SECONDS = 1.0
"""How long clients have to take the last answers once the server has given up."""

log = logging.getLogger(__name__)


class GrpcServer:
    """FlyteAdmin's gRPC side: on connections that it is given, and on ``settings.grpc_port`` when that is set."""

    def __init__(self, dispatcher: Dispatcher, settings: Settings) -> None:
        self._settings = settings
        self._health = Health(["flyteadmin", "datacatalog.DataCatalog"])
        names = [health.SERVICE, *(service.full_name for service in api.services())]
        self._services = FlyteServices(dispatcher, settings.max_message_bytes)
        self._others: dict[str, Method] = {**self._health.methods(), **Reflection(names).methods()}
        self._public: asyncio.Server | None = None
        self.connections = OpenConnections()

    async def start(self) -> None:
        """Listen on the port of its own, if it has one. Raises FailedPrecondition when that cannot be bound."""
        host, port = self._settings.host, self._settings.grpc_port
        if port is None:
            return
        try:
            self._public = await asyncio.get_running_loop().create_server(self._connection, host, port)
        except OSError as error:
            reason = "it is in use by another program" if error.errno == errno.EADDRINUSE else str(error)
            raise FailedPrecondition(
                f"gRPC cannot listen on {host}:{port}: {reason}. Set grpc_port to another one."
            ) from error

    def take(self, transport: asyncio.Transport, received: bytes) -> None:
        """Serve a connection that already sent ``received`` and whose reading is paused."""
        connection = self._connection()
        transport.set_protocol(connection)
        connection.connection_made(transport)
        transport.resume_reading()
        connection.received(received)

    async def stop(self, grace: float) -> None:
        """Say NOT_SERVING and GOAWAY, give running calls ``grace`` seconds, then end them as UNAVAILABLE."""
        self._health.stop()
        if self._public is not None:
            self._public.close()
        for connection in tuple(self.connections):
            connection.leave()
        if await self.connections.gone(grace):
            return
        for connection in tuple(self.connections):
            connection.abort_calls()
        if not await self.connections.gone(FLUSH_SECONDS):
            for connection in tuple(self.connections):
                connection.transport.abort()

    def _connection(self) -> Connection:
        return Connection(self._find, self._settings.max_message_bytes, self.connections)

    def _find(self, path: str) -> Method:
        return self._others.get(path) or self._services.find(path)
