"""The REST gateway: an HTTP request becomes a message, goes through the dispatcher, and its answer a response."""

from __future__ import annotations

import posixpath
from urllib.parse import quote

from google.protobuf.message import Message
from starlette.requests import ClientDisconnect, Request
from starlette.responses import RedirectResponse, Response
from starlette.types import Receive, Scope, Send

from flytelite.config import Settings
from flytelite.errors import Code, FlyteError, ResourceExhausted
from flytelite.server import api
from flytelite.server.dispatch import Dispatcher
from flytelite.server.rest.marshalling import Marshaler, choose
from flytelite.server.rest.query import read_query, set_variable
from flytelite.server.rest.routes import Routes

HTTP_STATUS = {
    Code.OK: 200,
    Code.CANCELLED: 499,
    Code.UNKNOWN: 500,
    Code.INVALID_ARGUMENT: 400,
    Code.DEADLINE_EXCEEDED: 504,
    Code.NOT_FOUND: 404,
    Code.ALREADY_EXISTS: 409,
    Code.PERMISSION_DENIED: 403,
    Code.RESOURCE_EXHAUSTED: 429,
    Code.FAILED_PRECONDITION: 400,
    Code.ABORTED: 409,
    Code.OUT_OF_RANGE: 400,
    Code.UNIMPLEMENTED: 501,
    Code.INTERNAL: 500,
    Code.UNAVAILABLE: 503,
    Code.DATA_LOSS: 500,
    Code.UNAUTHENTICATED: 401,
}
"""``HTTPStatusFromCode`` of grpc-gateway's ``runtime/errors.go``."""

_METADATA = {"Grpc-Metadata-Content-Type": "application/grpc"}


class Gateway:
    """The ASGI application that answers every path nobody else has."""

    def __init__(self, dispatcher: Dispatcher, settings: Settings) -> None:
        self._dispatcher = dispatcher
        self._max_body = settings.max_message_bytes
        self._routes = Routes()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        request = Request(scope, receive)
        try:
            response = _redirect_to_clean_path(request) or await self._answer(request)
        except ClientDisconnect:
            return  # nobody is left to answer
        await response(scope, receive, send)

    async def _answer(self, request: Request) -> Response:
        headers = request.headers
        inbound, outbound = choose(headers.getlist("content-type"), headers.getlist("accept"))
        try:
            answer = await self._call(request, inbound)
            return Response(outbound.write(answer), headers=_METADATA, media_type=outbound.content_type)
        except FlyteError as error:
            return Response(
                outbound.write(api.status(error)),
                HTTP_STATUS[error.code],
                headers=_METADATA,
                media_type=outbound.content_type,
            )

    async def _call(self, request: Request, inbound: Marshaler) -> Message:
        route, variables = self._routes.find(request.method, request.scope["path"])
        message = route.method.request_class()
        if route.body:
            inbound.read(await self._body(request), message)
        else:
            read_query(request.scope["query_string"].decode("latin-1"), message, bound=route.variables)
        for path, value in variables.items():
            set_variable(message, path, value)
        return await self._dispatcher.call(route.method.name, message)

    async def _body(self, request: Request) -> bytes:
        body = bytearray()
        async for chunk in request.stream():
            body += chunk
            if len(body) > self._max_body:
                raise ResourceExhausted(
                    f"the body is larger than {self._max_body} bytes, flytelite's setting max_message_bytes"
                )
        return bytes(body)


def _redirect_to_clean_path(request: Request) -> Response | None:
    """What Go's ServeMux does with doubled slashes and dot segments; 307 keeps the verb."""
    path: str = request.scope["path"]
    clean = "/" + posixpath.normpath(path).lstrip("/")
    if path.endswith("/") and clean != "/":
        clean += "/"
    if clean == path:
        return None
    query: bytes = request.scope["query_string"]
    return RedirectResponse(quote(clean) + (f"?{query.decode('latin-1')}" if query else ""), status_code=307)
