from __future__ import annotations

from datetime import UTC, datetime

import pytest
from flyteidl.admin import launch_plan_pb2, schedule_pb2
from flyteidl.core import identifier_pb2, interface_pb2, types_pb2
from google.protobuf import timestamp_pb2

from flytelite.errors import InvalidArgument
from flytelite.server.admin.changes import Changes, SchedulesChanged
from flytelite.server.admin.schedules import Schedules, check, execution_name, execution_request, timetable

DATETIME = types_pb2.LiteralType(simple=types_pb2.DATETIME)


def identifier(version: str = "v1", name: str = "cron1") -> identifier_pb2.Identifier:
    return identifier_pb2.Identifier(
        resource_type=identifier_pb2.LAUNCH_PLAN, project="project", domain="domain", name=name, version=version
    )


def at(text: str) -> timestamp_pb2.Timestamp:
    stamp = timestamp_pb2.Timestamp()
    stamp.FromJsonString(text)
    return stamp


def utc(*parts: int) -> datetime:
    return datetime(*parts, tzinfo=UTC)


def plan(schedule: dict, id: identifier_pb2.Identifier | None = None, **inputs: bool) -> launch_plan_pb2.LaunchPlan:
    """``inputs`` are datetimes; true ones are required."""
    made = launch_plan_pb2.LaunchPlan(id=id or identifier())
    made.spec.entity_metadata.schedule.CopyFrom(schedule_pb2.Schedule(**schedule))
    for name, required in inputs.items():
        parameter = interface_pb2.Parameter(var=interface_pb2.Variable(type=DATETIME))
        if required:
            parameter.required = True
        else:
            parameter.default.scalar.primitive.datetime.seconds = 1
        made.spec.default_inputs.parameters[name].CopyFrom(parameter)
    return made


HOURLY = {"cron_schedule": {"schedule": "@hourly"}}
MINUTES = {"rate": {"value": 5, "unit": schedule_pb2.MINUTE}}


@pytest.fixture
def schedules(store):
    return Schedules(store, Changes())


def test_names_are_those_of_flyteadmins_scheduler():
    moment = datetime.fromtimestamp(1_700_000_000, UTC)
    assert execution_name(identifier(), moment) == "f3c0c762a090e6470000"
    assert execution_name(identifier("v2"), moment) != execution_name(identifier(), moment)


def test_what_is_next_follows_from_the_activation_and_then_from_the_last_time(schedules):
    schedules.start(plan(HOURLY), at("2024-01-01T10:30:00Z"))
    schedules.start(plan(MINUTES, identifier(name="rate")), at("2024-01-01T10:30:07.9Z"))
    rate = schedules.next()
    assert (rate.launch_plan.name, rate.next) == ("rate", utc(2024, 1, 1, 10, 35, 7))
    for _ in range(5):
        schedules.fired(schedules.next())
    hourly = schedules.next()
    assert (hourly.launch_plan.name, hourly.next) == ("cron1", utc(2024, 1, 1, 11))
    schedules.fired(hourly)
    assert schedules.find(identifier()).last == utc(2024, 1, 1, 11)
    assert schedules.find(identifier()).next == utc(2024, 1, 1, 12)
    assert schedules.next().next == utc(2024, 1, 1, 11, 0, 7)


def test_it_is_remembered(store, schedules):
    schedules.start(plan(HOURLY), at("2024-01-01T10:30:00Z"))
    schedules.fired(schedules.next())
    again = Schedules(store, Changes())
    assert again.next() == schedules.next()
    assert [scheduled.since for scheduled in again] == [utc(2024, 1, 1, 10, 30)]


def test_starting_again_changes_nothing_and_after_a_stop_it_begins_anew(schedules):
    schedules.start(plan(MINUTES), at("2024-01-01T10:00:00Z"))
    schedules.start(plan(MINUTES), at("2024-01-01T10:04:00Z"))
    assert schedules.next().next == utc(2024, 1, 1, 10, 5)
    schedules.stop(identifier())
    assert schedules.next() is None
    assert schedules.find(identifier()) is None
    schedules.start(plan(MINUTES), at("2024-01-01T12:00:00Z"))
    assert schedules.next().next == utc(2024, 1, 1, 12, 5)


