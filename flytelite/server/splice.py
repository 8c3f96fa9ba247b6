"""Two connections joined, so that what one side sends the other receives."""

from __future__ import annotations

import asyncio
from typing import Any, cast

_BUFFER = memoryview(bytearray(256 * 1024))
"""What every connection reads into, one at a time. The transport of a plain protocol makes one for each read."""


class Half(asyncio.BufferedProtocol):
    """One of two joined connections. What it reads the other writes, no faster than the other can.

    ``open_connections`` holds the halves that live.
    """

    transport: asyncio.Transport
    other: Half

    def __init__(self, open_connections: set[Any]) -> None:
        self._open = open_connections
        self._ended = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast("asyncio.Transport", transport)
        self._open.add(self)

    def get_buffer(self, sizehint: int) -> memoryview:
        return _BUFFER

    def buffer_updated(self, nbytes: int) -> None:
        self.other.transport.write(bytes(_BUFFER[:nbytes]))

    def pause_writing(self) -> None:
        self.other.transport.pause_reading()

    def resume_writing(self) -> None:
        self.other.transport.resume_reading()

    def eof_received(self) -> bool:
        self._ended = True
        if self.other._ended:
            return False
        self.other.transport.write_eof()
        return True  # the other direction still flows

    def connection_lost(self, error: Exception | None) -> None:
        self._open.discard(self)
        if error is None:
            self.other.transport.close()
        else:
            self.other.transport.abort()


async def splice(client: asyncio.Transport, received: bytes, address: str, open_connections: set[Any]) -> None:
    """Join a client's connection, whose reading is paused and which already sent ``received``, to a new connection to
    ``address`` (the path of a unix socket, or host:port). Raises OSError when there is nobody.
    """
    loop = asyncio.get_running_loop()
    inner, outer = Half(open_connections), Half(open_connections)
    inner.other, outer.other = outer, inner
    outer.transport = client
    if "/" in address:
        await loop.create_unix_connection(lambda: inner, address)
    else:
        host, _, port = address.rpartition(":")
        await loop.create_connection(lambda: inner, host, int(port))
    if client.is_closing():
        inner.transport.abort()
        return
    client.set_protocol(outer)
    outer.connection_made(client)
    inner.transport.write(received)
    client.resume_reading()
