"""The digest of a message, by which two of them are told to be the same.

``flytestdlib/pbhash/pbhash.go``: the proto3 JSON of the message, hashed by github.com/benlaurie/objecthash. What is not
set does not count, nor does the order of maps.
"""

from __future__ import annotations

import base64
import math
import struct
from collections.abc import Callable, Iterable
from contextlib import suppress
from functools import cache, lru_cache
from hashlib import sha256
from typing import Any

from google.protobuf import json_format
from google.protobuf.descriptor import FieldDescriptor
from google.protobuf.message import Message

from flytelite.descriptors import is_map, is_repeated

_Hash = Callable[[Any], bytes]


def message_digest(message: Message) -> bytes:
    """The 32 bytes of the message's digest; FlyteAdmin and its cache show them in base64."""
    return _message(message)


def is_same(one: Message, other: Message) -> bool:
    """Whether two messages of one type have the same digest."""
    return one == other or message_digest(one) == message_digest(other)


def _message(message: Message) -> bytes:
    descriptor = message.DESCRIPTOR
    if _is_well_known(descriptor):
        # timestamps, structs and the like have a JSON of their own, unless a value is outside of JSON's range
        with suppress(ValueError, json_format.Error):
            return _json(json_format.MessageToDict(message))
    fields = _fields(descriptor)
    return _object([fields[field.number](value) for field, value in message.ListFields()])


@cache
def _is_well_known(descriptor: Any) -> bool:
    return bool(descriptor.file.package == "google.protobuf")


@cache
def _fields(descriptor: Any) -> dict[int, _Hash]:
    """Of each field by number: what makes the hash of its JSON name and then that of a value."""
    return {field.number: _named(_text(field.json_name), _field(field)) for field in descriptor.fields}


def _named(name: bytes, hash_: _Hash) -> _Hash:
    return lambda value: name + hash_(value)


def _field(field: Any) -> _Hash:
    if is_map(field):
        key, value = field.message_type.fields
        hash_key, hash_value = _map_key(key), _value(value)
        return lambda items: _object(hash_key(name) + hash_value(items[name]) for name in items)
    hash_one = _value(field)
    return (lambda values: _list(map(hash_one, values))) if is_repeated(field) else hash_one


def _map_key(field: Any) -> _Hash:
    is_bool = field.type == FieldDescriptor.TYPE_BOOL
    return lambda key: _text(str(key).lower() if is_bool else str(key))


def _value(field: Any) -> _Hash:
    if field.type == FieldDescriptor.TYPE_BYTES:
        return lambda value: _text(base64.b64encode(value).decode())
    if field.type == FieldDescriptor.TYPE_ENUM:
        names = field.enum_type.values_by_number
        return lambda value: _text(names[value].name) if value in names else _number(value)
    hashes: dict[int, _Hash] = {
        FieldDescriptor.CPPTYPE_MESSAGE: _message,
        FieldDescriptor.CPPTYPE_STRING: _text,
        FieldDescriptor.CPPTYPE_BOOL: _bool,
        FieldDescriptor.CPPTYPE_INT32: _number,
        FieldDescriptor.CPPTYPE_UINT32: _number,
        # as text: JSON numbers do not hold 64 bits
        FieldDescriptor.CPPTYPE_INT64: _integer_text,
        FieldDescriptor.CPPTYPE_UINT64: _integer_text,
        FieldDescriptor.CPPTYPE_DOUBLE: _float,
        FieldDescriptor.CPPTYPE_FLOAT: _single,
    }
    return hashes[field.cpp_type]


def _json(value: Any) -> bytes:
    if isinstance(value, dict):
        return _object(_text(name) + _json(item) for name, item in value.items())
    if isinstance(value, list):
        return _list(map(_json, value))
    if isinstance(value, str):
        return _text(value)
    if value is None:
        return sha256(b"n").digest()
    return _bool(value) if isinstance(value, bool) else _float(value)


def _object(pairs: Iterable[bytes]) -> bytes:
    return sha256(b"d" + b"".join(sorted(pairs))).digest()


def _list(items: Iterable[bytes]) -> bytes:
    return sha256(b"l" + b"".join(items)).digest()


@lru_cache(maxsize=4096)
def _text(value: str) -> bytes:
    return sha256(b"u" + value.encode()).digest()


def _integer_text(value: int) -> bytes:
    return _text(str(value))


def _bool(value: bool) -> bytes:
    return sha256(b"b1" if value else b"b0").digest()


def _float(value: float) -> bytes:
    if not math.isfinite(value):
        return _text("NaN" if math.isnan(value) else ("Infinity" if value > 0 else "-Infinity"))
    return _number(value)


def _single(value: float) -> bytes:
    """A 32 bit float counts as the fewest digits that read back as it."""
    if not math.isfinite(value):
        return _float(value)
    digits = (float(f"{value:.{count}g}") for count in range(6, 10))
    return _float(next(short for short in digits if struct.unpack("f", struct.pack("f", short))[0] == value))


@lru_cache(maxsize=4096)
def _number(value: float) -> bytes:
    """Sign, binary exponent, and the bits of the mantissa, which is above one half and at most one."""
    if value == 0:
        return sha256(b"f+0:").digest()
    mantissa, exponent = math.frexp(abs(value))
    if mantissa == 0.5:
        mantissa, exponent = 1.0, exponent - 1
    bits = []
    while mantissa:
        bits.append("1" if mantissa >= 1 else "0")
        mantissa = (mantissa % 1) * 2
    return sha256(f"f{'-' if value < 0 else '+'}{exponent}:{''.join(bits)}".encode()).digest()
