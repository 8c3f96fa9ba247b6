"""The active schedules of a server, which FlyteAdmin's API does not tell: read from flytelite's own route."""

from __future__ import annotations

import http.client
import json
from typing import Any
from urllib.parse import quote

from flytelite.cli.endpoint import Endpoint
from flytelite.cli.failure import Failure

TIMEOUT = 60.0


def active_schedules(endpoint: Endpoint, project: str, domain: str) -> list[dict[str, Any]]:
    """What ``GET /flytelite/v1/schedules`` answers, the next to fire first.

    Raises Failure when no server answers, or one that is no flytelite.
    """
    kind = http.client.HTTPConnection if endpoint.insecure else http.client.HTTPSConnection
    connection = kind(endpoint.authority, timeout=TIMEOUT)
    try:
        connection.request("GET", f"/flytelite/v1/schedules/{quote(project, safe='')}/{quote(domain, safe='')}")
        response = connection.getresponse()
        body = response.read()
    except (OSError, http.client.HTTPException) as error:
        raise endpoint.no_answer() from error
    finally:
        connection.close()
    if response.status != http.client.OK:
        raise Failure(f"the server at {endpoint.authority} does not tell its schedules: it answered {response.status}")
    schedules: list[dict[str, Any]] = json.loads(body)["schedules"]
    return schedules


def schedule_text(schedule: dict[str, Any]) -> str:
    """A schedule_pb2.Schedule, as proto JSON with the fields' own names, in a few words."""
    rate = schedule.get("rate")
    if rate is None:
        return str(schedule["cron_schedule"]["schedule"])
    unit = str(rate.get("unit", "MINUTE")).lower()
    return f"every {unit}" if rate["value"] == 1 else f"every {rate['value']} {unit}s"
