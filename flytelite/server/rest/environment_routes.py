"""Where the Python environments of tasks are made, for clients on this machine that make those of ImageSpecs."""

from __future__ import annotations

import sys
from importlib import metadata
from pathlib import Path

import orjson
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route


def environment_routes(directory: Path) -> list[Route]:
    """The route; that it answers also tells a client that this is flytelite and not another Flyte."""
    content = orjson.dumps(
        {
            "directory": str(directory),
            "python": f"{sys.version_info.major}.{sys.version_info.minor}",
            "flytekit": metadata.version("flytekit"),
        }
    )

    async def environments(request: Request) -> Response:
        return Response(content, media_type="application/json")

    return [Route("/flytelite/v1/environments", environments)]
