"""How rows are called, and the columns that entities have alike."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from google.protobuf import timestamp_pb2

from ..rpcs.words import DOMAIN, PROJECT, named
from .columns import COLUMNS, Kind
from .model import Row, Value


def full_row(entity: str, name: Any, columns: Mapping[str, Value], **joined: list[Row]) -> Row:
    unknown = {column: None for column, kind in COLUMNS[entity].items() if kind is Kind.BLOB}
    missing = COLUMNS[entity].keys() - unknown.keys() - columns.keys()
    assert not missing, f"{entity} needs {missing}"
    return Row(name, unknown | dict(columns), joined)


def name_of(item: Any) -> Any:
    """What the model calls an item of an answer."""
    match type(item).__name__:
        case "Project":
            return item.id
        case "NamedEntity" | "Execution":
            return item.id.name
        case "NodeExecution":
            return item.id.node_id
        case "TaskExecution":
            return item.id.task_id.name, item.id.task_id.version, item.id.retry_attempt
        case "Signal":
            return item.id.signal_id
    return item.id.name, item.id.version


def identifier(kind: str, name: str, version: str) -> dict[str, str]:
    return {"resource_type": kind, **named(name), "version": version}


def version_columns(name: str, version: str) -> dict[str, Value]:
    return {"project": PROJECT, "domain": DOMAIN, "name": name, "version": version}


def execution_columns(name: str) -> dict[str, Value]:
    return {"execution_project": PROJECT, "execution_domain": DOMAIN, "execution_name": name}


def time_columns(at: int) -> dict[str, Value]:
    return {"created_at": at, "updated_at": at}


def stamp(nanoseconds: int) -> str:
    stamp = timestamp_pb2.Timestamp()
    stamp.FromNanoseconds(nanoseconds)
    return stamp.ToJsonString()
