"""One HTTP/2 connection of a client that speaks gRPC (RFC 9113, and gRPC's PROTOCOL-HTTP2.md above it).

grpcio's server takes 0.5 milliseconds of CPU for a call that does nothing, most of it on the way between its
threads and the event loop, and has to be fed through a socket of its own when it shares a port. This is the small
part of HTTP/2 that gRPC uses, on the loop itself, in a tenth of the time.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from typing import Any, cast

from flytelite.errors import Code, FlyteError
from flytelite.server.grpc import frames, status
from flytelite.server.grpc.calls import ForeignCall, Method, StreamingCall, Unary, UnaryCall
from flytelite.server.grpc.frames import ConnectionFault, ErrorCode, Frame, FrameReader, Setting, StreamFault
from flytelite.server.grpc.headers import MAX_LIST_BYTES, Head, HeaderDecoder
from flytelite.server.grpc.messages import MessageReader
from flytelite.server.grpc.sending import INITIAL_WINDOW, Sender
from flytelite.server.grpc.streams import STREAM_WINDOW, Stream, Streams, misplaced

CONNECTION_WINDOW = 16 * 1024 * 1024
"""Bytes of all requests that a client may send before it is told that they have arrived."""
MAX_STREAMS = 1000
MAX_BLOCK_BYTES = 256 * 1024

_BUFFER = memoryview(bytearray(256 * 1024))
"""What every connection reads into, one at a time. The transport of a plain protocol makes one for each read."""
_HELLO = frames.settings(
    {
        Setting.MAX_CONCURRENT_STREAMS: MAX_STREAMS,
        Setting.INITIAL_WINDOW_SIZE: STREAM_WINDOW,
        Setting.MAX_FRAME_SIZE: frames.MAX_FRAME_BYTES,
        Setting.MAX_HEADER_LIST_SIZE: MAX_LIST_BYTES,
    }
) + frames.window_update(0, CONNECTION_WINDOW - INITIAL_WINDOW)
_SETTINGS_ACK = frames.frame(frames.SETTINGS, frames.ACK, 0)

log = logging.getLogger(__name__)


class Connection(asyncio.BufferedProtocol):
    """``find`` gives the method of a path, and raises FlyteError for an unknown one. Requests may have messages of
    ``max_message_bytes``. ``open_connections`` holds the connections that live."""

    transport: asyncio.Transport

    def __init__(self, find: Callable[[str], Method], max_message_bytes: int, open_connections: set[Any]) -> None:
        self._find = find
        self._max_message_bytes = max_message_bytes
        self._open = open_connections
        self._preface = frames.PREFACE
        self._frames = FrameReader()
        self._headers = HeaderDecoder()
        self._streams = Streams()
        self._window = CONNECTION_WINDOW
        self._block: tuple[Frame, bytearray] | None = None
        self._is_greeted = self._is_leaving = False
        self._on_frame: dict[int, Callable[[Frame], None]] = {
            frames.DATA: self._on_data,
            frames.HEADERS: self._on_headers,
            frames.PRIORITY: self._on_priority,
            frames.RST_STREAM: self._on_rst_stream,
            frames.SETTINGS: self._on_settings,
            frames.PUSH_PROMISE: self._on_misplaced,
            frames.PING: self._on_ping,
            frames.GOAWAY: self._on_goaway,
            frames.WINDOW_UPDATE: self._on_window_update,
            frames.CONTINUATION: self._on_misplaced,
        }

    # What asyncio tells

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast("asyncio.Transport", transport)
        self._sender = Sender(self.transport, self._answered)
        self._open.add(self)
        self.transport.write(_HELLO)

    def get_buffer(self, sizehint: int) -> memoryview:
        return _BUFFER

    def buffer_updated(self, nbytes: int) -> None:
        self.received(bytes(_BUFFER[:nbytes]))

    def pause_writing(self) -> None:
        # A client that does not read must not be heard either: its pings and settings would pile up answers.
        self._sender.pause()
        self.transport.pause_reading()

    def resume_writing(self) -> None:
        self._sender.resume()
        self.transport.resume_reading()

    def eof_received(self) -> bool:
        self._is_leaving = True
        return bool(self._streams)  # those who only stopped sending get their answers

    def connection_lost(self, error: Exception | None) -> None:
        self._open.discard(self)
        for stream in self._streams:
            self._forget(stream)

    # What the server asks

    def received(self, data: bytes) -> None:
        """Take bytes from the client."""
        try:
            if self._preface:
                data = self._without_preface(data)
            for frame in self._frames.feed(data):
                self._take(frame)
                if self.transport.is_closing():
                    return
        except ConnectionFault as fault:
            log.debug("a gRPC client broke the protocol: %s", fault)
            self._end(fault.code, str(fault))

    def leave(self) -> None:
        """Take no more calls, and end once those that run are answered."""
        if not self._is_leaving:
            self._is_leaving = True
            self.transport.write(frames.goaway(self._streams.last, ErrorCode.NO_ERROR))
        self._end_if_idle()

    def abort_calls(self) -> None:
        """End all calls at once, as UNAVAILABLE, and then the connection."""
        unavailable = status.of_code(Code.UNAVAILABLE, "flytelite is stopping")
        for number in self._streams:
            self._give_up(number, unavailable)
        self.transport.close()

    # Frames

    def _without_preface(self, data: bytes) -> bytes:
        size = min(len(data), len(self._preface))
        if data[:size] != self._preface[:size]:
            raise ConnectionFault(ErrorCode.PROTOCOL_ERROR, "the connection does not begin as HTTP/2 does")
        self._preface = self._preface[size:]
        return data[size:]

    def _take(self, frame: Frame) -> None:
        if not self._is_greeted:
            if frame.kind != frames.SETTINGS or frame.flags & frames.ACK:
                raise ConnectionFault(ErrorCode.PROTOCOL_ERROR, "the first frame is no SETTINGS")
            self._is_greeted = True
        handle = self._on_frame.get(frame.kind) if self._block is None else self._continue_block
        if handle is None:
            return  # a kind that is not known, as extensions may add
        try:
            handle(frame)
        except StreamFault as fault:
            self._reset_stream(frame.stream, fault.code)
        except FlyteError as error:
            self._refuse(frame.stream, error)

    def _on_data(self, frame: Frame) -> None:
        size, data = len(frame.payload), frames.unpadded(frame)
        self._acknowledge(size)
        stream = self._streams.known(frame)
        if stream is None:
            return
        if stream.is_ended:
            raise StreamFault(ErrorCode.STREAM_CLOSED, "data after the end")
        stream.window -= size
        if stream.window < 0:
            raise StreamFault(ErrorCode.FLOW_CONTROL_ERROR, "more data than the window of the stream")
        stream.arrived += len(data)
        call = stream.call
        if call is None:
            return  # given up, and the answer waits to be sent
        for message in stream.reader.feed(data) if stream.reader is not None else ():
            call.receive(message, size)
            size = 0
        if frame.flags & frames.END_STREAM:
            self._end_request(stream)
        else:
            self._consumed(frame.stream, size)

    def _on_headers(self, frame: Frame) -> None:
        if not frame.stream % 2:
            raise ConnectionFault(ErrorCode.PROTOCOL_ERROR, f"a request on stream {frame.stream}")
        payload = frames.unpadded(frame)
        if frame.flags & frames.PRIORITIZED:
            if len(payload) < 5:
                raise ConnectionFault(ErrorCode.FRAME_SIZE_ERROR, "HEADERS without its priority")
            depends_on, payload = int.from_bytes(payload[:4], "big") & frames.MAX_WINDOW, payload[5:]
            if depends_on == frame.stream:
                raise ConnectionFault(ErrorCode.PROTOCOL_ERROR, f"stream {frame.stream} depends on itself")
        if frame.flags & frames.END_HEADERS:
            self._on_block(frame, payload)
        else:
            self._block = frame, bytearray(payload)

    def _continue_block(self, frame: Frame) -> None:
        assert self._block is not None
        first, block = self._block
        if frame.kind != frames.CONTINUATION or frame.stream != first.stream:
            raise ConnectionFault(ErrorCode.PROTOCOL_ERROR, "a header block is interrupted")
        block += frame.payload
        if len(block) > MAX_BLOCK_BYTES:
            raise ConnectionFault(ErrorCode.ENHANCE_YOUR_CALM, f"headers of more than {MAX_BLOCK_BYTES} bytes")
        if frame.flags & frames.END_HEADERS:
            self._block = None
            self._on_block(first, bytes(block))

    def _on_block(self, frame: Frame, block: bytes) -> None:
        number = frame.stream
        if number <= self._streams.last:
            self._on_trailers(frame, block)
            return
        self._streams.last = number
        head = self._headers.request(block)
        if self._is_leaving or len(self._streams) >= MAX_STREAMS:
            raise StreamFault(ErrorCode.REFUSED_STREAM, "no more calls are taken")
        stream = self._streams.begin(number, head)
        self._sender.open(number)
        self._begin(number, stream, head)
        if frame.flags & frames.END_STREAM:
            self._end_request(stream)

    def _begin(self, number: int, stream: Stream, head: Head) -> None:
        """Have a call made of a request that begins. Raises FlyteError."""
        if head.http_status:
            stream.call = ForeignCall(head.http_status, number, self._sender)
            return
        method = self._find(head.path)
        stream.reader = MessageReader(head.encoding, self._max_message_bytes)
        if isinstance(method, Unary):
            stream.call = UnaryCall(method, number, self._sender, self._consumed)
        else:
            stream.call = StreamingCall(method, number, self._sender, self._consumed)
        if head.timeout is not None:
            stream.timer = asyncio.get_running_loop().call_later(head.timeout, self._expire, number)

    def _on_trailers(self, frame: Frame, block: bytes) -> None:
        names = self._headers.trailers(block)  # decoded in any case, for what it puts into the table
        stream = self._streams.get(frame.stream)
        if stream is None and self._streams.was_reset(frame.stream):
            return
        if stream is None or stream.is_ended:
            raise ConnectionFault(ErrorCode.STREAM_CLOSED, f"headers after the end of stream {frame.stream}")
        if not frame.flags & frames.END_STREAM or any(name.startswith(b":") for name in names):
            raise StreamFault(ErrorCode.PROTOCOL_ERROR, "headers amid a request")
        self._end_request(stream)

    def _end_request(self, stream: Stream) -> None:
        stream.is_ended = True
        if stream.length is not None and stream.length != stream.arrived:
            raise StreamFault(ErrorCode.PROTOCOL_ERROR, "the request is not as long as it said")
        if stream.reader is not None and stream.reader.is_amid:
            raise StreamFault(ErrorCode.PROTOCOL_ERROR, "the request ends within a message")
        if stream.call is not None:
            stream.call.end()

    def _on_priority(self, frame: Frame) -> None:
        if frame.stream == 0:
            self._on_misplaced(frame)
        if len(frame.payload) != 5:
            raise ConnectionFault(ErrorCode.FRAME_SIZE_ERROR, f"PRIORITY of {len(frame.payload)} bytes")
        if int.from_bytes(frame.payload[:4], "big") & frames.MAX_WINDOW == frame.stream:
            raise ConnectionFault(ErrorCode.PROTOCOL_ERROR, f"stream {frame.stream} depends on itself")

    def _on_rst_stream(self, frame: Frame) -> None:
        frames.number(frame.payload, "RST_STREAM")
        if self._streams.known(frame, closed_is_fine=True) is not None:
            self._forget(frame.stream)
            self._end_if_idle()

    def _on_settings(self, frame: Frame) -> None:
        if frame.stream:
            self._on_misplaced(frame)
        if frame.flags & frames.ACK:
            if frame.payload:
                raise ConnectionFault(ErrorCode.FRAME_SIZE_ERROR, "an acknowledgement with settings")
            return
        for key, value in frames.read_settings(frame.payload):
            if key == Setting.INITIAL_WINDOW_SIZE:
                self._sender.set_initial_window(value)
            elif key == Setting.MAX_FRAME_SIZE:
                self._sender.set_max_frame(value)
        self.transport.write(_SETTINGS_ACK)

    def _on_ping(self, frame: Frame) -> None:
        # flytekit pings every 30 s, also while idle; a server that limits that loses its clients.
        if frame.stream:
            self._on_misplaced(frame)
        if len(frame.payload) != 8:
            raise ConnectionFault(ErrorCode.FRAME_SIZE_ERROR, f"PING of {len(frame.payload)} bytes")
        if not frame.flags & frames.ACK:
            self.transport.write(frames.frame(frames.PING, frames.ACK, 0, frame.payload))

    def _on_goaway(self, frame: Frame) -> None:
        if frame.stream:
            self._on_misplaced(frame)
        self._is_leaving = True
        self._end_if_idle()

    def _on_window_update(self, frame: Frame) -> None:
        increment = frames.number(frame.payload, "WINDOW_UPDATE") & frames.MAX_WINDOW
        if frame.stream == 0 or self._streams.known(frame, closed_is_fine=True) is not None:
            self._sender.widen(frame.stream, increment)

    def _on_misplaced(self, frame: Frame) -> None:
        raise misplaced(frame)

    # Streams

    def _acknowledge(self, size: int) -> None:
        """Let the client send as much again, on any stream, as has arrived."""
        self._window -= size
        if self._window < 0:
            raise ConnectionFault(ErrorCode.FLOW_CONTROL_ERROR, "more data than the window of the connection")
        if self._window <= CONNECTION_WINDOW // 2:
            self.transport.write(frames.window_update(0, CONNECTION_WINDOW - self._window))
            self._window = CONNECTION_WINDOW

    def _consumed(self, number: int, size: int) -> None:
        """Let the client send as much again on this stream, once it is worth a frame."""
        stream = self._streams.get(number)
        if stream is None or stream.is_ended:
            return
        stream.unacknowledged += size
        if stream.unacknowledged >= STREAM_WINDOW // 2:
            self.transport.write(frames.window_update(number, stream.unacknowledged))
            stream.window += stream.unacknowledged
            stream.unacknowledged = 0

    def _answered(self, number: int) -> None:
        """An answer was written, so that nothing more of its request is of use."""
        stream = self._streams.get(number)
        if stream is None:
            return
        if not stream.is_ended:
            self.transport.write(frames.rst_stream(number, ErrorCode.NO_ERROR))
            self._streams.reset(number)
        self._forget(number, is_answered=True)
        self._end_if_idle()

    def _refuse(self, number: int, error: FlyteError) -> None:
        self._give_up(number, status.of_error(error))

    def _expire(self, number: int) -> None:
        self._give_up(number, status.of_code(Code.DEADLINE_EXCEEDED, "Deadline Exceeded"))

    def _give_up(self, number: int, trailers: bytes) -> None:
        """Answer a call by a status, whatever it is doing."""
        stream = self._streams[number]
        if stream.call is not None:
            stream.call.cancel()
        stream.call = stream.reader = None
        self._sender.finish(number, trailers)

    def _reset_stream(self, number: int, code: ErrorCode) -> None:
        self.transport.write(frames.rst_stream(number, code))
        self._streams.reset(number)
        self._forget(number)
        self._end_if_idle()

    def _forget(self, number: int, is_answered: bool = False) -> None:
        stream = self._streams.end(number)
        if stream is None:
            return
        if stream.timer is not None:
            stream.timer.cancel()
        if not is_answered:
            self._sender.drop(number)
            if stream.call is not None:
                stream.call.cancel()

    def _end_if_idle(self) -> None:
        if self._is_leaving and not self._streams:
            self.transport.close()

    def _end(self, code: ErrorCode, text: str) -> None:
        self._is_leaving = True
        self.transport.write(frames.goaway(self._streams.last, code, text))
        self.transport.close()
