"""Routes beside the API: the log of an attempt, and the stream of an execution's changes."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import orjson
from flyteidl.core import identifier_pb2
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response, StreamingResponse
from starlette.routing import Route

from flytelite.server.admin.changes import Change, Changes, ExecutionChanged, ServerStopping
from flytelite.server.rest.files import stat_of_file, what_there_is

LogPath = Callable[[str, str, str, str, int], Path]
IsTerminal = Callable[[identifier_pb2.WorkflowExecutionIdentifier], bool | None]

KEEP_ALIVE = 15.0
"""Seconds between comments on a quiet stream, so that a dead client is noticed."""


def live_routes(changes: Changes, is_terminal: IsTerminal, log_path: LogPath) -> list[Route]:
    """The routes; ``is_terminal`` answers None for an unknown execution, ``log_path`` may raise ValueError."""

    async def log(request: Request) -> Response:
        parts = request.path_params
        try:
            attempt = int(parts["attempt"])
            path = log_path(parts["project"], parts["domain"], parts["execution"], parts["node"], attempt)
        except ValueError as error:
            return PlainTextResponse(f"{error}\n", status_code=400)
        found = await asyncio.to_thread(stat_of_file, path)
        if found is None:
            return PlainTextResponse("there is no log of that attempt\n", status_code=404)
        return what_there_is(request, path, found, "text/plain; charset=utf-8")

    async def events(request: Request) -> Response:
        id = identifier_pb2.WorkflowExecutionIdentifier(**request.path_params)
        if is_terminal(id) is None:
            return PlainTextResponse(f"there is no execution {id.project}/{id.domain}/{id.name}\n", status_code=404)
        return StreamingResponse(
            _stream(changes, id, is_terminal), media_type="text/event-stream", headers={"Cache-Control": "no-store"}
        )

    return [
        Route("/logs/{project}/{domain}/{execution}/{node}/{attempt}", log),
        Route("/flytelite/v1/executions/{project}/{domain}/{name}/events", events),
    ]


async def _stream(
    changes: Changes, id: identifier_pb2.WorkflowExecutionIdentifier, is_terminal: IsTerminal
) -> AsyncIterator[bytes]:
    changed = asyncio.Event()
    stopping = False

    def listener(change: Change) -> None:
        nonlocal stopping
        if isinstance(change, ServerStopping):
            stopping = True
            changed.set()
        elif isinstance(change, ExecutionChanged) and change.id == id:
            changed.set()

    # Changes that come while the client reads are one message: it refetches what it shows anyway.
    with changes.listening(listener):
        terminal = bool(is_terminal(id))
        yield _message(terminal)
        while not terminal:
            try:
                await asyncio.wait_for(changed.wait(), KEEP_ALIVE)
            except TimeoutError:
                yield b": waiting\n\n"
                continue
            if stopping:
                return
            changed.clear()
            terminal = bool(is_terminal(id))
            yield _message(terminal)


def _message(terminal: bool) -> bytes:
    return b"data: " + orjson.dumps({"terminal": terminal}) + b"\n\n"