def test_a_time_that_was_dealt_with_after_the_stop_is_forgotten(schedules):
    schedules.start(plan(MINUTES), at("2024-01-01T10:00:00Z"))
    firing = schedules.next()
    schedules.stop(identifier())
    schedules.fired(firing)
    assert list(schedules) == []


def test_changes_are_told(store):
    changes, told = Changes(), []
    schedules = Schedules(store, changes)
    with changes.listening(told.append):
        schedules.stop(identifier())
        schedules.start(plan(MINUTES), at("2024-01-01T10:00:00Z"))
        schedules.stop(identifier())
    assert told == [SchedulesChanged(), SchedulesChanged()]


def test_what_is_asked_for(schedules):
    kickoff = {"kickoff_time_input_arg": "when"}
    schedules.start(plan({**HOURLY, **kickoff}, when=True), at("2024-01-01T10:30:00Z"))
    request = execution_request(schedules.next())
    assert (request.project, request.domain) == ("project", "domain")
    assert request.name == execution_name(identifier(), utc(2024, 1, 1, 11))
    assert request.spec.launch_plan == identifier()
    assert request.spec.metadata.mode == 1
    assert request.spec.metadata.scheduled_at == at("2024-01-01T11:00:00Z")
    assert request.inputs.literals["when"].scalar.primitive.datetime == at("2024-01-01T11:00:00Z")
    schedules.stop(identifier())
    schedules.start(plan({**MINUTES, **kickoff}, when=False), at("2024-01-01T10:30:00Z"))
    assert not execution_request(schedules.next()).inputs.literals


@pytest.mark.parametrize(
    ("rate", "seconds"),
    [((2, schedule_pb2.MINUTE), 120), ((3, schedule_pb2.HOUR), 10800), ((1, schedule_pb2.DAY), 86400)],
)
def test_units(rate, seconds):
    value, unit = rate
    assert timetable(schedule_pb2.Schedule(rate={"value": value, "unit": unit})).seconds == seconds


def test_an_offset_changes_nothing():
    shifted = schedule_pb2.Schedule(cron_schedule={"schedule": "@daily", "offset": "PT1H"})
    assert timetable(shifted) == timetable(schedule_pb2.Schedule(cron_schedule={"schedule": "@daily"}))


@pytest.mark.parametrize(
    ("schedule", "inputs", "words"),
    [
        ({"cron_schedule": {"schedule": "0 0 31 2 *"}}, {}, "there is no time at which [0 0 31 2 *] fires"),
        ({"cron_schedule": {"schedule": "hourly"}}, {}, "Invalid cron expression: expected exactly 5 fields"),
        ({"cron_expression": "0 0 * * ? *"}, {}, "unknown schedule expression type"),
        ({"rate": {"value": 1, "unit": 7}}, {}, "unsupported unit 7 for fixed rate scheduling"),
        (
            {"rate": {"value": 2**32 - 1, "unit": 2}},
            {},
            "there is no time at which [value:4294967295 unit:DAY] fires",
        ),
        (HOURLY, {"x": True}, "its required input [x] has no value"),
        ({**MINUTES, "kickoff_time_input_arg": "x"}, {"x": True}, "only cron schedules pass the kickoff time"),
    ],
)
def test_schedules_that_could_never_start(schedules, schedule, inputs, words):
    with pytest.raises(InvalidArgument) as caught:
        schedules.start(plan(schedule, **inputs), at("2024-01-01T10:30:00Z"))
    assert words in str(caught.value)
    assert list(schedules) == []


def test_a_policy_that_allows_none_at_a_time(schedules):
    never = plan(HOURLY)
    never.spec.concurrency_policy.behavior = launch_plan_pb2.CONCURRENCY_LIMIT_BEHAVIOR_SKIP
    with pytest.raises(InvalidArgument, match=r"its concurrency_policy allows 0 at a time"):
        schedules.start(never, at("2024-01-01T10:30:00Z"))
    never.spec.concurrency_policy.max = 1
    schedules.start(never, at("2024-01-01T10:30:00Z"))


def test_schedules_that_can_start():
    check(plan({**HOURLY, "kickoff_time_input_arg": "x"}, x=True, y=False), utc(2024, 1, 1))
    check(plan({**MINUTES, "kickoff_time_input_arg": "x"}, x=False), utc(2024, 1, 1))
    check(plan({"cron_schedule": {"schedule": "0 0 29 2 *"}}), utc(2024, 3, 1))
