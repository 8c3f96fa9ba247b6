"""Messages as proto3 JSON with every unset field written, as Go's protojson does with EmitUnpopulated.

Python's own ``json_format`` leaves out the ``null`` of unset messages, and is slower.
"""

from __future__ import annotations

import math
from base64 import b64encode
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from typing import Any

from google.protobuf import descriptor_pool
from google.protobuf.descriptor import Descriptor, EnumDescriptor, FieldDescriptor
from google.protobuf.internal.type_checkers import ToShortestFloat
from google.protobuf.message import Message
from google.protobuf.message_factory import GetMessageClass

from flytelite import descriptors

_Convert = Callable[[Any], Any]


def to_json(message: Message, camel_case: bool) -> Any:
    """The message as what a JSON encoder takes. Raises ValueError for a Timestamp or Duration out of range.

    Singular messages are ``null`` when unset, members of a oneof are left out, names are the proto's own or in camel
    case (``google.golang.org/protobuf/encoding/protojson``).
    """
    return _converter(message.DESCRIPTOR, camel_case)(message)


@dataclass(frozen=True)
class _Field:
    """How one field is read and written. ``explicit`` fields know whether they are set."""

    attribute: str
    key: str
    convert: _Convert
    explicit: bool
    omitted_when_unset: bool


@cache
def _converter(descriptor: Descriptor, camel_case: bool) -> _Convert:
    special = _WELL_KNOWN.get(descriptor.full_name)
    if special is not None:
        return lambda message: special(message, camel_case)
    fields: list[_Field] = []

    def convert(message: Message) -> dict[str, Any]:
        if not fields:  # filled at the first use, since messages contain themselves
            fields.extend(_field(field, camel_case) for field in descriptor.fields)
        result: dict[str, Any] = {}
        for field in fields:
            if not field.explicit or message.HasField(field.attribute):
                result[field.key] = field.convert(getattr(message, field.attribute))
            elif not field.omitted_when_unset:
                result[field.key] = None
        return result

    return convert


def _field(field: FieldDescriptor, camel_case: bool) -> _Field:
    convert = _single(field, camel_case)
    if descriptors.is_map(field):
        convert = _map(field, camel_case)
    elif descriptors.is_repeated(field):
        convert = _list(convert)
    return _Field(
        attribute=field.name,
        key=field.json_name if camel_case else field.name,
        convert=convert,
        explicit=field.has_presence,
        omitted_when_unset=field.containing_oneof is not None,
    )


def _list(convert: _Convert) -> _Convert:
    return lambda values: [convert(value) for value in values]


def _map(field: FieldDescriptor, camel_case: bool) -> _Convert:
    assert field.message_type is not None
    convert = _single(field.message_type.fields_by_name["value"], camel_case)

    def convert_map(values: Any) -> dict[str, Any]:
        return {_key(key): convert(values[key]) for key in sorted(values)}

    return convert_map


def _key(key: Any) -> str:
    return str(key).lower() if isinstance(key, bool) else str(key)


def _single(field: FieldDescriptor, camel_case: bool) -> _Convert:
    if field.message_type is not None:
        return _converter(field.message_type, camel_case)
    if field.enum_type is not None:
        return _enum(field.enum_type)
    if field.type == FieldDescriptor.TYPE_FLOAT:
        return lambda value: _number(ToShortestFloat(value) if math.isfinite(value) else value)
    return _SCALARS.get(field.cpp_type if field.type != FieldDescriptor.TYPE_BYTES else -1, _same)


def _enum(enum: EnumDescriptor) -> _Convert:
    if enum.full_name == "google.protobuf.NullValue":
        return lambda number: None
    names = {value.number: value.name for value in reversed(enum.values)}
    return lambda number: names.get(number, number)


def _same(value: Any) -> Any:
    return value


def _number(value: float) -> float | str:
    if math.isfinite(value):
        return value
    return "NaN" if math.isnan(value) else "Infinity" if value > 0 else "-Infinity"


def _base64(value: bytes) -> str:
    return b64encode(value).decode()


_SCALARS: dict[int, _Convert] = {
    FieldDescriptor.CPPTYPE_INT64: str,
    FieldDescriptor.CPPTYPE_UINT64: str,
    FieldDescriptor.CPPTYPE_DOUBLE: _number,
    -1: _base64,
}


def _text(message: Any, camel_case: bool) -> Any:
    return message.ToJsonString()


def _wrapper(message: Any, camel_case: bool) -> Any:
    return _single(message.DESCRIPTOR.fields_by_name["value"], camel_case)(message.value)


def _struct(message: Any, camel_case: bool) -> Any:
    return {key: _value(message.fields[key], camel_case) for key in sorted(message.fields)}


def _list_value(message: Any, camel_case: bool) -> Any:
    return [_value(value, camel_case) for value in message.values]


def _value(message: Any, camel_case: bool) -> Any:
    match message.WhichOneof("kind"):
        case None | "null_value":
            return None
        case "struct_value":
            return _struct(message.struct_value, camel_case)
        case "list_value":
            return _list_value(message.list_value, camel_case)
        case "number_value":
            return _number(message.number_value)
        case kind:
            return getattr(message, kind)


def _any(message: Any, camel_case: bool) -> Any:
    if not message.type_url:
        return {}
    name = message.type_url.rpartition("/")[2]
    try:
        descriptor = descriptor_pool.Default().FindMessageTypeByName(name)
    except KeyError:
        # A type only the client knows: its bytes are all there is to show.
        return {"@type": message.type_url, "value": _base64(message.value)}
    content = to_json(GetMessageClass(descriptor).FromString(message.value), camel_case)
    if name in _WELL_KNOWN:
        return {"@type": message.type_url, "value": content}
    return {"@type": message.type_url, **content}


_WELL_KNOWN: dict[str, Callable[[Any, bool], Any]] = {
    "google.protobuf.Any": _any,
    "google.protobuf.Duration": _text,
    "google.protobuf.FieldMask": _text,
    "google.protobuf.ListValue": _list_value,
    "google.protobuf.Struct": _struct,
    "google.protobuf.Timestamp": _text,
    "google.protobuf.Value": _value,
    **{
        f"google.protobuf.{kind}Value": _wrapper
        for kind in ("Bool", "Bytes", "Double", "Float", "Int32", "Int64", "String", "UInt32", "UInt64")
    },
}
