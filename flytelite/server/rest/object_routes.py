"""Objects over HTTP: what signed URLs lead to."""

from __future__ import annotations

import asyncio
from base64 import b64decode, b64encode
from collections.abc import Awaitable, Callable

from starlette.requests import ClientDisconnect, Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route

from flytelite.errors import FlyteError, InvalidArgument, NotFound, PermissionDenied
from flytelite.server.objects import URL_PREFIX, Bucket, Upload
from flytelite.server.rest.files import stat_of_file, what_there_is
from flytelite.server.rest.gateway import HTTP_STATUS

WRITE_BLOCK = 1024 * 1024
"""Bytes that are gathered before a thread writes them."""

_MD5_OF_NOTHING = bytes.fromhex("d41d8cd98f00b204e9800998ecf8427e")

# Decks are pages made by user code: they may run scripts, but not as part of this server's origin.
_DOWNLOAD_HEADERS = {
    "Content-Security-Policy": "sandbox allow-scripts allow-popups allow-downloads allow-forms allow-modals",
    "X-Content-Type-Options": "nosniff",
}


def object_routes(bucket: Bucket) -> list[Route]:
    """PUT, GET and HEAD of ``/objects/{key}``; each wants the signature that ``Bucket.sign`` made."""

    async def download(request: Request) -> Response:
        key = _verified_key(bucket, request, "GET")
        path = bucket.path(key)
        found = await asyncio.to_thread(stat_of_file, path)
        if found is None:
            raise NotFound(f"there is no object {key}")
        is_page = path.suffix in (".html", ".htm")
        media_type = "text/html; charset=utf-8" if is_page else "application/octet-stream"
        return what_there_is(request, path, found, media_type, _DOWNLOAD_HEADERS)

    async def receive(request: Request) -> Response:
        key = _verified_key(bucket, request, "PUT")
        promised = _promised_digests(request)
        never_ends = _has_no_body_that_ends(request, promised)
        upload = await asyncio.to_thread(bucket.upload, key)
        try:
            if not never_ends:
                await _receive_body(request, upload)
            await asyncio.to_thread(upload.commit, *promised)
        finally:
            await asyncio.to_thread(upload.discard)
        return Response(headers={"Connection": "close"} if never_ends else None)

    pattern = URL_PREFIX + "{key:path}"
    return [
        Route(pattern, answering_errors(download), methods=["GET"]),
        Route(pattern, answering_errors(receive), methods=["PUT"]),
    ]


def _verified_key(bucket: Bucket, request: Request, method: str) -> str:
    key: str = request.path_params["key"]
    query = request.query_params
    bucket.verify(method, key, query.get("expires", ""), query.get("md5", ""), query.get("signature", ""))
    return key


def _promised_digests(request: Request) -> list[bytes]:
    """What the body's digest must be: by the header, and by an URL that was signed for one content only.

    S3 demands the header with such an URL; here the body is what counts. A header that differs from the URL is refused
    as S3 does, before anything is received.
    """
    signed = bytes.fromhex(request.query_params.get("md5", ""))
    header = request.headers.get("content-md5")
    if header is None:
        return [signed] if signed else []
    try:
        sent = b64decode(header, validate=True)
    except ValueError as error:
        raise InvalidArgument(f"Content-MD5 {header!r} is not base64: {error}") from error
    if signed and sent != signed:
        raise PermissionDenied(f"this URL was signed for Content-MD5 {b64encode(signed).decode()}, not {header}")
    return [sent]


def _has_no_body_that_ends(request: Request, promised: list[bytes]) -> bool:
    """Whether this is an empty file as flytekit sends it: announced in chunks, of which not even the last comes.

    The library ``requests`` says ``Content-Length: 0`` and ``Transfer-Encoding: chunked`` and waits for the answer.
    """
    headers = request.headers
    return _MD5_OF_NOTHING in promised and headers.get("content-length") == "0" and "transfer-encoding" in headers


async def _receive_body(request: Request, upload: Upload) -> None:
    block = bytearray()
    async for chunk in request.stream():
        block += chunk
        if len(block) >= WRITE_BLOCK:
            await asyncio.to_thread(upload.write, block)
            block = bytearray()
    await asyncio.to_thread(upload.write, block)
    promised = request.headers.get("content-length")
    if promised is not None and int(promised) != upload.size:
        raise InvalidArgument(f"Content-Length is {promised} but {upload.size} bytes were received")


def answering_errors(
    endpoint: Callable[[Request], Awaitable[Response]],
) -> Callable[[Request], Awaitable[Response]]:
    """The endpoint, with a FlyteError answered as one line of text."""

    async def answer(request: Request) -> Response:
        try:
            return await endpoint(request)
        except FlyteError as error:
            return PlainTextResponse(f"{error.message}\n", HTTP_STATUS[error.code])
        except ClientDisconnect:
            return PlainTextResponse("the client went away\n", 499)

    return answer
