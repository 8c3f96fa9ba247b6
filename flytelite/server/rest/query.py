"""Query parameters and path variables as fields of a request message (grpc-gateway's ``runtime/query.go``)."""

from __future__ import annotations

import binascii
import re
from base64 import urlsafe_b64decode
from collections.abc import Callable, Collection, Sequence
from datetime import timedelta
from typing import Any, cast
from urllib.parse import parse_qsl

from google.protobuf import json_format
from google.protobuf.descriptor import EnumDescriptor, FieldDescriptor
from google.protobuf.message import Message
from google.protobuf.message_factory import GetMessageClass

from flytelite import descriptors
from flytelite.errors import InvalidArgument

FieldPath = tuple[str, ...]

_MAP_KEY = re.compile(r"^(.*)\[(.*)\]$")
_TRUE = frozenset({"1", "t", "T", "TRUE", "true", "True"})
_FALSE = frozenset({"0", "f", "F", "FALSE", "false", "False"})
_DURATION = re.compile(r"([0-9]*\.?[0-9]+)(ns|us|µs|μs|ms|s|m|h)")
_MICROSECONDS = {"ns": 1e-3, "us": 1.0, "µs": 1.0, "μs": 1.0, "ms": 1e3, "s": 1e6, "m": 60e6, "h": 3600e6}


def read_query(query: str, message: Message, bound: Collection[FieldPath]) -> None:
    """Set the fields that the query string names; names nobody knows and fields in ``bound`` are passed over.

    Segments of a name are separated by dots and may have the proto's or the JSON spelling. Raises InvalidArgument
    naming the field and the value that does not fit.
    """
    collected: dict[str, list[str]] = {}
    for name, value in parse_qsl(query, keep_blank_values=True):
        collected.setdefault(name, []).append(value)
    for name, values in collected.items():
        key = _MAP_KEY.match(name)
        path = (key.group(1) if key else name).split(".")
        fields = _resolve(message, path)
        if fields is None or tuple(field.name for field in fields) in bound:
            continue
        if key:
            _set_entry(_parent(message, fields), fields[-1], key.group(2), values)
        else:
            _set(_parent(message, fields), fields[-1], values)


def set_variable(message: Message, path: FieldPath, value: str) -> None:
    """Set a field from a path variable, over what the body said. Raises InvalidArgument for an unusable value."""
    fields = _resolve(message, path)
    assert fields is not None, f"{message.DESCRIPTOR.full_name} has no field {'.'.join(path)}"
    parent: Message = message
    for field in fields[:-1]:
        parent = getattr(parent, field.name)
    _set(parent, fields[-1], [value])


def _resolve(message: Message, path: Sequence[str]) -> list[FieldDescriptor] | None:
    """The descriptors along the path, or None when a name is unknown."""
    descriptor = message.DESCRIPTOR
    fields: list[FieldDescriptor] = []
    for name in path:
        if fields:
            if fields[-1].message_type is None or descriptors.is_repeated(fields[-1]):
                raise InvalidArgument(f'invalid path: "{fields[-1].name}" is not a message')
            descriptor = fields[-1].message_type
        field = next((field for field in descriptor.fields if name in (field.name, field.json_name)), None)
        if field is None:
            return None
        fields.append(cast("FieldDescriptor", field))
    return fields


def _parent(message: Message, fields: Sequence[FieldDescriptor]) -> Message:
    """The message that holds the last field, made on the way. Raises InvalidArgument for a oneof's second member."""
    for position, field in enumerate(fields):
        oneof = field.containing_oneof
        if oneof is not None:
            member = message.WhichOneof(oneof.name)
            if member is not None and (field.message_type is None or member != field.name):
                raise InvalidArgument(f'field already set for oneof "{oneof.name}"')
        if position < len(fields) - 1:
            message = getattr(message, field.name)
            message.SetInParent()
    return message


def _set(parent: Message, field: FieldDescriptor, values: Sequence[str]) -> None:
    if descriptors.is_repeated(field):
        if descriptors.is_map(field):
            raise InvalidArgument(f'field "{field.name}" is a map: write {field.name}[key]=value')
        for value in values:
            if field.message_type is not None:
                getattr(parent, field.name).append(_message(field, value))
            else:
                getattr(parent, field.name).append(_scalar(field, value))
    elif len(values) > 1:
        raise InvalidArgument(f'too many values for field "{field.name}": {", ".join(values)}')
    elif field.message_type is not None:
        getattr(parent, field.name).CopyFrom(_message(field, values[0]))
    else:
        setattr(parent, field.name, _scalar(field, values[0]))


