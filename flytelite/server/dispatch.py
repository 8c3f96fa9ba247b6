"""The table RPC name -> control-plane function: durability, error mapping and statistics of every call."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from time import perf_counter
from typing import Any

from google.protobuf.message import Message

from flytelite.errors import Code, FlyteError, Internal, InvalidArgument, Unimplemented
from flytelite.server import api
from flytelite.server.store.interface import Store

Handler = Callable[[Any], Any | Awaitable[Any]]

MAX_ERROR_BYTES = 32_000
MAX_LEVELS = 90
"""How deep requests may nest messages: protobuf reads 100 levels, and answers put some around what was sent."""

log = logging.getLogger(__name__)


@dataclass
class MethodStatistics:
    """How often one RPC ended with which code, and the seconds all its calls took together."""

    calls: Counter[Code] = field(default_factory=Counter)
    seconds: float = 0.0


class Dispatcher:
    """Answers every RPC of both transports.

    ``handlers`` maps full gRPC names without leading slash (``flyteidl.service.AdminService/CreateTask``) to functions
    from request message to response message; a handler may be a coroutine function. Raises ValueError for a name that
    is not in the API.
    """

    def __init__(self, handlers: Mapping[str, Handler], store: Store) -> None:
        self._responses = {method.name: method.response_class for method in api.methods()}
        unknown = handlers.keys() - self._responses.keys()
        if unknown:
            raise ValueError(f"handlers of RPCs that do not exist: {', '.join(sorted(unknown))}")
        self._handlers = dict(handlers)
        self._services = {name.partition("/")[0] for name in handlers}
        self._store = store
        self.statistics: dict[str, MethodStatistics] = {}

    def answering(self, handlers: Mapping[str, Handler]) -> Dispatcher:
        """A dispatcher for a transport that has some RPCs answered otherwise; the statistics stay common."""
        other = Dispatcher({**self._handlers, **handlers}, self._store)
        other.statistics = self.statistics
        return other

    async def call(self, method: str, request: Message) -> Message:
        """Answer one call; what it wrote is on disk before it returns, what only reads never waits.

        Raises only FlyteError: Unimplemented without a handler, InvalidArgument for a request that nests too deeply,
        Internal for whatever a handler did not foresee. As in
        ``flyteadmin/pkg/rpc/adminservice/util/transformers.go`` a text of more than 32000 bytes is cut and loses its
        details.
        """
        started = perf_counter()
        code = Code.CANCELLED
        try:
            response = await self._answer(method, request)
            code = Code.OK
            return response
        except FlyteError as error:
            code = error.code
            raise _within_limit(error) from error.__cause__
        finally:
            statistics = self.statistics.get(method)
            if statistics is None:
                statistics = self.statistics[method] = MethodStatistics()
            statistics.calls[code] += 1
            statistics.seconds += perf_counter() - started

    async def _answer(self, method: str, request: Message) -> Message:
        handler = self._handlers.get(method)
        if handler is None:
            raise self._unimplemented(method)
        if api.is_deeper(request, MAX_LEVELS):
            raise InvalidArgument(f"the request nests messages more than {MAX_LEVELS} levels deep")
        before = self._store.position
        try:
            response = handler(request)
            if not isinstance(response, Message):
                response = await response
            if not isinstance(response, self._responses[method]):
                raise TypeError(f"the handler answered a {type(response).__name__}")
            position = self._store.position
            if position != before:
                await self._store.durable(position)
        except FlyteError:
            raise
        except Exception as error:
            log.exception("%s failed", method)
            raise Internal(
                f"{_short(method)} failed inside flytelite: {type(error).__name__}: {error}. "
                "This is a bug; the server's log has the traceback."
            ) from error
        return response

    def _unimplemented(self, method: str) -> Unimplemented:
        service = method.partition("/")[0]
        if service not in self._services:
            # What a Go gRPC server says of a service that was not registered, as Auth and Identity without auth.
            return Unimplemented(f"unknown service {service}")
        return Unimplemented(f"{_short(method)} is not implemented by flytelite yet")


def _short(method: str) -> str:
    service, _, name = method.partition("/")
    return f"{service.rpartition('.')[2]}.{name}"


def _within_limit(error: FlyteError) -> FlyteError:
    encoded = error.message.encode()
    if len(encoded) <= MAX_ERROR_BYTES:
        return error
    return type(error)(encoded[:MAX_ERROR_BYTES].decode(errors="ignore"))
