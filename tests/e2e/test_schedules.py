"""Launch plans that start executions by themselves."""

from __future__ import annotations

import json
import signal
import time
from typing import Any

import pytest
from flyteidl.admin import common_pb2, launch_plan_pb2
from flyteidl.core import identifier_pb2

NAME = "scheduled.each_second"


def every_second(client: Any) -> identifier_pb2.Identifier:
    """Register and activate a launch plan that starts each second, which flytekit's own classes cannot say."""
    workflow = client.register("scheduled.report").id.to_flyte_idl()
    id = identifier_pb2.Identifier()
    id.CopyFrom(workflow)
    id.resource_type, id.name = identifier_pb2.LAUNCH_PLAN, NAME
    spec = launch_plan_pb2.LaunchPlanSpec(workflow_id=workflow)
    schedule = spec.entity_metadata.schedule
    schedule.cron_schedule.schedule, schedule.kickoff_time_input_arg = "@every 1s", "when"
    raw = client.remote.client.raw
    raw.create_launch_plan(launch_plan_pb2.LaunchPlanCreateRequest(id=id, spec=spec))
    set_state(client, id, launch_plan_pb2.ACTIVE)
    return id


def set_state(client: Any, id: identifier_pb2.Identifier, state: int) -> None:
    client.remote.client.raw.update_launch_plan(launch_plan_pb2.LaunchPlanUpdateRequest(id=id, state=state))


def started(client: Any, name: str) -> list[Any]:
    """The executions of a launch plan, oldest first."""
    scope = common_pb2.NamedEntityIdentifier(project="flytesnacks", domain="development")
    request = common_pb2.ResourceListRequest(id=scope, limit=1000, filters=f"eq(launch_plan.name,{name})")
    found = client.remote.client.raw.list_executions_paginated(request).executions
    return sorted(found, key=lambda execution: execution.spec.metadata.scheduled_at.seconds)


def times(executions: list[Any]) -> list[int]:
    return [execution.spec.metadata.scheduled_at.seconds for execution in executions]


def test_a_schedule_starts_executions_until_it_is_deactivated(client, wait_until) -> None:
    id = every_second(client)
    first = wait_until(lambda: started(client, NAME), "an execution")[0]
    set_state(client, id, launch_plan_pb2.INACTIVE)
    fired = times(started(client, NAME))
    assert fired == list(range(fired[0], fired[0] + len(fired)))
    done = client.wait(client.remote.fetch_execution(name=first.id.name))
    assert client.phase(done) == "SUCCEEDED"
    kickoff = first.spec.metadata.scheduled_at.ToJsonString().replace("Z", "+00:00")
    assert done.outputs.get("o0", as_type=str) == kickoff
    wait_until(lambda: time.time() > fired[-1] + 1.7, "the time when nothing may start any more")
    assert times(started(client, NAME)) == fired


@pytest.mark.soak
def test_a_killed_server_catches_up(launch, connect, tmp_path, wait_until) -> None:
    server = launch(tmp_path / "data")
    client = connect(server)
    id = every_second(client)
    wait_until(lambda: len(started(client, NAME)) >= 2, "two executions")
    server.stop(signal.SIGKILL)
    down = int(time.time())
    wait_until(lambda: time.time() > down + 2, "some seconds of downtime")
    client = connect(launch(tmp_path / "data", port=server.port))
    wait_until(lambda: times(started(client, NAME))[-1] > down + 2, "the time after the downtime")
    set_state(client, id, launch_plan_pb2.INACTIVE)
    fired = times(started(client, NAME))
    assert fired == list(range(fired[0], fired[0] + len(fired)))


def test_flytekits_schedules(client, flytelite, server, tmp_path) -> None:
    workflow = client.register("scheduled.report")
    module = client.load("scheduled")
    for plan in (module.minutely, module.yearly):
        client.remote.register_launch_plan(plan, version=workflow.id.version)
        registered = client.remote.fetch_launch_plan(name=plan.name, version=workflow.id.version)
        client.remote.client.update_launch_plan(registered.id, launch_plan_pb2.ACTIVE)
    table = flytelite("ls", "schedules", env=server.by_config_file, cwd=tmp_path).stdout
    assert [line.split()[0] for line in table.splitlines()] == ["LAUNCH", "scheduled.minutely", "scheduled.yearly"]
    assert "every minute" in table
    assert "0 0 1 1 *" in table
    shown = json.loads(flytelite("ls", "schedules", "-o", "json", env=server.by_config_file, cwd=tmp_path).stdout)
    assert [(row["last"], row["next"] > row["active_since"]) for row in shown] == [(None, True), (None, True)]
    for chosen, names in (("contains(name,yearly)", ["scheduled.yearly"]), ("eq(name,scheduled)", [])):
        listed = flytelite("ls", "schedules", "-o", "name", "--filter", chosen, env=server.by_config_file, cwd=tmp_path)
        assert listed.stdout.split() == names
    for plan in (module.minutely, module.yearly):
        registered = client.remote.fetch_launch_plan(name=plan.name, version=workflow.id.version)
        client.remote.client.update_launch_plan(registered.id, launch_plan_pb2.INACTIVE)
    assert flytelite("ls", "schedules", "-o", "name", env=server.by_config_file, cwd=tmp_path).stdout == ""


@pytest.mark.soak
def test_a_fixed_rate_of_a_minute_in_real_time(launch, connect, tmp_path, wait_until) -> None:
    client = connect(launch(tmp_path / "data"))
    workflow = client.register("scheduled.report")
    plan = client.load("scheduled").minutely
    client.remote.register_launch_plan(plan, version=workflow.id.version)
    registered = client.remote.fetch_launch_plan(name=plan.name, version=workflow.id.version)
    client.remote.client.update_launch_plan(registered.id, launch_plan_pb2.ACTIVE)
    (execution,) = wait_until(lambda: started(client, plan.name), "the first minute to pass", 100)
    done = client.wait(client.remote.fetch_execution(name=execution.id.name))
    assert client.phase(done) == "SUCCEEDED"
    assert done.outputs.get("o0", as_type=str) == "2024-01-01T00:00:00+00:00"
