"""The scheduler over a whole control plane in memory, with a clock that only tests move."""

from __future__ import annotations

import asyncio
import contextlib
from datetime import UTC, datetime

import pytest
from flyteidl.admin import (
    common_pb2,
    execution_pb2,
    launch_plan_pb2,
    project_pb2,
    schedule_pb2,
    task_pb2,
    workflow_pb2,
)
from flyteidl.core import identifier_pb2, tasks_pb2
from flyteidl.core import workflow_pb2 as core_workflow_pb2
from google.protobuf import timestamp_pb2

from flytelite.config import Settings
from flytelite.errors import AlreadyExists, InvalidArgument, Unavailable
from flytelite.server import scheduler as scheduler_module
from flytelite.server.admin.changes import Changes, ExecutionCreated, SchedulesChanged
from flytelite.server.admin.control_plane import ControlPlane
from flytelite.server.admin.schedules import execution_name, execution_request
from flytelite.server.objects import Bucket
from flytelite.server.scheduler import Scheduler
from flytelite.server.store.interface import Query
from flytelite.server.store.memory import MemoryStore

P, D = "flytesnacks", "development"
NINE = 1_704_099_600
"""2024-01-01 09:00:00 UTC."""
MINUTELY = {"cron_schedule": {"schedule": "* * * * *"}}


def identifier(resource_type: int, name: str = "w", version: str = "1") -> identifier_pb2.Identifier:
    return identifier_pb2.Identifier(resource_type=resource_type, project=P, domain=D, name=name, version=version)


class Plane:
    """A control plane with a workflow without inputs, and the scheduler that works for it, one after the other."""

    def __init__(self, tmp_path) -> None:
        self.seconds = NINE
        self.store = MemoryStore()
        settings = Settings(data_dir=tmp_path)
        self.changes = Changes()
        self.plane = ControlPlane(settings, self.store, Bucket.open(settings), self.changes, self.clock)
        task = identifier(identifier_pb2.TASK)
        template = tasks_pb2.TaskTemplate(type="python-task", interface={}, container={"image": "i"}, metadata={})
        template.metadata.runtime.version = "1"
        self.plane.tasks.create(task_pb2.TaskCreateRequest(id=task, spec={"template": template}))
        node = core_workflow_pb2.Node(id="n0", task_node={"reference_id": task})
        workflow = core_workflow_pb2.WorkflowTemplate(interface={}, nodes=[node])
        id = identifier(identifier_pb2.WORKFLOW)
        self.plane.workflows.create(workflow_pb2.WorkflowCreateRequest(id=id, spec={"template": workflow}))
        self.created: list[str] = []
        self.create = self.plane.executions.create
        self.scheduler: Scheduler

    def clock(self) -> timestamp_pb2.Timestamp:
        return timestamp_pb2.Timestamp(seconds=self.seconds)

    def plan(self, name: str = "w", version: str = "1", schedule: dict | None = None, **spec) -> None:
        spec = launch_plan_pb2.LaunchPlanSpec(workflow_id=identifier(identifier_pb2.WORKFLOW), **spec)
        spec.entity_metadata.schedule.CopyFrom(schedule_pb2.Schedule(**(schedule or MINUTELY)))
        id = identifier(identifier_pb2.LAUNCH_PLAN, name, version)
        self.plane.launch_plans.create(launch_plan_pb2.LaunchPlanCreateRequest(id=id, spec=spec))

    def set(self, state: int, name: str = "w", version: str = "1") -> None:
        id = identifier(identifier_pb2.LAUNCH_PLAN, name, version)
        self.plane.launch_plans.update(launch_plan_pb2.LaunchPlanUpdateRequest(id=id, state=state))

    def activate(self, name: str = "w", version: str = "1") -> None:
        self.set(launch_plan_pb2.ACTIVE, name, version)

    @contextlib.asynccontextmanager
    async def running(self):
        self.scheduler = Scheduler(self.plane.schedules, self.create, self.store, self.changes, self.clock)
        await self.scheduler.start()
        try:
            yield self.scheduler
        finally:
            await self.scheduler.stop()

    async def at(self, seconds: int) -> list[int]:
        """Set the clock to so many seconds after nine and wake the scheduler; the times that were fired by then."""
        self.seconds = NINE + seconds
        self.changes.publish(SchedulesChanged())
        for _ in range(200):
            await asyncio.sleep(0)
        return self.fired()

    def fired(self) -> list[int]:
        listing = common_pb2.ResourceListRequest(id={"project": P, "domain": D}, limit=1000)
        found = self.plane.executions.list(listing).executions
        return [execution.spec.metadata.scheduled_at.seconds - NINE for execution in found]


