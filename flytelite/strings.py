"""Every string inside a message or a document, to look at or to replace: where URIs and paths are.

flytekit packs dataclasses and pydantic models as MessagePack into a ``Binary``, paths of files among them, so these
are opened too.
"""

from __future__ import annotations

from base64 import b64decode, b64encode
from collections.abc import Callable
from typing import Any

from google.protobuf.message import Message

Change = Callable[[str], str]

MSGPACK = "msgpack"
_BINARY = "flyteidl.core.Binary"


def in_document(value: Any, change: Change) -> Any:
    """A copy of a JSON value with each string, except the keys of objects, replaced by what ``change`` makes of it."""
    if isinstance(value, str):
        return change(value)
    if isinstance(value, list):
        return [in_document(item, change) for item in value]
    if not isinstance(value, dict):
        return value
    if value.get("tag") == MSGPACK and value.keys() == {"tag", "value"} and isinstance(value["value"], str):
        try:
            content = b64decode(value["value"], validate=True)
        except ValueError:
            pass  # not a Binary but a user's own object of that shape
        else:
            return {"tag": MSGPACK, "value": b64encode(in_msgpack(content, change)).decode()}
    return {key: in_document(item, change) for key, item in value.items()}


def in_message(message: Message, change: Change) -> None:
    """The same inside a message, in place."""
    if message.DESCRIPTOR.full_name == _BINARY:
        binary: Any = message
        if binary.tag == MSGPACK:
            binary.value = in_msgpack(binary.value, change)
        return
    for field, value in message.ListFields():
        if field.message_type is not None and field.message_type.GetOptions().map_entry:
            _in_map(value, change)
        elif isinstance(value, str):
            setattr(message, field.name, change(value))
        elif isinstance(value, Message):
            in_message(value, change)
        elif field.type == field.TYPE_MESSAGE:
            for item in value:
                in_message(item, change)
        elif field.type == field.TYPE_STRING:
            value[:] = [change(item) for item in value]


def strings_of(value: Any) -> set[str]:
    """Every such string of a message or a JSON value."""
    found: set[str] = set()

    def look(text: str) -> str:
        found.add(text)
        return text

    if isinstance(value, Message):
        in_message(value, look)
    else:
        in_document(value, look)
    return found


def in_msgpack(content: bytes, change: Change) -> bytes:
    """The same inside a MessagePack value; what is none, or does not change, stays byte for byte."""
    import msgpack  # type: ignore[import-untyped]  # flytekit's own; most data has none of it

    try:
        value = msgpack.unpackb(content, strict_map_key=False)
    except (ValueError, TypeError, RecursionError, msgpack.UnpackException):
        return content
    changed = _in_value(value, change)
    return content if changed == value else bytes(msgpack.packb(changed))


def _in_map(map: Any, change: Change) -> None:
    for key in list(map):
        value = map[key]
        if isinstance(value, Message):
            in_message(value, change)
        elif isinstance(value, str):
            map[key] = change(value)


def _in_value(value: Any, change: Change) -> Any:
    if isinstance(value, str):
        return change(value)
    if isinstance(value, list):
        return [_in_value(item, change) for item in value]
    if isinstance(value, dict):
        return {key: _in_value(item, change) for key, item in value.items()}
    return value
