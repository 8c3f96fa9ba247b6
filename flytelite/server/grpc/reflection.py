"""Server reflection (v1alpha and v1), loaded when somebody asks."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from typing import Any

import grpc

# The messages of both versions are the same on the wire.
_METHODS = frozenset(
    f"/grpc.reflection.{version}.ServerReflection/ServerReflectionInfo" for version in ("v1alpha", "v1")
)


class Reflection(grpc.GenericRpcHandler):  # type: ignore[type-arg]
    """Answers grpcurl and its like about the services of those names."""

    def __init__(self, services: Sequence[str]) -> None:
        self._services = (*services, "grpc.reflection.v1alpha.ServerReflection")

    def service(self, handler_call_details: grpc.HandlerCallDetails) -> grpc.RpcMethodHandler[Any, Any] | None:
        """The reflection handler for either version of the service, None for all other methods."""
        return _handler(self._services) if handler_call_details.method in _METHODS else None


@cache
def _handler(services: tuple[str, ...]) -> grpc.RpcMethodHandler[Any, Any]:
    from grpc_reflection.v1alpha import reflection_pb2
    from grpc_reflection.v1alpha.reflection import aio  # type: ignore[attr-defined]

    servicer = aio.ReflectionServicer(services)  # type: ignore[attr-defined]
    return grpc.stream_stream_rpc_method_handler(
        servicer.ServerReflectionInfo,
        request_deserializer=reflection_pb2.ServerReflectionRequest.FromString,
        response_serializer=reflection_pb2.ServerReflectionResponse.SerializeToString,
    )
