"""Server reflection (v1alpha and v1), loaded when somebody asks."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from functools import cached_property
from typing import Any

from google.protobuf import descriptor_pb2, descriptor_pool, text_format
from google.protobuf.descriptor import FileDescriptor
from google.protobuf.message import DecodeError

from flytelite.errors import InvalidArgument
from flytelite.server.grpc.calls import Method, Streaming

VERSIONS = ("v1", "v1alpha")


class Reflection:
    """Answers grpcurl and its like about the services of those names."""

    def __init__(self, services: Sequence[str]) -> None:
        self._own = tuple(f"grpc.reflection.{version}.ServerReflection" for version in VERSIONS)
        self._services = (*services, *self._own)

    def methods(self) -> dict[str, Method]:
        """The methods of both versions by their path; their messages are the same on the wire."""
        return {f"/{name}/ServerReflectionInfo": Streaming(self._answers) for name in self._own}

    async def _answers(self, request: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
        async for answer in self._servicer.ServerReflectionInfo(_parsed(request), None):
            yield answer.SerializeToString()

    @cached_property
    def _servicer(self) -> Any:
        from grpc_reflection.v1alpha.reflection import aio  # type: ignore[attr-defined]

        return aio.ReflectionServicer(self._services, _Symbols())  # type: ignore[attr-defined]


class _Symbols:
    """The descriptors of this process, with v1 of reflection among them and methods found by their names.

    A server in Go finds methods, and ghz asks for them; protobuf's own pool does not.
    """

    def __init__(self) -> None:
        from grpc_reflection.v1alpha import reflection_pb2

        self._pool = descriptor_pool.Default()
        file = descriptor_pb2.FileDescriptorProto()
        reflection_pb2.DESCRIPTOR.CopyToProto(file)
        renamed = text_format.MessageToString(file).replace("v1alpha", "v1")
        self._pool.AddSerializedFile(
            text_format.Parse(renamed, descriptor_pb2.FileDescriptorProto()).SerializeToString()
        )

    def __getattr__(self, name: str) -> Any:
        return getattr(self._pool, name)

    def FindFileContainingSymbol(self, symbol: str) -> FileDescriptor:
        try:
            return self._pool.FindFileContainingSymbol(symbol)
        except KeyError:
            service, _, method = symbol.rpartition(".")
            return self._pool.FindServiceByName(service).methods_by_name[method].containing_service.file


async def _parsed(request: AsyncIterator[bytes]) -> AsyncIterator[Any]:
    from grpc_reflection.v1alpha.reflection_pb2 import ServerReflectionRequest

    async for message in request:
        try:
            yield ServerReflectionRequest.FromString(message)
        except DecodeError as error:
            raise InvalidArgument(f"the request is not a valid ServerReflectionRequest: {error}") from error
