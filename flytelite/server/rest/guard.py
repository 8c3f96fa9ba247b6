"""What a browser may ask of this server on behalf of which page.

Nobody logs in here, so the only thing that stands between a web page and the user's executions is this: the page must
come from a host and an origin that the user trusts.
"""

from __future__ import annotations

from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import PlainTextResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from flytelite.config import LOOPBACK, Settings
from flytelite.server.objects import URL_PREFIX

SAFE_METHODS = frozenset({"GET", "HEAD"})
CORS_METHODS = frozenset({"GET", "POST", "DELETE", "HEAD", "PUT", "PATCH"})
CORS_HEADERS = frozenset({"content-type", "flyte-authorization"})
SIMPLE_METHODS = frozenset({"GET", "HEAD", "POST"})
SIMPLE_HEADERS = frozenset({"accept", "accept-language", "content-language", "origin"})
FORM_TYPES = frozenset({"application/x-www-form-urlencoded", "multipart/form-data", "text/plain"})

_LOCAL = frozenset({"localhost", "127.0.0.1", "[::1]"})


class _Refused(Exception):
    def __init__(self, status: int, reason: str) -> None:
        super().__init__(reason)
        self.status = status
        self.reason = reason


class Guard:
    """ASGI middleware: refuses foreign hosts, foreign pages and forms, and speaks CORS.

    The CORS part is FlyteAdmin's (gorilla ``handlers.CORS`` in ``flyteadmin/pkg/server/service.go``), except that
    only trusted origins may read answers, and only they may change something.
    """

    def __init__(self, app: ASGIApp, settings: Settings) -> None:
        self._app = app
        self._origins = frozenset(origin.rstrip("/").lower() for origin in settings.allowed_origins)
        own = f"[{settings.host}]" if ":" in settings.host else settings.host
        self._hosts = _LOCAL.union(host.lower() for host in settings.allowed_hosts)
        if settings.host not in LOOPBACK and settings.host not in ("0.0.0.0", "::"):  # noqa: S104
            self._hosts = self._hosts | {own.lower()}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        headers = Headers(scope=scope)
        origin = headers.get("origin")
        try:
            self._check_host(headers)
            self._check_origin(scope, headers, origin)
            _check_content_type(scope, headers)
            if scope["method"] == "OPTIONS":
                response: Response | None = _preflight(headers) if origin else Response()
            else:
                response = None
        except _Refused as refused:
            await PlainTextResponse(f"{refused.reason}\n", refused.status)(scope, receive, send)
            return
        if origin and self._trusts(origin, headers):
            send = self._with_cors_headers(send, origin)
        await (response or self._app)(scope, receive, send)

    def _check_host(self, headers: Headers) -> None:
        """A page of evil.example whose name was made to resolve to this machine still says evil.example here."""
        host = headers.get("host", "").lower()
        if host not in self._hosts and _without_port(host) not in self._hosts:
            raise _Refused(
                403,
                f"flytelite does not answer as {host!r}, only as localhost. "
                "If that is a name of this machine, add it to the setting allowed_hosts.",
            )

    def _check_origin(self, scope: Scope, headers: Headers, origin: str | None) -> None:
        method = scope["method"]
        if method == "OPTIONS":
            method = headers.get("access-control-request-method", "GET")
        if origin and method not in SAFE_METHODS and not self._trusts(origin, headers):
            raise _Refused(
                403,
                f"Pages of {origin} may not change anything in flytelite. "
                "If you trust them, add that origin to the setting allowed_origins.",
            )

    def _trusts(self, origin: str, headers: Headers) -> bool:
        origin = origin.lower()
        return origin in self._origins or origin.partition("://")[2] == headers.get("host", "").lower()

    def _with_cors_headers(self, send: Send, origin: str) -> Send:
        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                # A browser that sends cookies wants to see its own origin, not a star.
                headers["Access-Control-Allow-Origin"] = origin
                headers["Access-Control-Allow-Credentials"] = "true"
                headers.add_vary_header("Origin")
            await send(message)

        return send_with_headers


def _check_content_type(scope: Scope, headers: Headers) -> None:
    """What a form can send needs no preflight, so a browser sends it before anyone is asked."""
    if scope["method"] in SAFE_METHODS or scope["path"].startswith(URL_PREFIX):
        return  # an object's URL is signed, which no form can forge
    content_type = headers.get("content-type", "").partition(";")[0].strip().lower()
    if content_type in FORM_TYPES:
        raise _Refused(415, f"Content-Type {content_type} is not accepted: use application/json.")


def _preflight(headers: Headers) -> Response:
    method = headers.get("access-control-request-method")
    if method is None:
        raise _Refused(400, "A preflight names its Access-Control-Request-Method.")
    if method not in CORS_METHODS:
        raise _Refused(405, f"Method {method} is not allowed across origins.")
    asked = [name.strip() for name in headers.get("access-control-request-headers", "").split(",")]
    asked = [name for name in asked if name and name.lower() not in SIMPLE_HEADERS]
    for name in asked:
        if name.lower() not in CORS_HEADERS:
            raise _Refused(403, f"Header {name} is not allowed across origins.")
    answer = Response()
    if asked:
        answer.headers["Access-Control-Allow-Headers"] = ",".join(asked)
    if method not in SIMPLE_METHODS:
        answer.headers["Access-Control-Allow-Methods"] = method
    return answer


def _without_port(host: str) -> str:
    name, _, port = host.rpartition(":")
    return name if name and port.isdigit() else host