@pytest.fixture
def plane(tmp_path) -> Plane:
    return Plane(tmp_path)


def test_it_fires_each_time_once_and_says_what_it_is(plane):
    async def story():
        async with plane.running() as scheduler:
            plane.plan()
            plane.activate()
            assert await plane.at(59) == []
            assert await plane.at(60) == [60]
            assert await plane.at(61) == [60]
            assert await plane.at(121) == [60, 120]
            assert scheduler.outcomes == {"created": 2}

    asyncio.run(story())
    id = identifier(identifier_pb2.LAUNCH_PLAN)
    name = execution_name(id, datetime.fromtimestamp(NINE + 60, UTC))
    found = plane.plane.executions.get(
        execution_pb2.WorkflowExecutionGetRequest(id={"project": P, "domain": D, "name": name})
    )
    assert found.spec.metadata.mode == execution_pb2.ExecutionMetadata.SCHEDULED
    assert found.spec.launch_plan == id
    assert found.spec.metadata.principal == ""


def test_fixed_rates_count_from_the_activation(plane):
    async def story():
        plane.seconds += 7
        plane.plan(schedule={"rate": {"value": 1, "unit": schedule_pb2.HOUR}})
        plane.activate()
        async with plane.running():
            assert await plane.at(3606) == []
            assert await plane.at(3607) == [3607]
            assert await plane.at(7300) == [3607, 7207]

    asyncio.run(story())


def test_what_was_missed_is_caught_up_oldest_first_and_counts_from_the_activation(plane):
    async def story():
        plane.plan()
        plane.plan("other", schedule={"cron_schedule": {"schedule": "*/2 * * * *"}})
        plane.activate()
        async with plane.running():
            assert await plane.at(60) == [60]
        plane.seconds = NINE + 130
        plane.activate("other")
        plane.seconds = NINE + 250
        async with plane.running():
            assert await plane.at(250) == [60, 120, 180, 240, 240]

    asyncio.run(story())


def test_a_clock_that_jumps_fires_nothing_twice(plane):
    async def story():
        plane.plan()
        plane.activate()
        async with plane.running():
            assert await plane.at(120) == [60, 120]
            assert await plane.at(30) == [60, 120]
            assert await plane.at(119) == [60, 120]
            assert await plane.at(60 * 60 * 24 * -30) == [60, 120]
            assert await plane.at(300) == [60, 120, 180, 240, 300]
        async with plane.running():
            assert await plane.at(-4000) == [60, 120, 180, 240, 300]
            assert await plane.at(301) == [60, 120, 180, 240, 300]

    asyncio.run(story())


def test_dying_after_the_execution_was_made_and_before_it_was_noted(plane):
    async def story():
        plane.plan()
        plane.activate()
        plane.create(execution_request(plane.plane.schedules.next()))
        async with plane.running() as scheduler:
            assert await plane.at(60) == [60]
            assert scheduler.outcomes == {"skipped": 1}
            assert await plane.at(120) == [60, 120]

    asyncio.run(story())


def test_deactivation_and_another_version(plane):
    async def story():
        plane.plan()
        plane.plan(version="2", schedule={"cron_schedule": {"schedule": "30 * * * *"}})
        async with plane.running():
            plane.activate()
            assert await plane.at(60) == [60]
            plane.activate(version="2")
            assert await plane.at(1700) == [60]
            assert await plane.at(1800) == [60, 1800]
            plane.set(launch_plan_pb2.INACTIVE, version="1")
            assert await plane.at(5400) == [60, 1800, 5400]
            plane.set(launch_plan_pb2.INACTIVE, version="2")
            assert await plane.at(90000) == [60, 1800, 5400]
            plane.activate(version="2")
            assert await plane.at(91800) == [60, 1800, 5400, 91800]

    asyncio.run(story())


