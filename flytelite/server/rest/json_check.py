"""What JSON may hold for a message, where protobuf's own reader is more lenient than Go's (``protojson``).

That reader takes ``[]`` or ``""`` for a message without fields, skips over what is no base64, and tells of other wrong
types in the words of Python. grpc-gateway refuses all that by the name of the field (``runtime/marshal_jsonpb.go``).
"""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import cache
from typing import Any, cast

import orjson
from google.protobuf.descriptor import Descriptor, FieldDescriptor
from google.protobuf.message import Message

from flytelite import descriptors

SHOWN = 100
"""Characters of a value that an error quotes."""

_Rule = Callable[[Any, str], None]

_BASE64 = re.compile(
    "|".join(f"(?:{c}{{4}})*(?:{c}{{2}}(?:==)?|{c}{{3}}=?)?" for c in ("[A-Za-z0-9+/]", "[A-Za-z0-9_-]"))
)
_NUMBER = re.compile(r"-?(?:0|[1-9][0-9]*)(?:\.[0-9]+)?(?:[eE][+-]?[0-9]+)?")
_NO_NUMBERS = frozenset({"NaN", "Infinity", "-Infinity"})
_AS_TEXT = frozenset({"google.protobuf.Timestamp", "google.protobuf.Duration", "google.protobuf.FieldMask"})
_ANYTHING = frozenset(
    {"google.protobuf.Any", "google.protobuf.Struct", "google.protobuf.Value", "google.protobuf.ListValue"}
)
_FLOATS = frozenset({FieldDescriptor.CPPTYPE_DOUBLE, FieldDescriptor.CPPTYPE_FLOAT})


def check(value: dict[str, Any], message: Message) -> None:
    """Raise ValueError, naming the field and the value, for what the message's field cannot take.

    Fields that the message does not have are passed over, and so is ``null``, which is as good as nothing.
    """
    _check(value, cast("Descriptor", message.DESCRIPTOR), "")


def _check(value: dict[str, Any], descriptor: Descriptor, path: str) -> None:
    checks = _checks(descriptor)
    for name, inner in value.items():
        if inner is not None and name in checks:
            checks[name](inner, f"{path}.{name}" if path else name)


@cache
def _checks(descriptor: Descriptor) -> dict[str, _Rule]:
    """How to check the fields, by the names in both spellings."""
    checks = {}
    for field in descriptor.fields:
        checks[field.name] = checks[field.json_name] = _of_field(field)
    return checks


def _of_field(field: FieldDescriptor) -> _Rule:
    if descriptors.is_map(field):
        assert field.message_type is not None
        return _in_map(_of_single(field.message_type.fields_by_name["value"]))
    one = _of_single(field)
    return _in_list(one) if descriptors.is_repeated(field) else one


def _in_map(one: _Rule) -> _Rule:
    def check_map(value: Any, path: str) -> None:
        _demand(isinstance(value, dict), value, path, "an object is needed")
        for key, inner in value.items():
            _demand_something(inner, f"{path}[{key}]", one)

    return check_map


def _in_list(one: _Rule) -> _Rule:
    def check_list(value: Any, path: str) -> None:
        _demand(isinstance(value, list), value, path, "a list is needed")
        for place, inner in enumerate(value):
            _demand_something(inner, f"{path}[{place}]", one)

    return check_list


def _of_single(field: FieldDescriptor) -> _Rule:
    if field.message_type is not None:
        return _of_message(field.message_type)
    if field.enum_type is not None:
        return _anything if field.enum_type.full_name == "google.protobuf.NullValue" else _enum
    if field.type == FieldDescriptor.TYPE_BYTES:
        return _bytes
    if field.cpp_type == FieldDescriptor.CPPTYPE_STRING:
        return _text
    if field.cpp_type == FieldDescriptor.CPPTYPE_BOOL:
        return _bool
    return _float if field.cpp_type in _FLOATS else _integer


def _of_message(descriptor: Descriptor) -> _Rule:
    kind = descriptor.full_name
    if kind in _AS_TEXT:
        return _text
    if kind in _ANYTHING:
        return _anything
    if kind.startswith("google.protobuf.") and kind.endswith("Value"):
        return _of_single(descriptor.fields_by_name["value"])

    def check_message(value: Any, path: str) -> None:
        _demand(isinstance(value, dict), value, path, "an object is needed")
        _check(value, descriptor, path)

    return check_message


def _anything(value: Any, path: str) -> None:
    pass


def _text(value: Any, path: str) -> None:
    _demand(isinstance(value, str), value, path, "a string is needed")


def _bytes(value: Any, path: str) -> None:
    """Base64 of either alphabet, with or without padding, in one line or several."""
    unbroken = value.replace("\r", "").replace("\n", "") if isinstance(value, str) else None
    fits = unbroken is not None and _BASE64.fullmatch(unbroken) is not None
    _demand(fits, value, path, "base64 is needed")


def _bool(value: Any, path: str) -> None:
    _demand(isinstance(value, bool), value, path, "true or false is needed")


def _enum(value: Any, path: str) -> None:
    _demand(isinstance(value, str) or _is_whole(value), value, path, "a name or a number is needed")


def _integer(value: Any, path: str) -> None:
    _demand(_is_whole(value), value, path, "a whole number is needed")


def _float(value: Any, path: str) -> None:
    fits = _is_number(value) or (isinstance(value, str) and value in _NO_NUMBERS)
    _demand(fits, value, path, "a number is needed")


def _is_number(value: Any) -> bool:
    if isinstance(value, str):
        return _NUMBER.fullmatch(value) is not None
    return isinstance(value, int | float) and not isinstance(value, bool)


def _is_whole(value: Any) -> bool:
    return _is_number(value) and (isinstance(value, int) or float(value).is_integer())


def _demand_something(value: Any, path: str, one: _Rule) -> None:
    """``null`` is no element, except of what may be anything."""
    _demand(value is not None or one is _anything, value, path, "something is needed")
    one(value, path)


def _demand(fits: bool, value: Any, path: str, needed: str) -> None:
    if not fits:
        text = orjson.dumps(value).decode()
        shown = text if len(text) <= SHOWN else f"{text[:SHOWN]}..."
        raise ValueError(f'parsing field "{path}": {shown} is not valid: {needed}')