def _set_entry(parent: Message, field: FieldDescriptor, key: str, values: Sequence[str]) -> None:
    entry = field.message_type
    if entry is None or not descriptors.is_map(field):
        raise InvalidArgument(f'field "{field.name}" is not a map')
    if len(values) > 1:
        raise InvalidArgument(f'more than one value provided for key "{key}" in map "{field.name}"')
    entries = getattr(parent, field.name)
    parsed_key = _scalar(entry.fields_by_name["key"], key)
    value = entry.fields_by_name["value"]
    if value.message_type is not None:
        entries[parsed_key].CopyFrom(_message(value, values[0]))
    else:
        entries[parsed_key] = _scalar(value, values[0])


def _scalar(field: FieldDescriptor, text: str) -> Any:
    try:
        return _parse(field, text)
    except ValueError as error:
        raise _unusable(field, text, error) from error


def _unusable(field: FieldDescriptor, text: str, error: Exception) -> InvalidArgument:
    return InvalidArgument(f'parsing field "{field.name}": {text!r} is not valid: {error}')


def _parse(field: FieldDescriptor, text: str) -> Any:
    if field.enum_type is not None:
        return _enum(field.enum_type, text)
    if field.type == FieldDescriptor.TYPE_BYTES:
        return _bytes(text)
    value = _PARSERS[field.cpp_type](text)
    if isinstance(value, int) and not isinstance(value, bool):
        _check_range(field, value)
    return value


def _enum(enum: EnumDescriptor, text: str) -> int:
    value = enum.values_by_name.get(text)
    if value is not None:
        return value.number
    number = _int(text)
    if number not in enum.values_by_number:
        raise ValueError(f"{enum.name} has no value {number}")
    return number


def _bytes(text: str) -> bytes:
    try:
        # validate by hand: the URL alphabet has no strict decoder of its own
        unified = text.replace("+", "-").replace("/", "_")
        if not re.fullmatch(r"[A-Za-z0-9_-]*=*", unified):
            raise ValueError("not base64")
        return urlsafe_b64decode(unified + "=" * (-len(unified) % 4))
    except binascii.Error as error:
        raise ValueError("not base64") from error


def _bool(text: str) -> bool:
    if text in _TRUE or text in _FALSE:
        return text in _TRUE
    raise ValueError("not a boolean")


def _int(text: str) -> int:
    if not re.fullmatch(r"[+-]?[0-9]+", text):
        raise ValueError("not an integer")
    return int(text)


def _check_range(field: FieldDescriptor, value: int) -> None:
    signed = field.cpp_type in (FieldDescriptor.CPPTYPE_INT32, FieldDescriptor.CPPTYPE_INT64)
    bits = 32 if field.cpp_type in (FieldDescriptor.CPPTYPE_INT32, FieldDescriptor.CPPTYPE_UINT32) else 64
    low, high = (-(1 << (bits - 1)), (1 << (bits - 1)) - 1) if signed else (0, (1 << bits) - 1)
    if not low <= value <= high:
        raise ValueError("out of range")


_PARSERS: dict[int, Callable[[str], Any]] = {
    FieldDescriptor.CPPTYPE_BOOL: _bool,
    FieldDescriptor.CPPTYPE_DOUBLE: float,
    FieldDescriptor.CPPTYPE_FLOAT: float,
    FieldDescriptor.CPPTYPE_INT32: _int,
    FieldDescriptor.CPPTYPE_INT64: _int,
    FieldDescriptor.CPPTYPE_STRING: str,
    FieldDescriptor.CPPTYPE_UINT32: _int,
    FieldDescriptor.CPPTYPE_UINT64: _int,
}


def _message(field: FieldDescriptor, text: str) -> Message:
    """A well-known message from its text; no other message has one."""
    assert field.message_type is not None
    kind = field.message_type.full_name
    message: Any = GetMessageClass(field.message_type)()
    try:
        if kind == "google.protobuf.Duration":
            message.FromTimedelta(_duration(text))
        elif kind in ("google.protobuf.Timestamp", "google.protobuf.FieldMask"):
            message.FromJsonString(text)
        elif kind in ("google.protobuf.Struct", "google.protobuf.Value"):
            json_format.Parse(text, message)
        elif kind.startswith("google.protobuf.") and kind.endswith("Value"):
            message.value = _parse(field.message_type.fields_by_name["value"], text)
        else:
            raise ValueError(f"{kind} cannot be written in a URL")
    except (ValueError, OverflowError, json_format.ParseError) as error:
        raise _unusable(field, text, error) from error
    return cast("Message", message)


def _duration(text: str) -> timedelta:
    """Go's spelling (``1h30m``, ``3600s``, ``-1.5s``), of which proto3 JSON's is a part."""
    sign, unsigned = (-1, text[1:]) if text[:1] == "-" else (1, text.removeprefix("+"))
    if unsigned == "0":
        return timedelta()
    parts = _DURATION.findall(unsigned)
    if not parts or "".join(number + unit for number, unit in parts) != unsigned:
        raise ValueError("not a duration such as 1h30m or 3600s")
    return timedelta(microseconds=sign * sum(float(number) * _MICROSECONDS[unit] for number, unit in parts))
