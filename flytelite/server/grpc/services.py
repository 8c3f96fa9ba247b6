"""flyteidl's services as gRPC handlers, made from the descriptors."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import grpc
from google.protobuf.message import DecodeError

from flytelite.errors import FlyteError, InvalidArgument, Unimplemented
from flytelite.server import api
from flytelite.server.dispatch import Dispatcher
from flytelite.server.grpc.status import abort

_Behaviour = Callable[[bytes, Any], Awaitable[Any]]


class FlyteServices(grpc.GenericRpcHandler):  # type: ignore[type-arg]
    """Every RPC of FlyteAdmin's services; it must be the server's last handler, for it knows what is unknown."""

    def __init__(self, dispatcher: Dispatcher) -> None:
        self._handlers = {
            f"/{method.name}": grpc.unary_unary_rpc_method_handler(
                _behaviour(dispatcher, method),
                # The request stays bytes until the behaviour parses it: gRPC itself calls a broken message UNKNOWN.
                request_deserializer=None,
                response_serializer=method.response_class.SerializeToString,
            )
            for method in api.methods()
        }
        self._services = {service.full_name for service in api.services()}

    def service(self, handler_call_details: grpc.HandlerCallDetails) -> grpc.RpcMethodHandler[Any, Any]:
        """The handler of a method, or one that answers UNIMPLEMENTED in grpc-go's words."""
        path = handler_call_details.method
        handler = self._handlers.get(path)
        if handler is None:
            service, _, name = path.lstrip("/").partition("/")
            unknown = f"method {name} for service" if service in self._services else "service"
            handler = _refusal(f"unknown {unknown} {service}")
        return handler


def _behaviour(dispatcher: Dispatcher, method: api.Method) -> _Behaviour:
    parse = method.request_class.FromString

    async def behaviour(request: bytes, context: grpc.aio.ServicerContext[Any, Any]) -> Any:
        try:
            return await dispatcher.call(method.name, parse(request))
        except DecodeError as error:
            kind = method.descriptor.input_type.full_name
            await abort(context, InvalidArgument(f"the request is not a valid {kind}: {error}"))
        except FlyteError as error:
            await abort(context, error)

    return behaviour


def _refusal(message: str) -> grpc.RpcMethodHandler[Any, Any]:
    async def refuse(requests: AsyncIterator[bytes], context: grpc.aio.ServicerContext[Any, Any]) -> None:
        await abort(context, Unimplemented(message))

    # As a stream it answers whatever arity the caller believes in.
    return grpc.stream_stream_rpc_method_handler(refuse)
