"""Server reflection (v1alpha and v1), loaded when somebody asks."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from functools import cached_property
from typing import Any

from google.protobuf.message import DecodeError

from flytelite.errors import InvalidArgument
from flytelite.server.grpc.calls import Method, Streaming


class Reflection:
    """Answers grpcurl and its like about the services of those names."""

    def __init__(self, services: Sequence[str]) -> None:
        self._services = (*services, "grpc.reflection.v1alpha.ServerReflection")

    def methods(self) -> dict[str, Method]:
        """The methods of both versions by their path; their messages are the same on the wire."""
        names = (f"grpc.reflection.{version}.ServerReflection" for version in ("v1alpha", "v1"))
        return {f"/{name}/ServerReflectionInfo": Streaming(self._answers) for name in names}

    async def _answers(self, request: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
        async for answer in self._servicer.ServerReflectionInfo(_parsed(request), None):
            yield answer.SerializeToString()

    @cached_property
    def _servicer(self) -> Any:
        from grpc_reflection.v1alpha.reflection import aio  # type: ignore[attr-defined]

        return aio.ReflectionServicer(self._services)  # type: ignore[attr-defined]


async def _parsed(request: AsyncIterator[bytes]) -> AsyncIterator[Any]:
    from grpc_reflection.v1alpha.reflection_pb2 import ServerReflectionRequest

    async for message in request:
        try:
            yield ServerReflectionRequest.FromString(message)
        except DecodeError as error:
            raise InvalidArgument(f"the request is not a valid ServerReflectionRequest: {error}") from error
