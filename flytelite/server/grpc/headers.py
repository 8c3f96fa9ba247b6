"""Header blocks: what a request's says, and those of answers.

hpack decodes; what it decoded is remembered by the block's bytes, since a client's calls mostly differ in nothing.
Answers use no table of the connection, so their blocks are bytes made once.
"""

from __future__ import annotations

from typing import NamedTuple

from hpack import Decoder
from hpack.exceptions import HPACKError
from hpack.table import HeaderTable

from flytelite.server.grpc.frames import ConnectionFault, ErrorCode, StreamFault

MAX_LIST_BYTES = 1024 * 1024
"""Of one request's headers, as RFC 9113, section 6.5.2 counts them; the connection ends above."""
REMEMBERED_BLOCKS = 64
MAX_DIGITS = 19
"""Of a length: no request is longer, and Python refuses to read thousands of them."""

_REQUIRED = (b":method", b":scheme", b":path")
_PSEUDO = frozenset({*_REQUIRED, b":authority"})
_OF_A_CONNECTION = frozenset({b"connection", b"keep-alive", b"proxy-connection", b"transfer-encoding", b"upgrade"})
_UNITS = {b"H": 3600.0, b"M": 60.0, b"S": 1.0, b"m": 1e-3, b"u": 1e-6, b"n": 1e-9}
_FIRST_OF_RESIZE = range(0x20, 0x40)


class Head(NamedTuple):
    """What matters of a request's headers. ``timeout`` is in seconds, ``encoding`` the compression of its messages.

    ``http_status`` is what answers a request that is no gRPC at all, or 0.
    """

    path: str
    timeout: float | None
    encoding: str
    length: int | None
    http_status: int


class HeaderDecoder:
    """Decodes the header blocks of one connection, in their order."""

    def __init__(self) -> None:
        self._decoder = Decoder(max_header_list_size=MAX_LIST_BYTES)
        self._decoder.header_table = self._table = _Table()
        self._known: dict[bytes, Head] = {}

    def request(self, block: bytes) -> Head:
        """The headers that begin a request. Raises ConnectionFault when they cannot be decoded, StreamFault for headers
        that no request may have."""
        head = self._known.get(block)
        if head is not None:
            return head
        additions = self._table.additions
        head = _head(self._decoded(block))
        if additions == self._table.additions and block[0] not in _FIRST_OF_RESIZE:
            if len(self._known) >= REMEMBERED_BLOCKS:
                self._known.clear()
            self._known[block] = head
        return head

    def trailers(self, block: bytes) -> list[bytes]:
        """The names of the headers that end a request; nothing in them matters. Raises ConnectionFault."""
        return [name for name, _ in self._decoded(block)]

    def _decoded(self, block: bytes) -> list[tuple[bytes, bytes]]:
        additions = self._table.additions
        try:
            found = self._decoder.decode(block, raw=True)
        except (HPACKError, IndexError, UnicodeError) as error:
            raise ConnectionFault(ErrorCode.COMPRESSION_ERROR, f"headers that cannot be decoded: {error}") from error
        if additions != self._table.additions or (block and block[0] in _FIRST_OF_RESIZE):
            self._known.clear()  # the same bytes may mean something else from now on
        return [(bytes(header[0]), bytes(header[1])) for header in found]


class _Table(HeaderTable):
    """hpack's table of a connection's headers; counts what comes in."""

    def __init__(self) -> None:
        super().__init__()
        self.additions = 0

    def add(self, name: bytes, value: bytes) -> None:
        self.additions += 1
        super().add(name, value)


def _head(headers: list[tuple[bytes, bytes]]) -> Head:
    named = _checked(headers)
    content_type = named.get(b"content-type", b"")
    http_status = 0
    if named[b":method"] != b"POST":
        http_status = 405
    elif content_type.partition(b";")[0].partition(b"+")[0] != b"application/grpc":
        http_status = 415
    return Head(
        path=named[b":path"].decode(errors="replace"),
        timeout=_timeout(named.get(b"grpc-timeout")),
        encoding=named.get(b"grpc-encoding", b"identity").decode(errors="replace"),
        length=_length(named.get(b"content-length")),
        http_status=http_status,
    )


def _checked(headers: list[tuple[bytes, bytes]]) -> dict[bytes, bytes]:
    """The headers by name. Raises StreamFault for what makes a request malformed (RFC 9113, section 8.2 and 8.3)."""
    named: dict[bytes, bytes] = {}
    is_pseudo = True
    for name, value in headers:
        if name.startswith(b":"):
            if not is_pseudo or name not in _PSEUDO or name in named:
                raise _malformed(name)
        else:
            is_pseudo = False
            if name != name.lower() or name in _OF_A_CONNECTION or (name == b"te" and value != b"trailers"):
                raise _malformed(name)
        named[name] = value
    for name in _REQUIRED:
        if not named.get(name):
            raise _malformed(name)
    return named


def _malformed(name: bytes) -> StreamFault:
    return StreamFault(ErrorCode.PROTOCOL_ERROR, f"header {name.decode(errors='replace')} is missing or out of place")


def _timeout(value: bytes | None) -> float | None:
    if value is None:
        return None
    digits, unit = value[:-1], value[-1:]
    if not digits.isdigit() or len(digits) > 8 or unit not in _UNITS:
        raise StreamFault(ErrorCode.PROTOCOL_ERROR, f"grpc-timeout is {value.decode(errors='replace')}")
    return int(digits) * _UNITS[unit]


def _length(value: bytes | None) -> int | None:
    if value is None:
        return None
    if not value.isdigit() or len(value) > MAX_DIGITS:
        raise StreamFault(ErrorCode.PROTOCOL_ERROR, f"content-length is {value[:100].decode(errors='replace')}")
    return int(value)


def block(*headers: tuple[bytes, bytes]) -> bytes:
    """A header block that puts nothing into the peer's table (RFC 7541, section 6.2.2: new name, not indexed)."""
    return b"".join(b"\0" + _string(name) + _string(value) for name, value in headers)


def _string(value: bytes) -> bytes:
    """A string as it is, its length as an integer with a prefix of 7 bits (RFC 7541, section 5)."""
    length = len(value)
    if length < 0x7F:
        return bytes((length,)) + value
    encoded = bytearray((0x7F,))
    length -= 0x7F
    while length >= 0x80:
        encoded.append(length & 0x7F | 0x80)
        length >>= 7
    encoded.append(length)
    return bytes(encoded) + value
