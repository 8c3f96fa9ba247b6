from __future__ import annotations

import asyncio
from typing import Any, cast

import pytest

from flytelite.server.grpc import frames
from flytelite.server.grpc.frames import ConnectionFault, ErrorCode, FrameReader, StreamFault
from flytelite.server.grpc.sending import INITIAL_WINDOW, SUCCESS, Sender


class Wire:
    """What a transport is given."""

    def __init__(self) -> None:
        self.reader, self.ended = FrameReader(), []
        self.frames: list[frames.Frame] = []
        self.sender = Sender(cast(asyncio.WriteTransport, self), self.ended.append)

    def write(self, data: bytes) -> None:
        self.frames += self.reader.feed(data)

    def open(self, *streams: int) -> Sender:
        for stream in streams:
            self.sender.open(stream)
        return self.sender

    def data(self, stream: int) -> bytes:
        return b"".join(one.payload for one in self.frames if one.kind == frames.DATA and one.stream == stream)


@pytest.fixture
def wire() -> Wire:
    return Wire()


def test_an_answer_is_headers_data_and_trailers(wire):
    wire.open(1).complete(1, b"answer")
    assert [one.kind for one in wire.frames] == [frames.HEADERS, frames.DATA, frames.HEADERS]
    assert wire.data(1) == b"\0\0\0\0\x06answer"
    assert wire.frames[-1].flags & frames.END_STREAM
    assert wire.ended == [1]


def test_many_answers_wait_for_the_connections_window_and_come_in_their_order(wire):
    streams = range(1, 400, 2)
    sender = wire.open(*streams)
    for stream in streams:
        sender.complete(stream, b"x" * 1000)
    sent = len(wire.ended)
    assert sent == INITIAL_WINDOW // 1005
    sender.widen(0, 1005)
    assert len(wire.ended) == sent + 1
    sender.widen(0, 10**6)
    assert wire.ended == list(streams)
    assert all(wire.data(stream) == b"\0\0\0\x03\xe8" + b"x" * 1000 for stream in streams)


def test_errors_need_no_window(wire):
    sender = wire.open(1, 3, 5)
    sender.complete(1, b"x" * 100_000)
    sender.finish(3, SUCCESS)
    assert wire.ended == [3]
    sender.pause()
    sender.finish(5, SUCCESS)
    assert wire.ended == [3]
    sender.resume()
    assert wire.ended == [3, 5]


def test_long_trailers_are_continued(wire):
    wire.open(1).finish(1, b"x" * 40_000)
    kinds = [(one.kind, bool(one.flags & frames.END_HEADERS)) for one in wire.frames]
    assert kinds == [(frames.HEADERS, False), (frames.CONTINUATION, False), (frames.CONTINUATION, True)]
    assert wire.frames[0].flags & frames.END_STREAM


def test_a_smaller_initial_window_counts_for_open_streams(wire):
    sender = wire.open(1)
    sender.set_initial_window(10)
    sender.complete(1, b"x" * 20)
    assert len(wire.data(1)) == 10
    sender.set_initial_window(5)
    sender.widen(1, 4)
    assert len(wire.data(1)) == 10
    sender.widen(1, 100)
    assert wire.ended == [1]


@pytest.mark.parametrize(("stream", "fault"), [(0, ConnectionFault), (1, StreamFault)])
@pytest.mark.parametrize(
    ("increment", "code"), [(0, ErrorCode.PROTOCOL_ERROR), (frames.MAX_WINDOW, ErrorCode.FLOW_CONTROL_ERROR)]
)
def test_windows_that_cannot_be(wire, stream, fault, increment, code):
    with pytest.raises(fault) as caught:
        wire.open(1).widen(stream, increment)
    assert caught.value.code is code


def test_who_sends_several_messages_waits_for_the_peer(wire):
    async def send() -> list[Any]:
        sender = wire.open(1, 3)
        first = asyncio.create_task(sender.send(1, b"x" * 70_000))
        second = asyncio.create_task(sender.send(3, b"y" * 10))
        await asyncio.sleep(0)
        assert not first.done()
        sender.drop(3)
        sender.widen(0, 10**6)
        sender.widen(1, 10**6)
        return await asyncio.gather(first, second, return_exceptions=True)

    outcomes = asyncio.run(send())
    assert outcomes[0] is None
    assert len(wire.data(1)) == 70_005
    assert isinstance(outcomes[1], asyncio.CancelledError)
