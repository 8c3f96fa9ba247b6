"""Calls: a request's messages in, an answer out, whatever becomes of either."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from typing import Protocol

from flytelite.errors import Code, FlyteError, Unimplemented
from flytelite.server.grpc import status
from flytelite.server.grpc.sending import SUCCESS, Sender

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Unary:
    """A method from one message to one. ``answer`` raises FlyteError."""

    answer: Callable[[bytes], Awaitable[bytes]]


@dataclass(frozen=True)
class Streaming:
    """A method from messages to messages. ``answer`` raises FlyteError."""

    answer: Callable[[AsyncIterator[bytes]], AsyncIterator[bytes]]


Method = Unary | Streaming


class Call(Protocol):
    """One call, as the connection it came by sees it."""

    def receive(self, message: bytes, size: int) -> None:
        """Take a message of the request, and say that ``size`` bytes are consumed once it is. Raises FlyteError."""

    def end(self) -> None:
        """The request has no more messages. Raises FlyteError."""

    def cancel(self) -> None:
        """Nobody waits for the answer any more."""


class UnaryCall:
    """Answers when the request is complete. ``consumed`` is told a stream, and how many bytes more it may send."""

    def __init__(self, method: Unary, stream: int, sender: Sender, consumed: Callable[[int, int], None]) -> None:
        self._answer = method.answer
        self._stream = stream
        self._sender = sender
        self._consumed = consumed
        self._message: bytes | None = None
        self._task: asyncio.Task[None] | None = None

    def receive(self, message: bytes, size: int) -> None:
        if self._message is not None:
            raise Unimplemented("the request has more than the one message that the method takes")
        self._message = message
        self._consumed(self._stream, size)

    def end(self) -> None:
        if self._message is None:
            raise Unimplemented("the request has no message, and the method takes one")
        self._task = asyncio.get_running_loop().create_task(self._run(self._message))

    def cancel(self) -> None:
        if self._task is not None:
            self._task.cancel()

    async def _run(self, message: bytes) -> None:
        try:
            answer = await self._answer(message)
        except FlyteError as error:
            self._sender.finish(self._stream, status.of_error(error))
        except Exception as error:
            _fail(self._stream, self._sender, error)
        else:
            self._sender.complete(self._stream, answer)


class StreamingCall:
    """Answers while the request still comes."""

    def __init__(self, method: Streaming, stream: int, sender: Sender, consumed: Callable[[int, int], None]) -> None:
        self._stream = stream
        self._sender = sender
        self._consumed = consumed
        self._messages: asyncio.Queue[tuple[bytes, int] | None] = asyncio.Queue()
        self._task = asyncio.get_running_loop().create_task(self._run(method))

    def receive(self, message: bytes, size: int) -> None:
        self._messages.put_nowait((message, size))

    def end(self) -> None:
        self._messages.put_nowait(None)

    def cancel(self) -> None:
        self._task.cancel()

    async def _run(self, method: Streaming) -> None:
        try:
            async for answer in method.answer(self._request()):
                await self._sender.send(self._stream, answer)
        except FlyteError as error:
            self._sender.finish(self._stream, status.of_error(error))
        except Exception as error:
            _fail(self._stream, self._sender, error)
        else:
            self._sender.finish(self._stream, SUCCESS)

    async def _request(self) -> AsyncIterator[bytes]:
        while (received := await self._messages.get()) is not None:
            message, size = received
            yield message
            self._consumed(self._stream, size)


class ForeignCall:
    """Answers a request that is no gRPC by an HTTP status."""

    def __init__(self, http_status: int, stream: int, sender: Sender) -> None:
        self._http_status = http_status
        self._stream = stream
        self._sender = sender

    def receive(self, message: bytes, size: int) -> None:
        """Nothing of it is looked at."""

    def end(self) -> None:
        self._sender.refuse(self._stream, self._http_status)

    def cancel(self) -> None:
        """Nothing runs."""


def _fail(stream: int, sender: Sender, error: Exception) -> None:
    log.error("a call failed", exc_info=error)
    sender.finish(stream, status.of_code(Code.INTERNAL, f"flytelite failed: {type(error).__name__}: {error}"))
