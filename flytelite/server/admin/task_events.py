"""What a task event is allowed to do to a task execution, and what it writes.

Source: flyteadmin/pkg/manager/impl/task_execution_manager.go,
flyteadmin/pkg/repositories/transformers/task_execution.go.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable
from typing import Any

from flyteidl.admin import task_execution_pb2
from flyteidl.core import execution_pb2, identifier_pb2
from flyteidl.event import event_pb2
from google.protobuf import struct_pb2

from flytelite.errors import AlreadyExists
from flytelite.server.admin import event_checks, phases, validation
from flytelite.server.admin.filters import duration_seconds, timestamp_text
from flytelite.server.admin.identifiers import node_execution_key, task_execution_key, text
from flytelite.server.admin.literal_maps import LiteralMaps
from flytelite.server.admin.records import Record

PHASE = phases.TASK
_PENDING = frozenset({PHASE.QUEUED, PHASE.INITIALIZING})


def identifier(event: Any) -> identifier_pb2.TaskExecutionIdentifier:
    """Which TaskExecution a TaskExecutionEvent is about."""
    return identifier_pb2.TaskExecutionIdentifier(
        task_id=event.task_id, node_execution_id=event.parent_node_execution_id, retry_attempt=event.retry_attempt
    )


def check_request(event: Any, max_output_bytes: int) -> None:
    """Raise InvalidArgument for a malformed event, ResourceExhausted for outputs that are too large."""
    if not event.ByteSize():
        raise validation.missing("event")
    if not event.HasField("occurred_at"):
        raise validation.missing("occurred_at")
    validation.timestamp(event.occurred_at)
    event_checks.output_size(event.output_data, max_output_bytes)
    if not event.HasField("parent_node_execution_id"):
        raise validation.missing("node_execution_id")
    validation.node_execution_identifier(event.parent_node_execution_id)
    if not event.HasField("task_id"):
        raise validation.missing("task_id")
    validation.entity_identifier(event.task_id, identifier_pb2.TASK)


def check(event: Any, record: Record[task_execution_pb2.TaskExecution]) -> None:
    """Raise AlreadyExists for a phase and version recorded before, FailedPrecondition when the attempt has ended."""
    stored, name = record.message.closure.phase, phases.name(PHASE, event.phase)
    if stored == event.phase and record.columns["phase_version"] >= event.phase_version:
        raise AlreadyExists(
            f"have already recorded task execution phase {name} (version: {event.phase_version}) "
            f"for {text(record.message.id)}"
        )
    if stored in phases.TASK_TERMINAL:
        # The detail names the phase that was asked for, not the stored one: so does FlyteAdmin.
        raise event_checks.already_terminal(
            f"invalid phase change from {phases.name(PHASE, stored)} to {name} "
            f"for task execution {text(record.message.id)}",
            name,
        )


def create(
    event: Any, id: identifier_pb2.TaskExecutionIdentifier, literal_maps: LiteralMaps
) -> Record[task_execution_pb2.TaskExecution]:
    """The record that the first TaskExecutionEvent of an attempt makes."""
    node, task = id.node_execution_id, id.task_id
    message = task_execution_pb2.TaskExecution(id=id)
    closure = message.closure
    closure.created_at.CopyFrom(event.occurred_at)
    closure.task_type = event.task_type
    closure.event_version = event.event_version
    closure.logs.extend(event.logs)
    if event.HasField("custom_info"):
        closure.custom_info.CopyFrom(event.custom_info)
    if event.HasField("metadata"):
        closure.metadata.CopyFrom(event.metadata)
        closure.metadata.external_resources.sort(key=_place)
    columns = {
        "node_execution": node_execution_key(node),
        "project": task.project,
        "domain": task.domain,
        "name": task.name,
        "version": task.version,
        "execution_project": node.execution_id.project,
        "execution_domain": node.execution_id.domain,
        "execution_name": node.execution_id.name,
        "node_id": node.node_id,
        "retry_attempt": id.retry_attempt,
        "input_uri": "",
        "started_at": None,
        "task_execution_created_at": timestamp_text(event.occurred_at),
        "duration": 0.0,
    }
    record = Record(task_execution_key(id), message, columns)
    _apply_common(event, record, literal_maps)
    return record


def update(event: Any, record: Record[task_execution_pb2.TaskExecution], literal_maps: LiteralMaps) -> None:
    """Change the record (an ``edit`` copy) as a later TaskExecutionEvent says."""
    closure = record.message.closure
    changed = closure.phase != event.phase
    _apply_common(event, record, literal_maps)
    _replace(closure.logs, _visible(_merged_logs(closure.logs, event.logs), event.phase))
    if event.HasField("custom_info"):
        if closure.HasField("custom_info"):
            merge_patch(closure.custom_info, event.custom_info)
        else:
            closure.custom_info.CopyFrom(event.custom_info)
    if event.HasField("metadata"):
        if closure.HasField("metadata"):
            _merge_metadata(closure.metadata, event.metadata)
        else:
            closure.metadata.CopyFrom(event.metadata)
    if changed:
        for resource in closure.metadata.external_resources:
            _replace(resource.logs, _visible(resource.logs, event.phase))
    closure.event_version = max(closure.event_version, event.event_version)


def _apply_common(event: Any, record: Record[task_execution_pb2.TaskExecution], literal_maps: LiteralMaps) -> None:
    message, columns = record.message, record.columns
    closure = message.closure
    starts = event.phase == PHASE.RUNNING and not closure.HasField("started_at")
    closure.phase = event.phase
    closure.updated_at.CopyFrom(event_checks.recorded_at(event))
    columns["phase"] = phases.name(PHASE, event.phase)
    columns["phase_version"] = event.phase_version
    columns["task_execution_updated_at"] = timestamp_text(closure.updated_at)
    if not message.input_uri:
        message.input_uri = literal_maps.offload(event.input_data) if event.HasField("input_data") else event.input_uri
        columns["input_uri"] = message.input_uri
    _add_reasons(event, closure)
    if starts:
        closure.started_at.CopyFrom(event.occurred_at)
        columns["started_at"] = timestamp_text(event.occurred_at)
    if event.phase in phases.TASK_TERMINAL:
        _end(event, record, literal_maps)


def _add_reasons(event: Any, closure: Any) -> None:
    if event.reasons:
        closure.reasons.extend(
            task_execution_pb2.Reason(occurred_at=reason.occurred_at, message=reason.reason) for reason in event.reasons
        )
        closure.reason = event.reasons[-1].reason
    elif event.reason and event.reason != closure.reason:
        closure.reasons.add(occurred_at=event.occurred_at, message=event.reason)
        closure.reason = event.reason


def _end(event: Any, record: Record[task_execution_pb2.TaskExecution], literal_maps: LiteralMaps) -> None:
    closure = record.message.closure
    if closure.HasField("started_at"):
        closure.duration.CopyFrom(event_checks.elapsed(closure.started_at, event.occurred_at))
        record.columns["duration"] = duration_seconds(closure.duration)
    if event.output_uri:
        closure.output_uri = event.output_uri
    elif event.HasField("output_data"):
        closure.output_uri = literal_maps.offload(event.output_data)
    elif event.HasField("error"):
        closure.error.CopyFrom(event.error)


def _replace(field: Any, messages: list[Any]) -> None:
    copies = [type(message).FromString(message.SerializeToString()) for message in messages]
    del field[:]
    field.extend(copies)


def _merged_logs(
    stored: Iterable[execution_pb2.TaskLog], latest: Iterable[execution_pb2.TaskLog]
) -> list[execution_pb2.TaskLog]:
    """The latest logs, then those stored ones that no latest log replaces, by URI or by name."""
    merged = list(latest)
    uris = {log.uri for log in merged}
    names = {log.name for log in merged if log.name}
    return merged + [log for log in stored if log.uri not in uris and log.name not in names]


def _visible(logs: Iterable[execution_pb2.TaskLog], phase: int) -> list[execution_pb2.TaskLog]:
    """The logs that are kept in that phase; the others are gone for good."""
    terminal, pending = phase in phases.TASK_TERMINAL, phase in _PENDING
    return [
        log for log in logs if not (terminal and log.HideOnceFinished) and not (pending and not log.ShowWhilePending)
    ]


def merge_patch(stored: struct_pb2.Struct, patch: struct_pb2.Struct) -> None:
    """Apply a JSON merge patch (RFC 7396): nulls delete keys, objects merge, all else replaces."""
    for key, value in patch.fields.items():
        kind = value.WhichOneof("kind")
        if kind in (None, "null_value"):
            stored.fields.pop(key, None)
        elif kind == "struct_value":
            stored.fields[key].struct_value.SetInParent()
            merge_patch(stored.fields[key].struct_value, value.struct_value)
        else:
            stored.fields[key].CopyFrom(value)


def _merge_metadata(stored: event_pb2.TaskExecutionMetadata, latest: event_pb2.TaskExecutionMetadata) -> None:
    for name in ("generated_name", "plugin_identifier", "instance_class"):
        if getattr(latest, name):
            setattr(stored, name, getattr(latest, name))
    del stored.resource_pool_info[:]
    stored.resource_pool_info.extend(latest.resource_pool_info)
    _merge_resources(stored.external_resources, latest.external_resources)


def _merge_resources(stored: Any, latest: Iterable[event_pb2.ExternalResourceInfo]) -> None:
    """Each to its place; what came unsorted with the first metadata is searched as if it were sorted, as FlyteAdmin
    does."""
    merged = list(stored)
    places = [_place(resource) for resource in merged]
    for resource in latest:
        place = _place(resource)
        index = bisect_left(places, place)
        if index < len(places) and places[index] == place:
            _merge_resource(merged[index], resource)
        else:
            merged.insert(index, event_pb2.ExternalResourceInfo.FromString(resource.SerializeToString()))
            places.insert(index, place)
    if len(merged) > len(stored):
        _replace(stored, merged)


def _merge_resource(stored: event_pb2.ExternalResourceInfo, latest: event_pb2.ExternalResourceInfo) -> None:
    if latest.external_id:
        stored.external_id = latest.external_id
    stored.phase = latest.phase
    if latest.cache_status:
        stored.cache_status = latest.cache_status
    if latest.logs:
        _replace(stored.logs, _merged_logs(stored.logs, latest.logs))
    if latest.HasField("custom_info"):
        stored.custom_info.CopyFrom(latest.custom_info)


def _place(resource: event_pb2.ExternalResourceInfo) -> tuple[int, int]:
    return resource.index, resource.retry_attempt
