"""The rows of the table: one call each, what is there before it, what it answers and what is there after it.

Requests are proto3 JSON with the names of the proto files. ``{bucket}`` in a text stands for the bucket's directory.
"""

from __future__ import annotations

import copy
import json
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from google.protobuf import json_format

from flytelite.errors import Code
from flytelite.server import api

METHODS = {method.name.rpartition(".")[2]: method for method in api.methods()}
"""By service and method: ``AdminService/GetTask``."""


@dataclass(frozen=True)
class Call:
    """One RPC. ``method`` is a key of METHODS; ``edit`` puts into the message what JSON cannot say."""

    method: str
    request: Mapping[str, Any] = field(default_factory=dict)
    edit: Callable[[Any], None] | None = None

    def message(self, bucket: str) -> Any:
        """The request; ``bucket`` replaces what stands for it."""
        filled = json.loads(json.dumps(self.request).replace("{bucket}", bucket))
        message = json_format.ParseDict(filled, METHODS[self.method].request_class())
        if self.edit is not None:
            self.edit(message)
        return message


@dataclass(frozen=True)
class Row:
    """A call with its outcome.

    ``answer`` and ``details`` hold what has to be in the answer or in the error's details, see ``lacks``; ``message``
    is what the error says, or a part of it. ``varies`` names fields of the answer that no two servers agree on.
    """

    call: Call
    title: str
    code: Code = Code.OK
    answer: Any = field(default_factory=dict)
    message: str = ""
    details: Sequence[Any] = ()
    given: Sequence[Call] = ()
    then: Sequence[tuple[Call, Any]] = ()
    varies: Sequence[str] = ()
    objects: Mapping[str, bytes] = field(default_factory=dict)
    settings: Mapping[str, Any] = field(default_factory=dict)

    def __str__(self) -> str:
        return f"{self.call.method.partition('/')[2]}: {self.title}"


def succeeds(method: str, title: str, request: Mapping[str, Any], answer: Any = None, **fields: Any) -> Row:
    return Row(Call(method, request), title, answer={} if answer is None else answer, **fields)


def fails(method: str, title: str, request: Mapping[str, Any], code: Code, message: str, **fields: Any) -> Row:
    return Row(Call(method, request), title, code, message=message, **fields)


def refused(method: str, title: str, request: Mapping[str, Any], message: str, **fields: Any) -> Row:
    """With INVALID_ARGUMENT, as most errors are."""
    return fails(method, title, request, Code.INVALID_ARGUMENT, message, **fields)


def edited(row: Row, edit: Callable[[Any], None]) -> Row:
    """The row with a request that JSON cannot say."""
    return replace(row, call=replace(row.call, edit=edit))


def changed(request: Mapping[str, Any], **changes: Any) -> dict[str, Any]:
    """A copy with other values; ``spec__template__type`` is a path, a number in it a place of a list, None removes."""
    result: Any = copy.deepcopy(dict(request))
    for path, value in changes.items():
        *parents, last = (int(part) if part.isdigit() else part for part in path.split("__"))
        holder = result
        for part in parents:
            holder = holder[part] if isinstance(holder, list) else holder.setdefault(part, {})
        if value is None:
            holder.pop(last)
        else:
            holder[last] = value
    return dict(result)


def lacks(expected: Any, actual: Any, path: str = "") -> str:
    """Where ``actual`` lacks something of ``expected``; empty when it has everything.

    Of objects only the named fields are compared, and None says that a field is not there; a compiled pattern matches
    a whole text; lists have the same length.
    """
    if isinstance(expected, re.Pattern):
        return "" if isinstance(actual, str) and expected.fullmatch(actual) else f"{path}: {actual!r} is no {expected}"
    if isinstance(expected, Mapping):
        if not isinstance(actual, Mapping):
            return f"{path}: {actual!r} is no object"
        for name, value in expected.items():
            if value is None and name in actual:
                return f"{path}.{name}: {actual[name]!r} is there"
            if value is not None and (problem := lacks(value, actual.get(name), f"{path}.{name}")):
                return problem
        return ""
    if isinstance(expected, list):
        if not isinstance(actual, list) or len(actual) != len(expected):
            return f"{path}: {actual!r} has not {len(expected)} items"
        problems = (lacks(*pair, f"{path}[{index}]") for index, pair in enumerate(zip(expected, actual, strict=True)))
        return next(filter(None, problems), "")
    return "" if expected == actual else f"{path}: {actual!r} is not {expected!r}"


def as_dict(message: Any) -> Any:
    """Proto3 JSON with the names of the proto files."""
    return json_format.MessageToDict(message, preserving_proto_field_name=True)
