"""FlyteError as the trailers of a gRPC answer."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any
from urllib.parse import quote

import grpc

from flytelite.errors import FlyteError
from flytelite.server import api

# flytekit accepts 32 KiB of trailers (its channel's grpc.max_metadata_size); the other trailers need some of it.
MAX_TRAILER_BYTES = 31_000

_CODES: dict[int, grpc.StatusCode] = {code.value[0]: code for code in grpc.StatusCode}
_UNESCAPED = "".join(chr(character) for character in range(0x20, 0x7F) if chr(character) != "%")


async def abort(context: grpc.aio.ServicerContext[Any, Any], error: FlyteError) -> None:
    """End the call with the error; never returns.

    The text and the details (``grpc-status-details-bin``) together stay below what clients accept as trailers: when
    they would not, the details go, then the text is cut.
    """
    message = error.message
    trailers: tuple[tuple[str, str | bytes], ...] = ()
    if error.details:
        from grpc_status import rpc_status

        rich = rpc_status.to_status(api.status(error))
        binary = sum(len(value) for _, value in rich.trailing_metadata) * 4 // 3
        if _wire_length(message) + binary <= MAX_TRAILER_BYTES:
            trailers = rich.trailing_metadata
    await context.abort(_CODES[error.code], _cut(message), trailers)


def _wire_length(message: str) -> int:
    """``grpc-message`` travels percent-encoded: whatever is not printable ASCII takes three bytes for one."""
    return len(quote(message, safe=_UNESCAPED))


def _cut(message: str) -> str:
    if len(message) * 12 <= MAX_TRAILER_BYTES or _wire_length(message) <= MAX_TRAILER_BYTES:
        return message
    return "".join(_characters_within(message, MAX_TRAILER_BYTES))


def _characters_within(message: str, limit: int) -> Iterator[str]:
    for character in message:
        limit -= _wire_length(character)
        if limit < 0:
            return
        yield character
