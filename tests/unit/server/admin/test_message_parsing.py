from __future__ import annotations

from typing import Any

import orjson
import pytest
from flyteidl.admin import event_pb2, execution_pb2, launch_plan_pb2, node_execution_pb2, task_execution_pb2, task_pb2
from flyteidl.core import compiler_pb2, literals_pb2
from google.protobuf import json_format
from google.protobuf.message import Message
from hypothesis import given, settings

from flytelite.server.admin.message_parsing import parse

from ..messages import filled


@pytest.mark.parametrize(
    "kind",
    [
        task_pb2.Task,
        compiler_pb2.CompiledWorkflowClosure,
        launch_plan_pb2.LaunchPlan,
        execution_pb2.Execution,
        node_execution_pb2.NodeExecution,
        task_execution_pb2.TaskExecution,
        event_pb2.NodeExecutionEventRequest,
        literals_pb2.LiteralMap,
    ],
)
def test_what_the_library_prints_is_read_back(kind: type[Message]) -> None:
    @settings(max_examples=25)
    @given(filled(kind))
    def check(message: Message) -> None:
        printed = orjson.loads(orjson.dumps(json_format.MessageToDict(message)))
        assert json_format.MessageToDict(parse(printed, kind)) == json_format.MessageToDict(message)

    check()


@pytest.mark.parametrize(
    ("text", "nanoseconds"),
    [
        ("1970-01-01T00:00:00Z", 0),
        ("2026-01-01T12:00:00.000000001Z", 1767268800_000000001),
        ("2026-01-01T12:00:00.120Z", 1767268800_120000000),
        ("1969-12-31T23:59:59.500Z", -500000000),
        ("0001-01-01T00:00:00Z", -62135596800_000000000),
        ("9999-12-31T23:59:59.999999999Z", 253402300799_999999999),
        ("2026-01-01T12:00:00+02:00", 1767261600_000000000),
    ],
)
def test_timestamps(text: str, nanoseconds: int) -> None:
    closure = parse({"createdAt": text}, execution_pb2.ExecutionClosure)
    assert closure.created_at.ToNanoseconds() == nanoseconds


@pytest.mark.parametrize(("text", "nanoseconds"), [("0s", 0), ("-1.5s", -1500000000), ("-0.500s", -500000000)])
def test_durations(text: str, nanoseconds: int) -> None:
    closure = parse({"duration": text}, execution_pb2.ExecutionClosure)
    assert closure.duration.ToNanoseconds() == nanoseconds


@pytest.mark.parametrize(
    "document",
    [
        {"phase": "NEW_IN_A_LATER_VERSION", "duration": "1s"},
        {"ofALaterVersion": {"a": 1}, "duration": "1s"},
        {"duration": "1s", "phase": None, "outputs": None},
        {"duration": "1s", "created_at": "2026-01-01T12:00:00Z"},
        {"duration": "1s", "phase": "4"},
    ],
)
def test_what_the_library_would_not_print_is_read_as_it_reads_it(document: dict[str, Any]) -> None:
    expected = json_format.ParseDict(document, execution_pb2.ExecutionClosure(), ignore_unknown_fields=True)
    assert parse(document, execution_pb2.ExecutionClosure) == expected
    assert expected.duration.seconds == 1


@pytest.mark.parametrize("document", [{"duration": 1}, {"phase": []}, {"createdAt": "yesterday"}])
def test_what_is_no_message_is_refused(document: dict[str, Any]) -> None:
    with pytest.raises(json_format.ParseError):
        parse(document, execution_pb2.ExecutionClosure)
