"""A route beside the API: which schedules are active in a domain, and when they fire."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from typing import Any

from google.protobuf import json_format
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from flytelite.server.admin.schedules import Scheduled


def schedule_routes(schedules: Iterable[Scheduled]) -> list[Route]:
    """``GET schedules/{project}/{domain}`` answers the active ones, the next to fire first; times are ISO 8601."""

    async def list(request: Request) -> Response:
        project, domain = request.path_params["project"], request.path_params["domain"]
        found = [
            _shown(scheduled)
            for scheduled in schedules
            if (scheduled.launch_plan.project, scheduled.launch_plan.domain) == (project, domain)
        ]
        return JSONResponse({"schedules": sorted(found, key=lambda shown: shown["next"] or "never")})

    return [Route("/flytelite/v1/schedules/{project}/{domain}", list, methods=["GET"])]


def _shown(scheduled: Scheduled) -> dict[str, Any]:
    return {
        "launch_plan": scheduled.launch_plan.name,
        "version": scheduled.launch_plan.version,
        "schedule": json_format.MessageToDict(scheduled.schedule, preserving_proto_field_name=True),
        "active_since": _text(scheduled.since),
        "last": _text(scheduled.last),
        "next": _text(scheduled.next),
    }


def _text(moment: datetime | None) -> str | None:
    return None if moment is None else moment.isoformat().replace("+00:00", "Z")
