"""Launch plans that start executions by themselves: when next, and what they start.

Source: flyteadmin/scheduler/core/gocron_scheduler.go, .../executor/executor_impl.go, .../identifier/identifier.go.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from operator import attrgetter
from typing import Any, TypeAlias

from flyteidl.admin import execution_pb2, launch_plan_pb2, schedule_pb2
from flyteidl.core import identifier_pb2
from google.protobuf import json_format, timestamp_pb2

from flytelite.errors import InvalidArgument
from flytelite.server.admin import cron
from flytelite.server.admin.changes import Changes, SchedulesChanged
from flytelite.server.admin.filters import timestamp_text
from flytelite.server.admin.identifiers import entity_key, text
from flytelite.server.store.interface import Query, Store, TableSchema

log = logging.getLogger(__name__)

Timetable: TypeAlias = cron.Cron | cron.Every

SCHEDULES = TableSchema("schedules")
"""Of each launch plan that is active and has a schedule: the schedule, since when, and for which time it fired last."""

_SECONDS = {schedule_pb2.MINUTE: 60, schedule_pb2.HOUR: 3600, schedule_pb2.DAY: 86400}
_FNV_OFFSET, _FNV_PRIME = 0xCBF29CE484222325, 0x100000001B3


@dataclass(frozen=True)
class Scheduled:
    """An active schedule. ``next`` is the first time for which it has not fired yet; None when it never will."""

    launch_plan: identifier_pb2.Identifier
    schedule: schedule_pb2.Schedule
    since: datetime
    last: datetime | None
    next: datetime | None


class Schedules:
    """Which launch plans are to start executions, kept so that no time is forgotten and none counts twice.

    Times go by the wall clock and only ever forward: what is next follows from the time for which a schedule fired
    last, or from its activation, whatever the clock did meanwhile.
    """

    def __init__(self, store: Store, changes: Changes) -> None:
        self._table = store.table(SCHEDULES)
        self._changes = changes
        self._read: dict[str, tuple[int, Scheduled]] = {}

    def start(self, launch_plan: launch_plan_pb2.LaunchPlan, now: timestamp_pb2.Timestamp) -> None:
        """Fire from now on; a schedule that runs already goes on as it does.

        Raises InvalidArgument for a schedule that could never start an execution.
        """
        check(launch_plan, now.ToDatetime(UTC))
        key = entity_key(launch_plan.id)
        if key not in self._table:
            schedule = json_format.MessageToDict(launch_plan.spec.entity_metadata.schedule)
            id = json_format.MessageToDict(launch_plan.id)
            self._table.put(key, {"launch_plan": id, "schedule": schedule, "since": timestamp_text(now), "last": None})
        self._changes.publish(SchedulesChanged())

    def stop(self, launch_plan: identifier_pb2.Identifier) -> None:
        """Fire no more."""
        key = entity_key(launch_plan)
        if key in self._table:
            self._table.remove(key)
            self._changes.publish(SchedulesChanged())

    def fired(self, scheduled: Scheduled) -> None:
        """Its next time is dealt with, and never comes again."""
        key = entity_key(scheduled.launch_plan)
        document = self._table.get(key)
        if document is not None and scheduled.next is not None:
            self._table.put(key, {**document, "last": _text(scheduled.next)})

    def next(self) -> Scheduled | None:
        """The schedule whose turn it is; None while there is none."""
        coming = (scheduled for scheduled in self if scheduled.next is not None)
        return min(coming, key=attrgetter("next"), default=None)

    def find(self, launch_plan: identifier_pb2.Identifier) -> Scheduled | None:
        """The active schedule of that version, or None."""
        key = entity_key(launch_plan)
        return self._get(key) if key in self._table else None

    def __iter__(self) -> Iterator[Scheduled]:
        keys = self._table.keys(Query())
        self._read = {key: self._read[key] for key in keys if key in self._read}
        return map(self._get, keys)

    def _get(self, key: str) -> Scheduled:
        revision = self._table.revision(key)
        assert revision is not None
        if key not in self._read or self._read[key][0] != revision:
            document = self._table.get(key)
            assert document is not None
            self._read[key] = (revision, _scheduled(document))
        return self._read[key][1]


def check(launch_plan: launch_plan_pb2.LaunchPlan, now: datetime) -> None:
    """Raise InvalidArgument, saying why, unless the schedule of the launch plan can start executions.

    FlyteAdmin looks at less (``flyteadmin/pkg/manager/impl/validation/launch_plan_validator.go``) and leaves the rest
    to the log of its scheduler.
    """
    schedule = launch_plan.spec.entity_metadata.schedule
    name = f"the schedule of launch plan [{text(launch_plan.id)}] could never start an execution"
    if timetable(schedule).next_after(now) is None:
        when = schedule.cron_schedule.schedule or text(schedule.rate)
        raise InvalidArgument(f"{name}: there is no time at which [{when}] fires")
    policy = launch_plan.spec.concurrency_policy
    if policy.behavior == launch_plan_pb2.CONCURRENCY_LIMIT_BEHAVIOR_SKIP and policy.max == 0:
        raise InvalidArgument(f"{name}: its concurrency_policy allows 0 at a time")
    given = schedule.kickoff_time_input_arg if schedule.HasField("cron_schedule") else ""
    for input, parameter in launch_plan.spec.default_inputs.parameters.items():
        if parameter.required and input != given:
            hint = ", and only cron schedules pass the kickoff time" if input == schedule.kickoff_time_input_arg else ""
            raise InvalidArgument(f"{name}: its required input [{input}] has no value{hint}")


def timetable(schedule: schedule_pb2.Schedule) -> Timetable:
    """When the schedule fires. An ``offset`` changes nothing, as in FlyteAdmin. Raises InvalidArgument."""
    kind = schedule.WhichOneof("ScheduleExpression")
    if kind == "cron_schedule":
        try:
            return cron.parse(schedule.cron_schedule.schedule)
        except ValueError as error:
            raise InvalidArgument(f"Invalid cron expression: {error}") from error
    if kind != "rate":
        # Of the deprecated cron_expression FlyteAdmin's scheduler says so too, with INTERNAL.
        raise InvalidArgument(
            f"failed adding schedule for unknown schedule expression type {text(schedule)}: use cron_schedule"
        )
    rate = schedule.rate
    if rate.unit not in _SECONDS:
        raise InvalidArgument(f"unsupported unit {rate.unit} for fixed rate scheduling")
    return cron.Every(rate.value * _SECONDS[rate.unit])


def execution_request(scheduled: Scheduled) -> execution_pb2.ExecutionCreateRequest:
    """What a schedule asks for at its next time: always the same, name included, so that it is never done twice."""
    id, moment = scheduled.launch_plan, scheduled.next
    assert moment is not None
    request = execution_pb2.ExecutionCreateRequest(
        project=id.project, domain=id.domain, name=execution_name(id, moment)
    )
    request.spec.launch_plan.CopyFrom(id)
    request.spec.launch_plan.resource_type = identifier_pb2.LAUNCH_PLAN
    request.spec.metadata.mode = execution_pb2.ExecutionMetadata.SCHEDULED
    request.spec.metadata.scheduled_at.FromDatetime(moment)
    kickoff = scheduled.schedule.kickoff_time_input_arg
    if kickoff and scheduled.schedule.HasField("cron_schedule"):
        request.inputs.literals[kickoff].scalar.primitive.datetime.FromDatetime(moment)
    return request


def execution_name(id: identifier_pb2.Identifier, moment: datetime) -> str:
    """The name of the execution that the launch plan's schedule starts for that time."""
    hash = _FNV_OFFSET
    for byte in f"{id.project}:{id.domain}:{id.name}:{id.version}:{int(moment.timestamp())}".encode():
        hash = (hash * _FNV_PRIME % 2**64) ^ byte
    # FlyteAdmin puts the hash at the beginning of a UUID, and cuts that to 19 digits.
    return f"f{hash.to_bytes(8, 'little').hex()}000"


def _scheduled(document: dict[str, Any]) -> Scheduled:
    schedule = json_format.ParseDict(document["schedule"], schedule_pb2.Schedule(), ignore_unknown_fields=True)
    since = _moment(document["since"])
    last = _moment(document["last"]) if document["last"] else None
    launch_plan = json_format.ParseDict(document["launch_plan"], identifier_pb2.Identifier())
    try:
        next = timetable(schedule).next_after(since if last is None else max(since, last))
    except InvalidArgument as error:  # it could be read when it was activated: a machine without that time zone
        log.warning("launch plan %s starts no executions: %s", entity_key(launch_plan), error)
        next = None
    return Scheduled(launch_plan, schedule, since, last, next)


def _text(moment: datetime) -> str:
    stamp = timestamp_pb2.Timestamp()
    stamp.FromDatetime(moment)
    return timestamp_text(stamp)


def _moment(stored: str) -> datetime:
    stamp = timestamp_pb2.Timestamp()
    stamp.FromJsonString(stored)
    return stamp.ToDatetime(UTC)
