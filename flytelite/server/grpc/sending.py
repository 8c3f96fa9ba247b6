"""The sending half of an HTTP/2 connection: answers, no faster than the peer takes them."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from flytelite.server.grpc import frames
from flytelite.server.grpc.frames import DATA, END_HEADERS, END_STREAM, HEADERS, ConnectionFault, ErrorCode, StreamFault
from flytelite.server.grpc.headers import block
from flytelite.server.grpc.messages import ACCEPTED, prefixed

INITIAL_WINDOW = 65_535
WRITE_BYTES = 256 * 1024
"""About how much of an answer is given to the transport at a time."""

_OK = b"\x88"  # :status 200, in every peer's table
BEGIN = _OK + block((b"content-type", b"application/grpc"), (b"grpc-accept-encoding", ",".join(ACCEPTED).encode()))
SUCCESS = block((b"grpc-status", b"0"))


class Answer:
    """What is to be sent on one stream."""

    __slots__ = ("data", "drained", "has_begun", "sent", "trailers", "window")

    def __init__(self, window: int) -> None:
        self.window = window
        self.data = b""
        self.sent = 0
        self.trailers: bytes | None = None
        self.has_begun = False
        self.drained: asyncio.Future[None] | None = None

    @property
    def waits(self) -> bool:
        """Whether there is data that was not written yet."""
        return self.sent < len(self.data)


class Sender:
    """Answers by stream. ``finished`` is called with a stream's number when the whole answer was written."""

    def __init__(self, transport: asyncio.WriteTransport, finished: Callable[[int], None]) -> None:
        self._transport = transport
        self._finished = finished
        self._answers: dict[int, Answer] = {}
        self._waiting: dict[int, Answer] = {}
        self._window = INITIAL_WINDOW
        self._initial_window = INITIAL_WINDOW
        self._max_frame = frames.MIN_MAX_FRAME_BYTES
        self._paused = False

    def open(self, stream: int) -> None:
        """Expect an answer on that stream."""
        self._answers[stream] = Answer(self._initial_window)

    def complete(self, stream: int, message: bytes) -> None:
        """Send the only message of an answer, and that it succeeded."""
        answer = self._answers.get(stream)
        if answer is None:
            return
        data = prefixed(message)
        size = len(data)
        if self._paused or answer.has_begun or size > min(answer.window, self._window, self._max_frame):
            self._queue(stream, answer, data, SUCCESS)
            return
        self._window -= size
        self._transport.write(
            frames.frame(HEADERS, END_HEADERS, stream, BEGIN)
            + frames.frame(DATA, 0, stream, data)
            + frames.frame(HEADERS, END_HEADERS | END_STREAM, stream, SUCCESS)
        )
        self._end(stream)

    async def send(self, stream: int, message: bytes) -> None:
        """Send one of several messages, and wait until the peer has taken it."""
        answer = self._answers.get(stream)
        if answer is None:
            return
        self._queue(stream, answer, prefixed(message), None)
        if answer.waits:
            answer.drained = asyncio.get_running_loop().create_future()
            await answer.drained

    def finish(self, stream: int, trailers: bytes) -> None:
        """End an answer by a header block, after what is still to be sent of it."""
        answer = self._answers.get(stream)
        if answer is not None:
            self._queue(stream, answer, b"", trailers)

    def refuse(self, stream: int, http_status: int) -> None:
        """Answer what is no gRPC by an HTTP status alone."""
        status = b"\x08" + bytes((3,)) + str(http_status).encode()  # :status by its index, another value
        self._transport.write(frames.frame(HEADERS, END_HEADERS | END_STREAM, stream, status))
        self._end(stream)

    def drop(self, stream: int) -> None:
        """Forget an answer; its stream was reset."""
        answer = self._answers.pop(stream, None)
        self._waiting.pop(stream, None)
        if answer is not None and answer.drained is not None:
            answer.drained.cancel()

    def widen(self, stream: int, increment: int) -> None:
        """The peer takes so many bytes more, on one stream or (0) altogether.

        Raises StreamFault or ConnectionFault when that is none or too many.
        """
        answer = self._answers.get(stream)
        if stream == 0:
            if not 0 < increment <= frames.MAX_WINDOW - self._window:
                raise ConnectionFault(_fault(increment), f"a window of {increment} bytes more")
            self._window += increment
            self._go_on()
        elif answer is not None:
            if not 0 < increment <= frames.MAX_WINDOW - answer.window:
                raise StreamFault(_fault(increment), f"a window of {increment} bytes more")
            answer.window += increment
            self._flush(stream, answer)

    def set_initial_window(self, size: int) -> None:
        """The peer takes so many bytes on each stream, those that are open included. Raises ConnectionFault."""
        change = size - self._initial_window
        self._initial_window = size
        for answer in self._answers.values():
            answer.window += change
            if answer.window > frames.MAX_WINDOW:
                raise ConnectionFault(ErrorCode.FLOW_CONTROL_ERROR, "the window of a stream became too large")
        self._go_on()

    def set_max_frame(self, size: int) -> None:
        """The peer takes frames of so many bytes."""
        self._max_frame = size

    def pause(self) -> None:
        """Give the transport no more, for the peer does not read."""
        self._paused = True

    def resume(self) -> None:
        """Give the transport what waits."""
        self._paused = False
        self._go_on()

    def _queue(self, stream: int, answer: Answer, data: bytes, trailers: bytes | None) -> None:
        if data:
            answer.data, answer.sent = data, 0  # who sends several messages waits for each
        answer.trailers = trailers
        self._waiting[stream] = answer
        self._flush(stream, answer)

    def _go_on(self) -> None:
        for stream, answer in tuple(self._waiting.items()):
            if self._window > 0 or not answer.waits:
                self._flush(stream, answer)

    def _flush(self, stream: int, answer: Answer) -> None:
        """Write as much of an answer as the windows let through, and its trailers once all data is written."""
        parts: list[bytes] = []
        data = memoryview(answer.data)
        while answer.waits and not self._paused:
            size = min(len(data) - answer.sent, answer.window, self._window, self._max_frame)
            if size <= 0:
                break
            if not answer.has_begun:
                answer.has_begun = True
                parts.append(frames.frame(HEADERS, END_HEADERS, stream, BEGIN))
            parts.append(frames.frame(DATA, 0, stream, bytes(data[answer.sent : answer.sent + size])))
            answer.sent += size
            answer.window -= size
            self._window -= size
            if len(parts) * self._max_frame >= WRITE_BYTES:
                self._write(parts)  # may pause
        is_whole = answer.trailers is not None and not answer.waits and not self._paused
        if is_whole:
            parts.append(self._ending(stream, answer))
        self._write(parts)
        if not answer.waits and not self._paused:
            self._waiting.pop(stream, None)
        if answer.drained is not None and not answer.waits:
            if not answer.drained.done():
                answer.drained.set_result(None)
            answer.drained = None
        if is_whole:
            self._end(stream)

    def _ending(self, stream: int, answer: Answer) -> bytes:
        """The trailers; without any data before them they are headers too."""
        assert answer.trailers is not None
        whole = answer.trailers if answer.has_begun else BEGIN + answer.trailers
        return frames.header_frames(stream, END_STREAM, whole, self._max_frame)

    def _write(self, parts: list[bytes]) -> None:
        if parts:
            self._transport.write(b"".join(parts))
            parts.clear()

    def _end(self, stream: int) -> None:
        del self._answers[stream]
        self._waiting.pop(stream, None)
        self._finished(stream)


def _fault(increment: int) -> ErrorCode:
    return ErrorCode.PROTOCOL_ERROR if increment == 0 else ErrorCode.FLOW_CONTROL_ERROR
