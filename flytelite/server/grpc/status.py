"""Statuses as the trailers of a gRPC answer."""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Iterator
from urllib.parse import quote

from flytelite.errors import Code, FlyteError
from flytelite.server import api
from flytelite.server.grpc.headers import block

# flytekit accepts 32 KiB of trailers (its channel's grpc.max_metadata_size); the other trailers need some of it.
MAX_TRAILER_BYTES = 31_000

_UNESCAPED = "".join(chr(character) for character in range(0x20, 0x7F) if chr(character) != "%")


def of_error(error: FlyteError) -> bytes:
    """The header block that ends a call with the error.

    The text and the details (``grpc-status-details-bin``) together stay below what clients accept as trailers: when
    they would not, the details go, then the text is cut.
    """
    headers = of_code(error.code, error.message)
    if not error.details:
        return headers
    encoded = b64encode(api.status(error).SerializeToString()).rstrip(b"=")
    if _wire_length(error.message) + len(encoded) > MAX_TRAILER_BYTES:
        return headers
    return headers + block((b"grpc-status-details-bin", encoded))


def of_code(code: Code, message: str) -> bytes:
    """The header block that ends a call with a code and a text, which is cut when it is too long."""
    text = _on_the_wire(_cut(message)).encode()
    return block((b"grpc-status", str(int(code)).encode()), (b"grpc-message", text))


def _on_the_wire(message: str) -> str:
    """``grpc-message`` travels percent-encoded: whatever is not printable ASCII takes three bytes for one."""
    return quote(message, safe=_UNESCAPED)


def _wire_length(message: str) -> int:
    return len(_on_the_wire(message))


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
