"""The HTTP side as one ASGI application."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cache
from types import MappingProxyType

import orjson
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Match, Route
from starlette.types import Receive, Scope, Send

from flytelite.config import Settings
from flytelite.server.dispatch import Dispatcher
from flytelite.server.objects import Bucket
from flytelite.server.rest.gateway import Gateway
from flytelite.server.rest.guard import Guard
from flytelite.server.rest.marshalling import JSON
from flytelite.server.rest.metrics import CONTENT_TYPE, metrics_text
from flytelite.server.rest.object_routes import object_routes
from flytelite.server.rest.openapi import openapi_document


def create_app(
    dispatcher: Dispatcher,
    settings: Settings,
    bucket: Bucket,
    extra_routes: Sequence[BaseRoute] = (),
    scheduled: Mapping[str, int] = MappingProxyType({}),
) -> Starlette:
    """The guard around: ``/healthcheck``, ``/api/v1/openapi``, ``/metrics``, the bucket's objects, ``extra_routes``,
    and the gateway for every other path. ``scheduled`` counts what came of schedules, for the metrics.
    """

    async def healthcheck(request: Request) -> Response:
        return Response()

    async def openapi(request: Request) -> Response:
        return Response(_openapi_body(), media_type=JSON)

    async def metrics(request: Request) -> Response:
        return Response(metrics_text(dispatcher, scheduled), media_type=CONTENT_TYPE)

    return Starlette(
        routes=[
            Route("/healthcheck", healthcheck),
            Route("/api/v1/openapi", openapi),
            Route("/metrics", metrics),
            *object_routes(bucket),
            *extra_routes,
            _Rest(Gateway(dispatcher, settings)),
        ],
        middleware=[Middleware(Guard, settings=settings)],
    )


class _Rest(BaseRoute):
    """Every path that no route before it takes. A Mount takes no path with a line feed in it."""

    def __init__(self, gateway: Gateway) -> None:
        self._gateway = gateway

    def matches(self, scope: Scope) -> tuple[Match, Scope]:
        return Match.FULL, {}

    async def handle(self, scope: Scope, receive: Receive, send: Send) -> None:
        await self._gateway(scope, receive, send)


@cache
def _openapi_body() -> bytes:
    return orjson.dumps(openapi_document())
