"""How two versions of a thing differ, one changed path after the other."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from google.protobuf import json_format
from google.protobuf.message import Message

MAX_BYTES = 3 * 1024 * 1024
"""An error message must fit into a gRPC response with room to spare."""

_CUT = "\n... (more differences than fit into one message)"
_ABSENT = object()


def different_structure(name: str, noun: str, old: Message, new: Message) -> str:
    """The error text for a registration that contradicts an earlier one (flyteadmin/pkg/errors/errors.go).

    Each changed path of the two messages as JSON is followed by its old and its new value.
    """
    text = f"{name} {noun} with different structure already exists. (Please register a new version of the {noun}):\n"
    try:
        text += "\n".join(_lines("", _json(old), _json(new)))
    except (json_format.SerializeToJsonError, ValueError) as error:
        text += f"the difference cannot be shown: {error}"
    encoded = text.encode()
    if len(encoded) <= MAX_BYTES:
        return text
    return encoded[: MAX_BYTES - len(_CUT)].decode(errors="ignore") + _CUT


def _json(message: Message) -> Any:
    return json_format.MessageToDict(message, preserving_proto_field_name=True)


def _lines(path: str, old: Any, new: Any) -> Iterator[str]:
    if isinstance(old, dict) and isinstance(new, dict):
        for key in sorted(old.keys() | new.keys()):
            yield from _lines(f"{path}/{key}", old.get(key, _ABSENT), new.get(key, _ABSENT))
    elif isinstance(old, list) and isinstance(new, list):
        for index in range(max(len(old), len(new))):
            yield from _lines(
                f"{path}/{index}", *(side[index] if index < len(side) else _ABSENT for side in (old, new))
            )
    elif old != new:
        removed = "" if old is _ABSENT else f"\n\t- {_shown(old)} "
        added = "" if new is _ABSENT else f"\n\t+ {_shown(new)}"
        yield f"{path or '/'}:{removed}{added}"


def _shown(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
