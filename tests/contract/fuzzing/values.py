"""Values that nobody sends on purpose, for every kind of field."""

from __future__ import annotations

from collections.abc import Callable
from random import Random
from typing import Any

from google.protobuf import struct_pb2
from google.protobuf.descriptor import FieldDescriptor

LARGE = 1_000_000
"""Bytes of the largest texts."""

NAMES = ["flytesnacks", "development", "double", "v1", "run", "n0", "start-node", "end-node", "x", "o0", "go", "child"]
TEXTS = [
    *("", " ", "\0", "\n", "é", "語", "\U0001f600", "\u202e", "\ufeff", "a" * 63, "a" * 64, "A" * 300, "-", ".", ".."),
    *("../../x", "a/b", "a//b", "%2F", "%", "%zz", "a b", "a+b", "{bucket}", '"', "'; drop table", "\\", "<b>", "$(x)"),
    *("0", "-1", "1.5", "1e9", "9" * 30, "9" * 5000, "0x10", "NaN", "true", "null", "None", "[]", "{}", "\x7f\x80"),
    *("1e999999", "1E400", "500m", "-5Gi", "99999999999999999999Ei", "1.1.1", ".", "5.", "+1", "1e3Gi", "1n"),
    *("* * * * *", "*/0 * * * *", "60 * * * *", "5-1 * * * *", "@every 1ns", "@every 99999999h", "@every -1s", "@"),
    *("TZ=../../etc/passwd * * * * *", "CRON_TZ= * * * * *", "1-99999999999 * * * *", "*/99999999999 * * * *"),
    *(
        "flyte://v1/a/b/c/d/i",
        "flyte://v1/a/b/c/d/99999999999999999999/i",
        "flyte://",
        "s3://b/k",
        "file:///etc/passwd",
    ),
    *("9999-12-31T23:59:59.999999999+00:00", "0001-01-01T00:00:00+14:00", "2024-13-01", "2024-01-01T00:00:00-99:99"),
    *("created_at", "id", "deleted_at", "closure", "workflow.name", ".flytegen.double", "message", "extra", "key"),
]
FUNCTIONS = ["eq", "ne", "gt", "gte", "lt", "lte", "contains", "not_like", "value_in", "value_not_in", "like", ""]
COLUMNS = [
    *("name", "version", "created_at", "updated_at", "deleted_at", "id", "state", "phase", "duration", "mode", "user"),
    *("execution_name", "workflow.name", "task.name", "launch_plan.version", "execution.phase", "execution_tag.key"),
    *("admin_tag.name", "named_entity_metadata.state", "retry_attempt", "node_execution.phase", "project.name", "a.b"),
    *("started_at", "identifier", "schedule_type", "resource_type", "error_code", "signal_id", "entities.name", "."),
]
INTEGERS = [0, 1, 2, 3, 7, 25, 77, 100, 1000, 1 << 31, (1 << 31) - 1, (1 << 32) - 1, (1 << 63) - 1, (1 << 64) - 1]
FLOATS = [0.0, -0.0, 1.5, -1.0, 1e308, 5e-324, float("nan"), float("inf"), float("-inf")]
SECONDS = [0, 1, -1, 1_700_000_000, 253402300799, 253402300800, -62135596800, -62135596801, (1 << 63) - 1, -(1 << 63)]
NANOS = [0, 1, -1, 999_999_999, 1_000_000_000, (1 << 31) - 1, -(1 << 31)]

_RANGES = {
    FieldDescriptor.CPPTYPE_INT32: (-(1 << 31), (1 << 31) - 1),
    FieldDescriptor.CPPTYPE_INT64: (-(1 << 63), (1 << 63) - 1),
    FieldDescriptor.CPPTYPE_UINT32: (0, (1 << 32) - 1),
    FieldDescriptor.CPPTYPE_UINT64: (0, (1 << 64) - 1),
}


def scalar(random: Random, field: FieldDescriptor) -> Any:
    """A value that the field takes."""
    if field.enum_type is not None:
        known = [value.number for value in field.enum_type.values]
        return random.choice([*known, *known, -1, 77, (1 << 31) - 1])
    if field.type == FieldDescriptor.TYPE_BYTES:
        return random.choice([b"", b"\0", b"\xff" * 16, random.randbytes(40), b"x" * (LARGE if _rarely(random) else 9)])
    if field.cpp_type in _RANGES:
        low, high = _RANGES[field.cpp_type]
        return max(low, min(high, random.choice(INTEGERS) * random.choice([1, 1, 1, -1])))
    if field.cpp_type == FieldDescriptor.CPPTYPE_BOOL:
        return random.random() < 0.5
    if field.cpp_type == FieldDescriptor.CPPTYPE_STRING:
        return text(random, field.name)
    return random.choice(FLOATS)


def text(random: Random, name: str = "") -> str:
    """A text; fields named ``filters`` also get filters, near misses among them."""
    if name == "filters" and random.random() < 0.8:
        return "+".join(_filter(random) for _ in range(random.choice([1, 1, 1, 2, 3, 40])))
    if _rarely(random):
        return random.choice(["x", "é", "(", "a,", "+", "%", "/", "\0"]) * (LARGE // 2)
    if random.random() < 0.4:
        return random.choice(NAMES)
    if random.random() < 0.8:
        return random.choice(TEXTS)
    return "".join(chr(random.choice([random.randrange(1, 128), random.randrange(0xE000, 0x11000)])) for _ in range(9))


def _filter(random: Random) -> str:
    values = ";".join(random.choice([*TEXTS, *NAMES]) for _ in range(random.choice([1, 1, 1, 2, 30])))
    written = f"{random.choice(FUNCTIONS)}({random.choice(COLUMNS)},{values})"
    return random.choice([written, written, written, written[:-1], written[::-1], f"({written}", "(" * 50 + written])


def _rarely(random: Random) -> bool:
    return random.random() < 0.004


def _timestamp(random: Random, message: Any) -> None:
    message.seconds, message.nanos = random.choice(SECONDS), random.choice(NANOS)


def _value(random: Random, message: Any) -> None:
    kind = random.randrange(6)
    if kind == 0:
        message.number_value = random.choice(FLOATS)
    elif kind == 1:
        message.string_value = text(random)
    elif kind == 2:
        message.null_value = struct_pb2.NULL_VALUE
    elif kind == 3:
        message.list_value.values.add().bool_value = True
    elif kind == 4:
        _struct(random, message.struct_value)


def _struct(random: Random, message: Any) -> None:
    keys = ["containers", "resources", "requests", "cpu", "name", "", random.choice(TEXTS)]
    _value(random, message.fields[random.choice(keys)])


def _any(random: Random, message: Any) -> None:
    types = ["", "x", "type.googleapis.com/google.protobuf.Duration", "type.googleapis.com/flyteidl.admin.Project"]
    message.type_url, message.value = random.choice(types), random.choice([b"", b"\xff\xff", b"\x0a\x01a"])


WELL_KNOWN: dict[str, Callable[[Random, Any], None]] = {
    "google.protobuf.Any": _any,
    "google.protobuf.Duration": _timestamp,
    "google.protobuf.Struct": _struct,
    "google.protobuf.Timestamp": _timestamp,
    "google.protobuf.Value": _value,
}