def test_a_refused_execution_is_counted_and_the_next_one_comes(plane):
    def refuse(request):
        if request.spec.metadata.scheduled_at.seconds == NINE + 60:
            raise InvalidArgument("not that one")
        if request.spec.metadata.scheduled_at.seconds == NINE + 120:
            raise KeyError("a bug")
        return plane.plane.executions.create(request)

    async def story():
        plane.plan()
        plane.activate()
        plane.create = refuse
        async with plane.running() as scheduler:
            assert await plane.at(180) == [180]
            assert scheduler.outcomes == {"refused": 2, "created": 1}

    asyncio.run(story())


def test_archived_projects_start_nothing_and_their_times_are_over(plane):
    async def story():
        plane.plan()
        plane.activate()
        async with plane.running() as scheduler:
            plane.plane.projects.update(project_pb2.Project(id=P, state=project_pb2.Project.ARCHIVED))
            assert await plane.at(120) == []
            assert scheduler.outcomes == {"refused": 2}
            plane.plane.projects.update(project_pb2.Project(id=P, state=project_pb2.Project.ACTIVE))
            assert await plane.at(180) == [180]

    asyncio.run(story())


def test_an_archived_name_is_only_hidden(plane):
    """As in FlyteAdmin: who wants no executions deactivates the launch plan."""

    async def story():
        plane.plan()
        plane.activate()
        plane.plane.named_entities.update(
            common_pb2.NamedEntityUpdateRequest(
                resource_type=identifier_pb2.LAUNCH_PLAN,
                id={"project": P, "domain": D, "name": "w"},
                metadata={"state": common_pb2.NAMED_ENTITY_ARCHIVED},
            )
        )
        async with plane.running():
            assert await plane.at(60) == [60]

    asyncio.run(story())


def test_a_concurrency_policy_skips_times(plane):
    async def story():
        behavior = launch_plan_pb2.CONCURRENCY_LIMIT_BEHAVIOR_SKIP
        plane.plan(concurrency_policy={"max": 1, "behavior": behavior})
        plane.activate()
        async with plane.running() as scheduler:
            assert await plane.at(60) == [60]
            (key,) = plane.plane.executions.records.table.keys(Query())
            record = plane.plane.executions.records.edit(key)
            record.columns["phase"] = "RUNNING"
            plane.plane.executions.records.put(record)
            assert await plane.at(120) == [60]
            assert scheduler.outcomes == {"created": 1, "skipped": 1}

    asyncio.run(story())


def test_a_disk_that_refuses_is_waited_for(plane, monkeypatch):
    monkeypatch.setattr(scheduler_module, "RETRY_SECONDS", 0)
    refusals = [Unavailable("the disk"), Unavailable("the disk")]

    def create(request):
        if refusals:
            raise refusals.pop()
        return plane.plane.executions.create(request)

    async def story():
        plane.plan()
        plane.activate()
        plane.create = create
        async with plane.running() as scheduler:
            assert await plane.at(60) == [60]
            assert scheduler.outcomes == {"created": 1}

    asyncio.run(story())


def test_it_sleeps_until_something_happens(plane, monkeypatch):
    """It looks at what is next only when something happened, or the clock may have been set."""
    looks = []
    following = plane.plane.schedules.next

    def next():
        looks.append(1)
        return following()

    monkeypatch.setattr(plane.plane.schedules, "next", next)

    async def story():
        plane.plan()
        plane.activate()
        async with plane.running():
            await asyncio.sleep(0.3)
            assert len(looks) == 1
            await plane.at(1)
            assert len(looks) == 2

    asyncio.run(story())


def test_it_wakes_by_itself_when_the_time_has_come(plane):
    async def story():
        plane.seconds = NINE + 59
        plane.plan()
        plane.activate()
        loop, created = asyncio.get_running_loop(), asyncio.Event()
        with plane.changes.listening(lambda change: created.set() if isinstance(change, ExecutionCreated) else None):
            async with plane.running(), asyncio.timeout(20):
                loop.call_later(0.5, lambda: setattr(plane, "seconds", NINE + 60))
                await created.wait()

    asyncio.run(story())


def test_one_that_exists_is_no_error(plane):
    def create(request):
        raise AlreadyExists("there it is")

    async def story():
        plane.plan()
        plane.activate()
        plane.create = create
        async with plane.running() as scheduler:
            assert await plane.at(60) == []
            assert scheduler.outcomes == {"skipped": 1}

    asyncio.run(story())
