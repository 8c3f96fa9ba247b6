"""Messages as proto3 JSON: what ``json_format.MessageToDict`` makes of them, in a part of the time.

The library asks of each field of each message what it is; here that is asked once for each type. What a type's JSON
cannot say is left to the library, which says why.
"""

from __future__ import annotations

import math
from base64 import b64encode
from collections.abc import Callable
from datetime import datetime, timedelta
from functools import cache, lru_cache
from typing import Any

from google.protobuf import json_format
from google.protobuf.descriptor import Descriptor, EnumDescriptor, FieldDescriptor
from google.protobuf.internal.type_checkers import ToShortestFloat
from google.protobuf.message import Message

from flytelite.descriptors import is_map, is_repeated

_Convert = Callable[[Any], Any]

_EPOCH = datetime(1970, 1, 1)
_MIN_SECONDS, _MAX_SECONDS = -62135596800, 253402300799  # the years 1 to 9999
_MAX_DURATION = 315576000000
_NANOS = 1_000_000_000


def print_message(message: Message) -> dict[str, Any]:
    """The message as a JSON object, with names in camel case and without what is not set.

    Raises ``json_format.SerializeToJsonError`` or ValueError for what proto3 JSON cannot say.
    """
    try:
        printed: dict[str, Any] = _converter(message.DESCRIPTOR)(message)
    except (TypeError, ValueError, KeyError):
        return json_format.MessageToDict(message)
    return printed


@cache
def _converter(descriptor: Descriptor) -> _Convert:
    special = _WELL_KNOWN.get(descriptor.full_name)
    if special is not None:
        return special
    if descriptor.file.name == "google/protobuf/wrappers.proto":
        value = _single(descriptor.fields_by_name["value"]) or _same
        return lambda message: value(message.value)
    if descriptor.full_name.startswith("google.protobuf."):
        return json_format.MessageToDict
    fields: dict[int, tuple[str, _Convert | None]] = {}

    def convert(message: Message) -> dict[str, Any]:
        if not fields:  # filled at the first use, since messages contain themselves
            fields.update((field.number, (field.json_name, _field(field))) for field in descriptor.fields)
        printed = {}
        for field, value in message.ListFields():
            name, of_value = fields[field.number]
            printed[name] = value if of_value is None else of_value(value)
        return printed

    return convert


def _field(field: FieldDescriptor) -> _Convert | None:
    """None where JSON takes the value as it is."""
    if is_map(field):
        return _map(field)
    convert = _single(field)
    if not is_repeated(field):
        return convert
    return list if convert is None else lambda values: [convert(value) for value in values]


def _map(field: FieldDescriptor) -> _Convert:
    assert field.message_type is not None
    key, value = (field.message_type.fields_by_name[name] for name in ("key", "value"))
    convert_key: _Convert = {True: "true", False: "false"}.__getitem__ if key.type == FieldDescriptor.TYPE_BOOL else str
    convert = _single(value)
    if convert is None:
        return lambda items: {convert_key(name): items[name] for name in items}
    return lambda items: {convert_key(name): convert(items[name]) for name in items}


def _single(field: FieldDescriptor) -> _Convert | None:
    if field.message_type is not None:
        return _converter(field.message_type)
    if field.enum_type is not None:
        return _enum(field.enum_type)
    if field.type == FieldDescriptor.TYPE_BYTES:
        return lambda value: b64encode(value).decode()
    return _SCALARS.get(field.cpp_type)


def _enum(enum: EnumDescriptor) -> _Convert:
    if enum.full_name == "google.protobuf.NullValue":
        return lambda number: None
    names = {number: value.name for number, value in enum.values_by_number.items()}
    if enum.is_closed:
        return names.__getitem__
    return lambda number: names.get(number, number)


def _same(value: Any) -> Any:
    return value


def _double(value: float) -> float | str:
    if math.isfinite(value):
        return value
    return "NaN" if math.isnan(value) else "Infinity" if value > 0 else "-Infinity"


def _float(value: float) -> float | str:
    return ToShortestFloat(value) if math.isfinite(value) else _double(value)


_SCALARS: dict[int, _Convert] = {
    FieldDescriptor.CPPTYPE_INT64: str,
    FieldDescriptor.CPPTYPE_UINT64: str,
    FieldDescriptor.CPPTYPE_DOUBLE: _double,
    FieldDescriptor.CPPTYPE_FLOAT: _float,
}


def _timestamp(message: Any) -> str:
    seconds, nanos = message.seconds, message.nanos
    if not (_MIN_SECONDS <= seconds <= _MAX_SECONDS and 0 <= nanos < _NANOS):
        raise ValueError(message)
    return f"{_second(seconds)}{_fraction(nanos)}Z"


@lru_cache(maxsize=1024)  # what belongs together happens together
def _second(seconds: int) -> str:
    return (_EPOCH + timedelta(seconds=seconds)).isoformat()


def _duration(message: Any) -> str:
    seconds, nanos = message.seconds, message.nanos
    if abs(seconds) > _MAX_DURATION or abs(nanos) >= _NANOS or (nanos and (seconds < 0 < nanos or nanos < 0 < seconds)):
        raise ValueError(message)
    sign = "-" if seconds < 0 or nanos < 0 else ""
    return f"{sign}{abs(seconds)}{_fraction(abs(nanos))}s"


def _fraction(nanos: int) -> str:
    """A part of a second in 0, 3, 6 or 9 digits."""
    if not nanos:
        return ""
    if not nanos % 1_000_000:
        return f".{nanos // 1_000_000:03d}"
    return f".{nanos:09d}" if nanos % 1000 else f".{nanos // 1000:06d}"


def _value(message: Any) -> Any:
    kind = message.WhichOneof("kind")
    if kind in ("string_value", "bool_value"):
        return getattr(message, kind)
    if kind == "struct_value":
        return _struct(message.struct_value)
    if kind == "number_value":
        if not math.isfinite(message.number_value):
            raise ValueError(message)
        return message.number_value
    return _list_value(message.list_value) if kind == "list_value" else None


def _struct(message: Any) -> dict[str, Any]:
    fields = message.fields
    return {name: _value(fields[name]) for name in fields}


def _list_value(message: Any) -> list[Any]:
    return [_value(value) for value in message.values]


_WELL_KNOWN: dict[str, _Convert] = {
    "google.protobuf.Timestamp": _timestamp,
    "google.protobuf.Duration": _duration,
    "google.protobuf.Struct": _struct,
    "google.protobuf.ListValue": _list_value,
    "google.protobuf.Value": _value,
}
