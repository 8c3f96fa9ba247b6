"""flyteidl's services as methods of this server, made from the descriptors."""

from __future__ import annotations

from google.protobuf.message import DecodeError

from flytelite.errors import InvalidArgument, ResourceExhausted, Unimplemented
from flytelite.server import api
from flytelite.server.dispatch import Dispatcher
from flytelite.server.grpc.calls import Method, Unary


class FlyteServices:
    """Every RPC of FlyteAdmin's services by its path, and what is said of those that are unknown."""

    def __init__(self, dispatcher: Dispatcher, max_message_bytes: int) -> None:
        self._methods = {f"/{method.name}": _unary(dispatcher, method, max_message_bytes) for method in api.methods()}
        self._services = {service.full_name for service in api.services()}

    def find(self, path: str) -> Method:
        """The method of a path. Raises Unimplemented, in grpc-go's words."""
        method = self._methods.get(path)
        if method is None:
            service, _, name = path.lstrip("/").partition("/")
            unknown = f"method {name} for service" if service in self._services else "service"
            raise Unimplemented(f"unknown {unknown} {service}")
        return method


def _unary(dispatcher: Dispatcher, method: api.Method, max_message_bytes: int) -> Unary:
    name, parse = method.name, method.request_class.FromString

    async def answer(message: bytes) -> bytes:
        try:
            request = parse(message)
        except DecodeError as error:
            kind = method.descriptor.input_type.full_name
            raise InvalidArgument(f"the request is not a valid {kind}: {error}") from error
        encoded = (await dispatcher.call(name, request)).SerializeToString()
        if len(encoded) > max_message_bytes:
            raise ResourceExhausted(
                f"the answer of {len(encoded)} bytes is larger than {max_message_bytes}, flytelite's setting "
                "max_message_bytes"
            )
        return encoded

    return Unary(answer)
