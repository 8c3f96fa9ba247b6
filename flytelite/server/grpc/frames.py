"""HTTP/2 frames (RFC 9113, section 4 and 6): reading them from a connection's bytes, and writing them."""

from __future__ import annotations

from collections.abc import Iterator
from enum import IntEnum
from struct import Struct
from typing import NamedTuple

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
HEADER_BYTES = 9
MAX_FRAME_BYTES = 64 * 1024
"""The longest payload that this server takes; it says so in its settings."""
MIN_MAX_FRAME_BYTES = 16 * 1024
"""What every peer takes until it says more."""
MAX_WINDOW = 2**31 - 1

DATA, HEADERS, PRIORITY, RST_STREAM, SETTINGS, PUSH_PROMISE, PING, GOAWAY, WINDOW_UPDATE, CONTINUATION = range(10)

END_STREAM = ACK = 0x1
END_HEADERS = 0x4
PADDED = 0x8
PRIORITIZED = 0x20

_HEADER = Struct(">HBBBL")  # a length of 16 and 8 bits, kind, flags, stream


class ErrorCode(IntEnum):
    """RFC 9113, section 7."""

    NO_ERROR = 0x0
    PROTOCOL_ERROR = 0x1
    INTERNAL_ERROR = 0x2
    FLOW_CONTROL_ERROR = 0x3
    STREAM_CLOSED = 0x5
    FRAME_SIZE_ERROR = 0x6
    REFUSED_STREAM = 0x7
    CANCEL = 0x8
    COMPRESSION_ERROR = 0x9
    ENHANCE_YOUR_CALM = 0xB


class Setting(IntEnum):
    """The parameters of a SETTINGS frame that matter here (RFC 9113, section 6.5.2)."""

    ENABLE_PUSH = 0x2
    MAX_CONCURRENT_STREAMS = 0x3
    INITIAL_WINDOW_SIZE = 0x4
    MAX_FRAME_SIZE = 0x5
    MAX_HEADER_LIST_SIZE = 0x6


class ConnectionFault(Exception):
    """The peer broke the protocol in a way that ends the connection."""

    def __init__(self, code: ErrorCode, text: str) -> None:
        super().__init__(text)
        self.code = code


class StreamFault(Exception):
    """The peer broke the protocol in a way that ends one stream."""

    def __init__(self, code: ErrorCode, text: str) -> None:
        super().__init__(text)
        self.code = code


class Frame(NamedTuple):
    """One frame. ``stream`` is 0 for what concerns the whole connection."""

    kind: int
    flags: int
    stream: int
    payload: bytes


class FrameReader:
    """Cuts what a connection receives into frames."""

    def __init__(self) -> None:
        self._rest = b""

    def feed(self, received: bytes) -> Iterator[Frame]:
        """The frames that are complete now. Raises ConnectionFault for one that is too long."""
        received = self._rest + received
        position, end = 0, len(received)
        while end - position >= HEADER_BYTES:
            high, low, kind, flags, stream = _HEADER.unpack_from(received, position)
            length = high << 8 | low
            if length > MAX_FRAME_BYTES:
                raise ConnectionFault(ErrorCode.FRAME_SIZE_ERROR, f"a frame of {length} bytes")
            start, position_after = position + HEADER_BYTES, position + HEADER_BYTES + length
            if position_after > end:
                break
            position = position_after
            yield Frame(kind, flags, stream & MAX_WINDOW, received[start:position])
        self._rest = received[position:]


def frame(kind: int, flags: int, stream: int, payload: bytes = b"") -> bytes:
    """A frame as bytes."""
    length = len(payload)
    return _HEADER.pack(length >> 8, length & 0xFF, kind, flags, stream) + payload


def header_frames(stream: int, flags: int, block: bytes, max_frame: int) -> bytes:
    """A HEADERS frame, and the CONTINUATION frames that a long block needs."""
    if len(block) <= max_frame:
        return frame(HEADERS, flags | END_HEADERS, stream, block)
    pieces = [block[start : start + max_frame] for start in range(0, len(block), max_frame)]
    between = (frame(CONTINUATION, 0, stream, piece) for piece in pieces[1:-1])
    return b"".join(
        (frame(HEADERS, flags, stream, pieces[0]), *between, frame(CONTINUATION, END_HEADERS, stream, pieces[-1]))
    )


def settings(parameters: dict[Setting, int]) -> bytes:
    """A SETTINGS frame."""
    return frame(SETTINGS, 0, 0, b"".join(_SETTING.pack(key, value) for key, value in parameters.items()))


def read_settings(payload: bytes) -> Iterator[tuple[int, int]]:
    """The parameters in a SETTINGS frame, unknown ones too. Raises ConnectionFault for what no peer may ask for."""
    if len(payload) % _SETTING.size:
        raise ConnectionFault(ErrorCode.FRAME_SIZE_ERROR, f"SETTINGS of {len(payload)} bytes")
    for key, value in _SETTING.iter_unpack(payload):
        if key == Setting.INITIAL_WINDOW_SIZE and value > MAX_WINDOW:
            raise ConnectionFault(ErrorCode.FLOW_CONTROL_ERROR, f"a window of {value} bytes")
        if (key == Setting.ENABLE_PUSH and value > 1) or (
            key == Setting.MAX_FRAME_SIZE and not MIN_MAX_FRAME_BYTES <= value < 2**24
        ):
            raise ConnectionFault(ErrorCode.PROTOCOL_ERROR, f"setting {key} is {value}")
        yield key, value


def number(payload: bytes, kind: str) -> int:
    """The 32 bit number that is all of a payload. Raises ConnectionFault for another length."""
    if len(payload) != 4:
        raise ConnectionFault(ErrorCode.FRAME_SIZE_ERROR, f"{kind} of {len(payload)} bytes")
    return int.from_bytes(payload, "big")


def window_update(stream: int, increment: int) -> bytes:
    """A WINDOW_UPDATE frame."""
    return frame(WINDOW_UPDATE, 0, stream, increment.to_bytes(4, "big"))


def rst_stream(stream: int, code: ErrorCode) -> bytes:
    """An RST_STREAM frame."""
    return frame(RST_STREAM, 0, stream, code.to_bytes(4, "big"))


def goaway(last_stream: int, code: ErrorCode, text: str = "") -> bytes:
    """A GOAWAY frame: streams after ``last_stream`` were not looked at."""
    return frame(GOAWAY, 0, 0, last_stream.to_bytes(4, "big") + code.to_bytes(4, "big") + text.encode())


def unpadded(frame: Frame) -> bytes:
    """The payload of a DATA or HEADERS frame without its padding. Raises ConnectionFault for too much padding."""
    payload = frame.payload
    if not frame.flags & PADDED:
        return payload
    if not payload or payload[0] >= len(payload):
        raise ConnectionFault(ErrorCode.PROTOCOL_ERROR, "padding is longer than its frame")
    return payload[1 : len(payload) - payload[0]]


_SETTING = Struct(">HL")
