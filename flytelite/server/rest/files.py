"""Files that are sent as they are found: others may be writing them meanwhile."""

from __future__ import annotations

import asyncio
import os
import stat
from collections.abc import AsyncIterator, Mapping
from pathlib import Path

from starlette.requests import Request
from starlette.responses import FileResponse, Response, StreamingResponse


def stat_of_file(path: Path) -> os.stat_result | None:
    """The status of a regular file; None for anything else. Blocks on the disk."""
    try:
        found = path.stat()
    except (OSError, ValueError):  # it is not there, or has a name that no disk can hold
        return None
    return found if stat.S_ISREG(found.st_mode) else None


def what_there_is(
    request: Request, path: Path, found: os.stat_result, media_type: str, headers: Mapping[str, str] | None = None
) -> Response:
    """The file as it was when it was looked at: it may grow meanwhile, and FileResponse sends a whole file to its end,
    however long its headers say it is.
    """
    response = FileResponse(path, media_type=media_type, headers=headers, stat_result=found)
    condition = request.headers.get("if-range")
    is_range = "range" in request.headers and condition in (None, response.headers["etag"])
    if is_range or request.method == "HEAD":
        return response
    return StreamingResponse(_beginning(path, found.st_size), headers=dict(response.headers))


async def _beginning(path: Path, length: int) -> AsyncIterator[bytes]:
    file = await asyncio.to_thread(path.open, "rb")
    try:
        while length and (part := await asyncio.to_thread(file.read, min(length, FileResponse.chunk_size))):
            length -= len(part)
            yield part
    finally:
        file.close()
