"""Every row over every way: the outcome is what the row says, and REST says the same as gRPC."""

from __future__ import annotations

from typing import Any

import pytest
from google.protobuf.message import Message

from flytelite.errors import Code

from .rows import METHODS, Row, as_dict, lacks
from .server import Server, World
from .table import ROWS
from .ways import Answer, OverGrpc, OverRest


@pytest.mark.parametrize("row", ROWS, ids=str)
def test_row(row: Row, server: Server, ways: list[OverGrpc | OverRest]):
    first, *others = ways
    answer = outcome(row, server, first)
    for way in others:
        if not way.takes(METHODS[row.call.method], row.call.message(str(server.settings.bucket))):
            continue
        other = outcome(row, server, way)
        assert other == answer, f"{way.name} answers otherwise than {first.name}"


def outcome(row: Row, server: Server, way: OverGrpc | OverRest) -> Answer:
    """Make the row's call in a world of its own and check what comes of it."""
    world = server.world(row.given, row.objects, **row.settings)
    before = world.store.position
    answer = way.call(METHODS[row.call.method], row.call.message(world.bucket_path))
    if row.code is Code.OK:
        assert answer.response is not None, f"{way.name}: {answer.status}"
        assert not lacks(row.answer, as_dict(answer.response)), way.name
        for field in row.varies:
            forget(answer.response, field.split("."))
    else:
        check_error(row, answer)
        assert world.store.position == before, f"{way.name}: a call that fails changes nothing"
    check_afterwards(row, world)
    return answer


def check_error(row: Row, answer: Answer) -> None:
    assert answer.code == row.code, answer
    assert row.message in answer.status.message
    assert not lacks(list(row.details), as_dict(answer.status).get("details", []))


def check_afterwards(row: Row, world: World) -> None:
    for call, expected in row.then:
        assert not lacks(expected, as_dict(world.do(call))), call.method


def forget(message: Any, path: list[str]) -> None:
    *parents, last = path
    for parent in parents:
        message = getattr(message, parent)
    assert isinstance(message, Message)
    message.ClearField(last)
