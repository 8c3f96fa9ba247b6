"""gRPC's messages inside a stream's data: five bytes (is it compressed, how long is it), then the message."""

from __future__ import annotations

import zlib
from struct import Struct

from flytelite.errors import InvalidArgument, ResourceExhausted, Unimplemented

PREFIX_BYTES = 5
ENCODINGS = {"gzip": 31, "deflate": 15}
"""Compressions by their name in ``grpc-encoding``, with zlib's ``wbits``."""
ACCEPTED = ("identity", *ENCODINGS)

_PREFIX = Struct(">BL")


class MessageReader:
    """Cuts a stream's data into messages, of at most ``limit`` bytes each."""

    def __init__(self, encoding: str, limit: int) -> None:
        """Raises Unimplemented for a compression that is not known."""
        if encoding not in ACCEPTED:
            raise Unimplemented(
                f"messages compressed by {encoding!r} are not understood, but {', '.join(ACCEPTED)} are"
            )
        self._encoding = encoding
        self._limit = limit
        self._parts: list[bytes] = []
        self._size = 0

    @property
    def is_amid(self) -> bool:
        """Whether a message has begun and is not complete."""
        return self._size > 0

    def feed(self, data: bytes) -> list[bytes]:
        """The messages that are complete now.

        Raises ResourceExhausted for one above the limit, InvalidArgument for one that cannot be decompressed.
        """
        self._parts.append(data)
        self._size += len(data)
        if not self._is_complete():
            return []
        buffer = b"".join(self._parts)
        messages, position, end = [], 0, len(buffer)
        while end - position >= PREFIX_BYTES:
            compressed, length = _PREFIX.unpack_from(buffer, position)
            self._check(length)
            start, after = position + PREFIX_BYTES, position + PREFIX_BYTES + length
            if after > end:
                break
            message = buffer[start:after]
            messages.append(self._decompressed(message) if compressed else message)
            position = after
        self._parts = [buffer[position:]] if position < end else []
        self._size = end - position
        return messages

    def _is_complete(self) -> bool:
        """Whether there is a whole message, found out without joining what there is of it each time."""
        if self._size < PREFIX_BYTES:
            return False
        if len(self._parts[0]) < PREFIX_BYTES:
            self._parts = [b"".join(self._parts)]
        _, length = _PREFIX.unpack_from(self._parts[0])
        self._check(length)
        return self._size >= PREFIX_BYTES + int(length)

    def _check(self, length: int) -> None:
        if length > self._limit:
            raise ResourceExhausted(
                f"the message of {length} bytes is larger than {self._limit}, flytelite's setting max_message_bytes"
            )

    def _decompressed(self, message: bytes) -> bytes:
        if self._encoding == "identity":
            raise InvalidArgument("a message is compressed, but grpc-encoding does not say how")
        decompressor = zlib.decompressobj(ENCODINGS[self._encoding])
        try:
            plain = decompressor.decompress(message, self._limit + 1)
        except zlib.error as error:
            raise InvalidArgument(f"a message is no valid {self._encoding}: {error}") from error
        self._check(len(plain))
        if not decompressor.eof:
            raise InvalidArgument(f"a message is no valid {self._encoding}: it ends too early")
        return plain


def prefixed(message: bytes) -> bytes:
    """A message as it travels."""
    return _PREFIX.pack(0, len(message)) + message
