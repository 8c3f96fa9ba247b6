"""The streams of one HTTP/2 connection: which are open, which were, and which cannot be yet."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator

from flytelite.server.grpc.calls import Call
from flytelite.server.grpc.frames import ConnectionFault, ErrorCode, Frame, StreamFault
from flytelite.server.grpc.headers import Head
from flytelite.server.grpc.messages import MessageReader

STREAM_WINDOW = 1024 * 1024
"""Bytes of one request that a client may send before it is told that they have arrived."""
REMEMBERED_RESETS = 1000


class Stream:
    """The request of one call, as far as it has come."""

    __slots__ = ("arrived", "call", "is_ended", "length", "reader", "timer", "unacknowledged", "window")

    def __init__(self, head: Head) -> None:
        self.length = head.length
        self.call: Call | None = None
        self.reader: MessageReader | None = None
        self.timer: asyncio.TimerHandle | None = None
        self.is_ended = False
        self.window = STREAM_WINDOW
        self.unacknowledged = 0
        self.arrived = 0


class Streams:
    """Open streams by number. ``last`` is the highest number so far; clients number theirs upwards."""

    def __init__(self) -> None:
        self._open: dict[int, Stream] = {}
        self._reset: set[int] = set()
        self.last = 0

    def __len__(self) -> int:
        return len(self._open)

    def __iter__(self) -> Iterator[int]:
        return iter(tuple(self._open))

    def __getitem__(self, number: int) -> Stream:
        return self._open[number]

    def begin(self, number: int, head: Head) -> Stream:
        """Open one."""
        stream = self._open[number] = Stream(head)
        return stream

    def get(self, number: int) -> Stream | None:
        """An open one."""
        return self._open.get(number)

    def end(self, number: int) -> Stream | None:
        """Close one and return it, if it was open."""
        return self._open.pop(number, None)

    def reset(self, number: int) -> None:
        """Remember that this side closed it, which the client cannot know of when it sends more."""
        if len(self._reset) >= REMEMBERED_RESETS:
            self._reset.clear()
        self._reset.add(number)

    def was_reset(self, number: int) -> bool:
        """Whether this side closed it, of late."""
        return number in self._reset

    def known(self, frame: Frame, closed_is_fine: bool = False) -> Stream | None:
        """The stream of a frame, None for one whose end the client cannot know of yet.

        Raises ConnectionFault for a stream that cannot be, StreamFault for one that has ended unless that is fine.
        """
        stream = self._open.get(frame.stream)
        if stream is not None:
            return stream
        if frame.stream == 0 or frame.stream > self.last:
            raise misplaced(frame)
        if closed_is_fine or frame.stream in self._reset:
            return None
        raise StreamFault(ErrorCode.STREAM_CLOSED, "data after the end")


def misplaced(frame: Frame) -> ConnectionFault:
    """What a frame is that cannot be on its stream."""
    return ConnectionFault(ErrorCode.PROTOCOL_ERROR, f"a frame of kind {frame.kind} on stream {frame.stream}")
