"""The gRPC server behind the listener."""

from __future__ import annotations

import os
import shutil
import socket
import tempfile
from pathlib import Path

import grpc
from grpc_health.v1 import health, health_pb2, health_pb2_grpc
from grpc_health.v1.health import aio as asynchronous_health  # type: ignore[attr-defined]

from flytelite.config import Settings
from flytelite.errors import FailedPrecondition
from flytelite.server import api
from flytelite.server.dispatch import Dispatcher
from flytelite.server.grpc.reflection import Reflection
from flytelite.server.grpc.services import FlyteServices

MAX_SOCKET_PATH = 100
"""Bytes of a unix socket's path that every platform takes."""


class GrpcServer:
    """FlyteAdmin's gRPC side on a private address, and on ``settings.grpc_port`` when that is set."""

    def __init__(self, dispatcher: Dispatcher, settings: Settings) -> None:
        self._dispatcher = dispatcher
        self._settings = settings
        self._directory: Path | None = None
        self._health = asynchronous_health.HealthServicer()
        self._server: grpc.aio.Server
        self.address: str
        """Where the listener connects to: the path of a unix socket, or host:port where there are none."""

    async def start(self) -> None:
        """Bind and serve. Raises FailedPrecondition when ``settings.grpc_port`` cannot be bound."""
        self._server = grpc.aio.server(options=_options(self._settings))
        for name in ("flyteadmin", "datacatalog.DataCatalog"):
            await self._health.set(name, health_pb2.HealthCheckResponse.SERVING)
        health_pb2_grpc.add_HealthServicer_to_server(self._health, self._server)
        names = [health.SERVICE_NAME, *(service.full_name for service in api.services())]
        self._server.add_generic_rpc_handlers((Reflection(names), FlyteServices(self._dispatcher)))
        try:
            self._bind_public()
            self._bind_private()
            await self._server.start()
        except BaseException:
            await self._server.stop(None)
            self._remove_directory()
            raise

    async def stop(self, grace: float) -> None:
        """Say NOT_SERVING and GOAWAY, give running calls ``grace`` seconds, then cancel them."""
        await self._health.enter_graceful_shutdown()
        await self._server.stop(grace)
        self._remove_directory()

    def _bind_public(self) -> None:
        port = self._settings.grpc_port
        if port is None:
            return
        host = f"[{self._settings.host}]" if ":" in self._settings.host else self._settings.host
        try:
            self._server.add_insecure_port(f"{host}:{port}")
        except RuntimeError as error:
            raise FailedPrecondition(
                f"gRPC cannot listen on {host}:{port}: {error}. Is the port in use? Set grpc_port to another one."
            ) from error

    def _bind_private(self) -> None:
        if not hasattr(socket, "AF_UNIX"):
            self.address = f"127.0.0.1:{self._server.add_insecure_port('127.0.0.1:0')}"
            return
        self._directory = self._private_directory()
        self.address = str(self._directory / "grpc")
        self._server.add_insecure_port(f"unix:{self.address}")

    def _private_directory(self) -> Path:
        """A directory for its owner only, so that nobody else can reach the socket in it."""
        directory = self._settings.data_dir / "socket"
        if len(os.fsencode(directory)) <= MAX_SOCKET_PATH - len("/grpc"):
            shutil.rmtree(directory, ignore_errors=True)  # a killed server's
            directory.mkdir(mode=0o700)
            return directory
        return Path(tempfile.mkdtemp(prefix="flytelite-", dir="/tmp"))

    def _remove_directory(self) -> None:
        if self._directory is not None:
            shutil.rmtree(self._directory, ignore_errors=True)


def _options(settings: Settings) -> list[tuple[str, int]]:
    return [
        ("grpc.max_receive_message_length", settings.max_message_bytes),
        ("grpc.max_send_message_length", settings.max_message_bytes),
        # flytekit pings every 30 s, also while idle; a server with the stock options answers that with GOAWAY.
        ("grpc.keepalive_permit_without_calls", 1),
        ("grpc.http2.min_recv_ping_interval_without_data_ms", 1_000),
        ("grpc.http2.max_ping_strikes", 0),
        # Two servers on one port would share its calls.
        ("grpc.so_reuseport", 0),
    ]
