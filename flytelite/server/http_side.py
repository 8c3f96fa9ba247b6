"""HTTP/1 connections: uvicorn's protocol class over transports that somebody else accepted."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from uvicorn import Config
    from uvicorn.server import ServerState

KEEP_ALIVE_SECONDS = 75
MAX_HEADER_BYTES = 1024 * 1024
"""As Go's net/http: a list's filters travel in the URL."""


class HttpSide:
    """Takes connections once it is loaded; loading imports starlette and uvicorn, which gRPC does not need."""

    def __init__(self, make_app: Callable[[], Any], open_connections: set[Any]) -> None:
        self._make_app = make_app
        self._open = open_connections
        self._loading: asyncio.Task[None] | None = None
        self._config: Config
        self._state: ServerState | None = None
        self._finishing = False

    @property
    def tasks(self) -> set[asyncio.Task[None]]:
        """Requests that are being answered."""
        return self._state.tasks if self._state is not None else set()

    async def load(self) -> None:
        """Build the application in a thread; the second caller waits for the first. Raises what building raises."""
        if self._state is not None:
            return
        if self._loading is None or self._loading.done():  # a failure is tried again
            self._loading = asyncio.create_task(self._load())
        await asyncio.shield(self._loading)

    async def _load(self) -> None:
        self._config, state = await asyncio.to_thread(_configure, self._make_app)
        state.connections = self._open
        self._state = state

    def take(self, transport: asyncio.Transport, received: bytes) -> None:
        """Serve a connection that already sent ``received`` and whose reading is paused."""
        assert self._state is not None
        protocol: Any = self._config.http_protocol_class(  # type: ignore[call-arg]
            config=self._config, server_state=self._state, app_state={}
        )
        transport.set_protocol(protocol)
        protocol.connection_made(transport)
        transport.resume_reading()
        protocol.data_received(received)
        if self._finishing:
            protocol.shutdown()

    def finish(self) -> None:
        """Close idle connections; the others, and those still to come, close after one response."""
        self._finishing = True
        if self._state is None:
            return
        for connection in tuple(self._open):
            if isinstance(connection, self._config.http_protocol_class):
                connection.shutdown()  # type: ignore[attr-defined]


def _configure(make_app: Callable[[], Any]) -> tuple[Config, ServerState]:
    from email.utils import formatdate

    from uvicorn import Config
    from uvicorn.server import ServerState

    class DatedState(ServerState):
        """uvicorn's server renews the Date header each second; here there is only its protocol."""

        @property
        def default_headers(self) -> list[tuple[bytes, bytes]]:
            return [(b"date", formatdate(usegmt=True).encode())]

        @default_headers.setter
        def default_headers(self, value: list[tuple[bytes, bytes]]) -> None: ...

    config = Config(
        make_app(),
        interface="asgi3",
        http="h11",  # not what else is installed: the other parser refuses flytekit's uploads of empty files
        lifespan="off",
        ws="none",
        log_config=None,
        access_log=False,
        proxy_headers=False,
        server_header=False,
        timeout_keep_alive=KEEP_ALIVE_SECONDS,
        h11_max_incomplete_event_size=MAX_HEADER_BYTES,
    )
    config.load()
    return config, DatedState()
