from __future__ import annotations

import asyncio
from datetime import UTC, datetime

import httpx
from flyteidl.admin import schedule_pb2
from flyteidl.core import identifier_pb2
from starlette.applications import Starlette

from flytelite.server.admin.schedules import Scheduled
from flytelite.server.rest.schedule_routes import schedule_routes


def scheduled(name: str, domain: str, next: datetime | None, last: datetime | None = None) -> Scheduled:
    id = identifier_pb2.Identifier(project="p", domain=domain, name=name, version="v")
    schedule = schedule_pb2.Schedule(cron_schedule={"schedule": "@daily"}, kickoff_time_input_arg="when")
    return Scheduled(id, schedule, datetime(2024, 1, 1, 5, tzinfo=UTC), last, next)


def answered(schedules: list[Scheduled], domain: str) -> list[dict]:
    async def get() -> httpx.Response:
        transport = httpx.ASGITransport(Starlette(routes=schedule_routes(schedules)))
        async with httpx.AsyncClient(transport=transport, base_url="http://localhost") as client:
            return await client.get(f"/flytelite/v1/schedules/p/{domain}")

    return list(asyncio.run(get()).json()["schedules"])


def test_the_next_to_fire_comes_first():
    found = [
        scheduled("never", "d", None),
        scheduled("later", "d", datetime(2024, 1, 3, tzinfo=UTC)),
        scheduled("sooner", "d", datetime(2024, 1, 2, tzinfo=UTC), datetime(2024, 1, 1, tzinfo=UTC)),
        scheduled("elsewhere", "e", datetime(2024, 1, 1, tzinfo=UTC)),
    ]
    first, second, third = answered(found, "d")
    assert first == {
        "launch_plan": "sooner",
        "version": "v",
        "schedule": {"cron_schedule": {"schedule": "@daily"}, "kickoff_time_input_arg": "when"},
        "active_since": "2024-01-01T05:00:00Z",
        "last": "2024-01-01T00:00:00Z",
        "next": "2024-01-02T00:00:00Z",
    }
    assert (second["launch_plan"], third["launch_plan"], third["next"]) == ("later", "never", None)
    assert answered(found, "none") == []
