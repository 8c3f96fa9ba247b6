"""Routes beside the API: executions as one file, and the removal of old ones."""

from __future__ import annotations

import asyncio
import errno
import secrets
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import asdict, dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any, TypeAlias

import orjson
from flyteidl.core import identifier_pb2
from starlette.background import BackgroundTask
from starlette.requests import Request
from starlette.responses import FileResponse, JSONResponse, Response
from starlette.routing import Route

from flytelite.errors import FailedPrecondition, InvalidArgument, ResourceExhausted
from flytelite.server.rest.object_routes import WRITE_BLOCK, answering_errors

PREFIX = "/flytelite/v1"
ARCHIVE = "application/gzip"
SUMMARY = "flytelite-summary"
"""The header of an exported archive that says, as JSON, what is in it."""
MAX_REQUEST = 16 * 1024 * 1024

Id: TypeAlias = identifier_pb2.WorkflowExecutionIdentifier


@dataclass(frozen=True)
class Housekeeping:
    """What the routes call; each answers a dataclass. ``uploads`` is where files may be in the making."""

    export: Callable[[Sequence[Id], Path], Awaitable[Any]]
    take_in: Callable[[Path], Awaitable[Any]]
    preview: Callable[[timedelta, int], Awaitable[Any]]
    remove: Callable[[Sequence[str]], Awaitable[Any]]
    uploads: Path


def housekeeping_routes(housekeeping: Housekeeping) -> list[Route]:
    """``POST export`` ({"executions": ["project/domain/name", …]}, none for all) answers an archive, ``POST import``
    takes one; ``POST clean/preview`` ({"older_than": seconds, "keep_last": n}) tells what would go, and ``POST clean``
    ({"executions": […]}) removes it.
    """

    async def export(request: Request) -> Response:
        wanted = [_id(name) for name in _names(await _json(request))]
        path = _temporary(housekeeping.uploads)
        try:
            exported = await housekeeping.export(wanted, path)
        except BaseException:
            await asyncio.to_thread(path.unlink, missing_ok=True)
            raise
        return FileResponse(
            path,
            media_type=ARCHIVE,
            headers={SUMMARY: orjson.dumps(asdict(exported)).decode()},
            background=BackgroundTask(path.unlink, missing_ok=True),
        )

    async def take_in(request: Request) -> Response:
        path = _temporary(housekeeping.uploads)
        try:
            await _receive(request, path)
            return JSONResponse(asdict(await housekeeping.take_in(path)))
        finally:
            await asyncio.to_thread(path.unlink, missing_ok=True)

    async def preview(request: Request) -> Response:
        asked = await _json(request)
        older_than, keep_last = asked.get("older_than"), asked.get("keep_last", 0)
        if not isinstance(older_than, (int, float)) or not isinstance(keep_last, int):
            raise InvalidArgument("older_than must be a number of seconds, keep_last a number of executions")
        try:
            age = timedelta(seconds=older_than)
        except (OverflowError, ValueError) as error:
            raise InvalidArgument(f"older_than {older_than} is too long") from error
        return JSONResponse(asdict(await housekeeping.preview(age, keep_last)))

    async def clean(request: Request) -> Response:
        return JSONResponse(asdict(await housekeeping.remove(_names(await _json(request)))))

    endpoints = {"export": export, "import": take_in, "clean/preview": preview, "clean": clean}
    return [
        Route(f"{PREFIX}/{path}", answering_errors(endpoint), methods=["POST"]) for path, endpoint in endpoints.items()
    ]


async def _json(request: Request) -> dict[str, Any]:
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > MAX_REQUEST:
            raise ResourceExhausted(f"the body is larger than {MAX_REQUEST} bytes")
    try:
        found = orjson.loads(body)
    except orjson.JSONDecodeError as error:
        raise InvalidArgument(f"the body is not JSON: {error}") from error
    if not isinstance(found, dict):
        raise InvalidArgument("the body must be a JSON object")
    return found


def _names(asked: dict[str, Any]) -> list[str]:
    names = asked.get("executions", [])
    if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
        raise InvalidArgument("executions must be a list of project/domain/name")
    return names


def _id(name: str) -> Id:
    parts = name.split("/")
    if len(parts) != 3:
        raise InvalidArgument(f"{name!r} is no execution: write project/domain/name")
    return Id(project=parts[0], domain=parts[1], name=parts[2])


def _temporary(uploads: Path) -> Path:
    return uploads / f"archive-{secrets.token_hex(8)}"


async def _receive(request: Request, path: Path) -> None:
    try:
        with await asyncio.to_thread(path.open, "xb") as file:
            block = bytearray()
            async for chunk in request.stream():
                block += chunk
                if len(block) >= WRITE_BLOCK:
                    await asyncio.to_thread(file.write, block)
                    block = bytearray()
            await asyncio.to_thread(file.write, block)
    except OSError as error:
        kind = ResourceExhausted if error.errno in (errno.ENOSPC, errno.EDQUOT) else FailedPrecondition
        raise kind(f"the archive cannot be received: {error.strerror or error}") from error
