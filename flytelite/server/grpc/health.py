"""grpc.health.v1: whether the server serves, for probes (https://github.com/grpc/grpc/blob/master/doc/health-checking.md)."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterable

from google.protobuf.message import DecodeError
from grpc_health.v1 import health_pb2
from grpc_health.v1.health_pb2 import HealthCheckRequest, HealthCheckResponse

from flytelite.errors import InvalidArgument, NotFound
from flytelite.server.grpc.calls import Method, Streaming, Unary

SERVICE = "grpc.health.v1.Health"


class Health:
    """All ``services`` serve (as does the server itself, which has no name) until the server stops."""

    def __init__(self, services: Iterable[str]) -> None:
        self._services = ("", *services)
        self._status = HealthCheckResponse.SERVING
        self._changed = asyncio.Event()

    def methods(self) -> dict[str, Method]:
        """The service's methods by their path."""
        found: dict[str, Method] = {
            f"/{SERVICE}/Check": Unary(self._check),
            f"/{SERVICE}/Watch": Streaming(self._watch),
        }
        if hasattr(health_pb2, "HealthListResponse"):  # newer than what flytekit[connector] brings
            found[f"/{SERVICE}/List"] = Unary(self._list)
        return found

    def stop(self) -> None:
        """From now on nothing serves."""
        self._status = HealthCheckResponse.NOT_SERVING
        self._changed.set()

    async def _check(self, message: bytes) -> bytes:
        service = _parsed(message).service
        if service not in self._services:
            raise NotFound(f"unknown service {service}")
        return self._answer()

    async def _list(self, message: bytes) -> bytes:
        statuses = dict.fromkeys(self._services, HealthCheckResponse(status=self._status))
        answer: bytes = health_pb2.HealthListResponse(statuses=statuses).SerializeToString()
        return answer

    async def _watch(self, request: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
        async for message in request:
            if _parsed(message).service not in self._services:
                yield HealthCheckResponse(status=HealthCheckResponse.SERVICE_UNKNOWN).SerializeToString()
                await asyncio.Event().wait()  # what is unknown stays so
            yield self._answer()
            await self._changed.wait()
            yield self._answer()

    def _answer(self) -> bytes:
        answer: bytes = HealthCheckResponse(status=self._status).SerializeToString()
        return answer


def _parsed(message: bytes) -> HealthCheckRequest:
    try:
        return HealthCheckRequest.FromString(message)
    except DecodeError as error:
        raise InvalidArgument(f"the request is not a valid HealthCheckRequest: {error}") from error
