"""Each field of each request: missing, oversized, absurd, of a wrong type. What is refused is refused by name."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import httpx
import pytest
from google.protobuf import json_format
from google.protobuf.message import Message

from flytelite import descriptors
from flytelite.errors import Code, FlyteError

from .rows import METHODS, Row
from .server import Server
from .table import ROWS
from .ways import JSON, address

METHOD_NAMES = sorted({row.call.method for row in ROWS if row.code is Code.OK})
EXPECTED = {
    Code.INVALID_ARGUMENT,
    Code.NOT_FOUND,
    Code.ALREADY_EXISTS,
    Code.FAILED_PRECONDITION,
    Code.RESOURCE_EXHAUSTED,
}
LONG, ODD = "x" * 100_000, "\0😀/../%\n"
OWN_WORDS = {
    "artifact_id": ["artifactid"],
    "content_md5": ["is not the key of an object"],
    "dataset_id": ["missing dataset"],
    "direction": ["sort order"],
    "email": ["notification type"],
    "expires_in": ["expiresin"],
    "flyte_url": ["artifact"],
    "id": ["missing project"],
    "interface": ["failed to compile workflow"],
    "launch_plan": ["missing id"],
    "owner_id": ["ownerid"],
    "node_execution_id": ["failed to find node execution", "missing id", "source is required"],
    "parent_node_execution_id": ["missing node_execution_id"],
    "recipients_email": ["missing recipients"],
    "scalar": ["literal type"],
    "schedule": ["cron expression"],
    "spec": ["missing id"],
    "sub_workflows": ["failed to compile workflow"],
    "tag_name": ["tagname"],
    "task_execution_id": ["missing id"],
    "template": ["failed to compile workflow"],
    "workflow": ["missing name"],
    "workflow_execution_id": ["missing execution_id"],
    "workflow_id": ["missing id"],
}
"""What FlyteAdmin calls these fields, or says of them."""


@dataclass(frozen=True)
class Fault:
    """A field to be changed: the steps to it (numbers are places in lists) and its new value, None to remove it."""

    path: tuple[str | int, ...]
    value: Any

    def __str__(self) -> str:
        return f"{'.'.join(map(str, self.path))} = {str(self.value)[:20]!r}"

    def apply(self, message: Any) -> None:
        *parents, name = self.path
        for step in parents:
            message = message[step] if isinstance(step, int) else getattr(message, step)
        if self.value is None:
            message.ClearField(name)
        else:
            setattr(message, str(name), self.value)

    def is_named(self, text: str) -> bool:
        """Whether the text has the field's name, FlyteAdmin's word for it or the value."""
        names = [step for step in self.path if isinstance(step, str)]
        words = [word for name in names for word in (name, name.replace("_", " "), *OWN_WORDS.get(name, ()))]
        return any(word in text.lower() for word in words) or str(self.value)[1:7] in text


def faults(message: Message, path: tuple[str | int, ...] = ()) -> Iterator[Fault]:
    for field, value in message.ListFields():
        here = (*path, field.name)
        yield Fault(here, None)
        if descriptors.is_map(field):
            continue
        if field.message_type is not None:
            inner = enumerate(value) if descriptors.is_repeated(field) else [(None, value)]
            for place, item in inner:
                yield from faults(item, here if place is None else (*here, place))
        elif not descriptors.is_repeated(field):
            yield from (Fault(here, absurd) for absurd in _absurd(field))


def _absurd(field: Any) -> list[Any]:
    if field.enum_type is not None:
        return [99, -1]
    if field.type == field.TYPE_BYTES:
        return [b"\xff" * 1000]
    match field.cpp_type:
        case field.CPPTYPE_STRING:
            return [LONG, ODD]
        case field.CPPTYPE_INT32 | field.CPPTYPE_INT64:
            return [-1, 2**31 - 1]
        case field.CPPTYPE_UINT32 | field.CPPTYPE_UINT64:
            return [2**32 - 1]
    return []


def good_rows(method: str) -> list[Row]:
    return [row for row in ROWS if row.call.method == method and row.code is Code.OK]


@pytest.mark.parametrize("method", METHOD_NAMES)
def test_absurd_fields(method: str, server: Server):
    tried: set[str] = set()
    for row in good_rows(method):
        world = server.world(row.given, row.objects, **row.settings)
        for fault in faults(row.call.message(world.bucket_path)):
            if str(fault) in tried:
                continue
            tried.add(str(fault))
            request = row.call.message(world.bucket_path)
            fault.apply(request)
            before = world.store.position
            try:
                world.answer(method, request)
            except FlyteError as error:
                assert error.code in EXPECTED, f"{fault}: {error}"
                assert world.store.position == before, fault
                if error.code is Code.INVALID_ARGUMENT:
                    assert fault.is_named(error.message), f"{fault}: {error.message[:300]}"
            else:
                world = server.world(row.given, row.objects, **row.settings)


WRONG = {"string": [1, [], {}, True], "number": ["x", [], {}, True], "bool": ["x", 2, [], {}], "object": [1, "x", []]}


def wrong_types(value: Any, path: tuple[str | int, ...] = ()) -> Iterator[tuple[tuple[str | int, ...], Any]]:
    """Places in a request and what does not fit there."""
    if isinstance(value, dict):
        yield from ((path, wrong) for wrong in WRONG["object"] if path)
        for name, inner in value.items():
            yield from wrong_types(inner, (*path, name))
    elif isinstance(value, list):
        for index, inner in enumerate(value[:1]):
            yield from wrong_types(inner, (*path, index))
    else:
        kind = "bool" if isinstance(value, bool) else "string" if isinstance(value, str) else "number"
        yield from ((path, wrong) for wrong in WRONG[kind])


def with_body() -> Iterator[tuple[str, str, str, Any]]:
    """Method, verb, path and JSON of a good request of each method that has a body."""
    for method in METHOD_NAMES:
        message = good_rows(method)[0].call.message("")
        found = address(METHODS[method], message)
        if found is not None and found[0].body:
            yield method, found[0].verb, found[1], json_format.MessageToDict(message, preserving_proto_field_name=True)


@pytest.mark.parametrize(
    ("method", "verb", "path", "good"), list(with_body()), ids=lambda value: value if "Service/" in value else ""
)
def test_wrong_types(method: str, verb: str, path: str, good: Any, server: Server):
    """In JSON; protobuf cannot say them."""
    world = server.world()
    before = world.store.position
    with httpx.Client(base_url=f"http://{server.target}") as client:
        for place, wrong in wrong_types(good):
            body = json.loads(json.dumps(good))
            holder = body
            for step in place[:-1]:
                holder = holder[step]
            holder[place[-1]] = wrong
            answer = client.request(verb, path, json=body, headers={"Accept": JSON})
            if answer.status_code == 200:
                world = server.world()
                continue
            assert answer.status_code in (400, 404), f"{place} = {wrong!r}: {answer.text}"
            assert world.store.position == before
            if answer.json()["message"].startswith("the body is not a valid"):
                names = [step for step in place if isinstance(step, str)][-2:]  # the last may be the key of a map
                assert any(name in answer.json()["message"] for name in names), f"{place} = {wrong!r}: {answer.text}"
