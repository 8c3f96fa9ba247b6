"""Messages as one line of proto text, the way FlyteAdmin's messages show identifiers, types and bindings.

That form differs from ``google.protobuf.text_format`` in its punctuation and in the order of fields (as declared).
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from decimal import Decimal
from typing import Any

from google.protobuf.descriptor import FieldDescriptor
from google.protobuf.message import Message

from flytelite.descriptors import is_map, is_repeated

_ESCAPES = {'"': '\\"', "\\": "\\\\", "\n": "\\n", "\r": "\\r", "\t": "\\t"}


def proto_text(message: Message) -> str:
    """The message as one line: ``name:value`` fields in the order of declaration, messages in braces."""
    present = {field.number: value for field, value in message.ListFields()}
    parts = (
        text
        for field in message.DESCRIPTOR.fields
        if field.number in present
        for text in _field(field, present[field.number])
    )
    return " ".join(parts)


def _field(field: Any, value: Any) -> Iterator[str]:
    if is_map(field):
        key, item = field.message_type.fields
        for name in sorted(value):
            yield f"{field.name}:{{key:{_value(key, name)} value:{_value(item, value[name])}}}"
    elif is_repeated(field):
        for one in value:
            yield f"{field.name}:{_value(field, one)}"
    else:
        yield f"{field.name}:{_value(field, value)}"


def _value(field: Any, value: Any) -> str:
    if field.type == FieldDescriptor.TYPE_MESSAGE:
        return f"{{{proto_text(value)}}}"
    if field.type == FieldDescriptor.TYPE_ENUM:
        known = field.enum_type.values_by_number.get(value)
        return known.name if known is not None else str(value)
    if field.type == FieldDescriptor.TYPE_STRING:
        return _quoted(value)
    if field.type == FieldDescriptor.TYPE_BYTES:
        return _quoted(value.decode("utf-8", "surrogateescape"))
    if field.type == FieldDescriptor.TYPE_BOOL:
        return "true" if value else "false"
    return _float(value) if isinstance(value, float) else str(value)


def _quoted(value: str) -> str:
    return f'"{"".join(_escaped(character) for character in value)}"'


def _escaped(character: str) -> str:
    if character in _ESCAPES:
        return _ESCAPES[character]
    code = ord(character)
    if 0xDC80 <= code <= 0xDCFF:  # a byte that is not UTF-8, see surrogateescape
        code -= 0xDC00
    elif code >= 0x20 and code != 0x7F:
        return character
    return f"\\x{code:02x}"


def _float(value: float) -> str:
    """The fewest digits that read back as the value; with an exponent below 1e-4 and from 1e6 upwards."""
    if not math.isfinite(value):
        return "nan" if math.isnan(value) else ("inf" if value > 0 else "-inf")
    if value == 0:
        return "-0" if math.copysign(1, value) < 0 else "0"
    shortest = Decimal(repr(value)).normalize()
    exponent = shortest.adjusted()
    if -4 <= exponent < 6:
        return f"{shortest:f}"
    return f"{shortest.scaleb(-exponent):f}e{'-' if exponent < 0 else '+'}{abs(exponent):02d}"
