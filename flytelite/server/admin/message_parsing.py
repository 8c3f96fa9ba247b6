"""Messages from proto3 JSON: what ``json_format.ParseDict`` makes of it, in a small part of the time.

A page of a list is a hundred messages with dozens of fields, and the library asks anew of each field of each message
what it is. Here that is asked once for each type; its JSON becomes what the message's constructor takes, which makes
the whole message at once. Whatever is not as the library itself prints it is left to the library.
"""

from __future__ import annotations

from base64 import b64decode
from collections.abc import Callable
from datetime import datetime
from functools import cache
from typing import Any, TypeVar

from google.protobuf import json_format
from google.protobuf.descriptor import Descriptor, EnumDescriptor, FieldDescriptor
from google.protobuf.message import Message
from google.protobuf.message_factory import GetMessageClass

from flytelite.descriptors import is_map, is_repeated

M = TypeVar("M", bound=Message)
_Convert = Callable[[Any], Any]

_EPOCH = datetime(1970, 1, 1)  # all that is compared with it is in UTC
_WRAPPERS = frozenset(
    f"google.protobuf.{kind}Value"
    for kind in ("Bool", "Bytes", "Double", "Float", "Int32", "Int64", "String", "UInt32", "UInt64")
)


def parse(document: dict[str, Any], message_type: type[M]) -> M:
    """The message that a JSON object stands for, without fields that it does not know.

    Raises ``json_format.ParseError`` when the object is no such message.
    """
    try:
        return message_type(**_converter(message_type.DESCRIPTOR)(document))
    except (TypeError, ValueError, KeyError, AttributeError):
        return json_format.ParseDict(document, message_type(), ignore_unknown_fields=True)


@cache
def _converter(descriptor: Descriptor) -> _Convert:
    """From a message's JSON to what stands for the message in a constructor; raises any of the errors above."""
    special = _WELL_KNOWN.get(descriptor.full_name)
    if special is not None:
        return special
    if descriptor.full_name in _WRAPPERS:
        value = _single(descriptor.fields_by_name["value"]) or _same
        return lambda document: {"value": value(document)}
    if descriptor.full_name.startswith("google.protobuf."):
        return lambda document: json_format.ParseDict(document, GetMessageClass(descriptor)())
    fields: dict[str, tuple[str, _Convert | None]] = {}

    def convert(document: dict[str, Any]) -> dict[str, Any]:
        if not fields:  # filled at the first use, since messages contain themselves
            fields.update((field.json_name, (field.name, _field(field))) for field in descriptor.fields)
        made = {}
        for key, value in document.items():
            name, of_value = fields[key]
            made[name] = value if of_value is None else of_value(value)
        return made

    return convert


def _field(field: FieldDescriptor) -> _Convert | None:
    """None where the constructor takes the JSON as it is."""
    if is_map(field):
        return _map(field)
    convert = _single(field)
    if convert is None or not is_repeated(field):
        return convert
    return lambda values: [convert(value) for value in values]


def _map(field: FieldDescriptor) -> _Convert:
    """The values of a map cannot be made by the constructor of the message that holds it."""
    assert field.message_type is not None
    key, value = (field.message_type.fields_by_name[name] for name in ("key", "value"))
    convert_key, convert = _KEYS.get(key.cpp_type, int), _single(value) or _same
    if value.message_type is None:
        return lambda found: {convert_key(name): convert(item) for name, item in found.items()}
    made = GetMessageClass(value.message_type)

    def convert_map(found: dict[str, Any]) -> dict[Any, Message]:
        items = {convert_key(name): convert(item) for name, item in found.items()}
        return {name: made(**item) if isinstance(item, dict) else item for name, item in items.items()}

    return convert_map


def _single(field: FieldDescriptor) -> _Convert | None:
    if field.message_type is not None:
        return _converter(field.message_type)
    if field.enum_type is not None:
        return _enum(field.enum_type)
    if field.type == FieldDescriptor.TYPE_BYTES:
        return lambda text: b64decode(text, validate=True)
    return _SCALARS.get(field.cpp_type)


def _enum(enum: EnumDescriptor) -> _Convert:
    numbers: dict[Any, int] = {value.name: value.number for value in enum.values}
    return lambda value: value if type(value) is int else numbers[value]


def _same(value: Any) -> Any:
    return value


def _long(text: Any) -> int:
    if type(text) is not str:
        raise TypeError(text)
    return int(text)


def _float(value: Any) -> float:
    if isinstance(value, bool):
        raise TypeError(value)
    return float(value)


_SCALARS: dict[int, _Convert] = {
    FieldDescriptor.CPPTYPE_INT64: _long,
    FieldDescriptor.CPPTYPE_UINT64: _long,
    FieldDescriptor.CPPTYPE_DOUBLE: _float,
    FieldDescriptor.CPPTYPE_FLOAT: _float,
}
_KEYS: dict[int, _Convert] = {
    FieldDescriptor.CPPTYPE_STRING: str,
    FieldDescriptor.CPPTYPE_BOOL: {"true": True, "false": False}.__getitem__,
}


def _timestamp(text: str) -> dict[str, int]:
    """``2026-01-01T12:00:00.123456789Z`` as the fields of a Timestamp."""
    if text[-1] != "Z" or text[10] != "T":
        raise ValueError(text)
    since = datetime.fromisoformat(text[:19]) - _EPOCH
    return {"seconds": since.days * 86400 + since.seconds, "nanos": _nanos(text[19:-1])}


def _duration(text: str) -> dict[str, int]:
    """``-1.500s`` as the fields of a Duration."""
    if text[-1] != "s":
        raise ValueError(text)
    seconds, dot, fraction = text[:-1].partition(".")
    nanos = _nanos(dot + fraction)
    return {"seconds": int(seconds), "nanos": -nanos if text[0] == "-" else nanos}


def _nanos(fraction: str) -> int:
    if not fraction:
        return 0
    digits = fraction[1:]
    if fraction[0] != "." or not digits.isdecimal() or len(digits) > 9:
        raise ValueError(fraction)
    return int(digits.ljust(9, "0"))


_WELL_KNOWN: dict[str, _Convert] = {
    "google.protobuf.Timestamp": _timestamp,
    "google.protobuf.Duration": _duration,
}
