from __future__ import annotations

import pytest
from flyteidl.admin import execution_pb2, matchable_resource_pb2
from google.protobuf import timestamp_pb2

from flytelite.errors import FailedPrecondition, InvalidArgument
from flytelite.server.rest.marshalling import CAMEL_CASE, PROTOBUF, SNAKE_CASE, choose

JSON = "application/json"
BINARY = "application/octet-stream"


@pytest.mark.parametrize(
    ("content_types", "accepts", "inbound", "outbound"),
    [
        ([], [], CAMEL_CASE, CAMEL_CASE),
        ([], ["*/*"], CAMEL_CASE, CAMEL_CASE),
        ([], [JSON], CAMEL_CASE, SNAKE_CASE),
        ([], [f"{JSON}, text/plain, */*"], CAMEL_CASE, CAMEL_CASE),
        ([], [f"{JSON};q=1"], CAMEL_CASE, CAMEL_CASE),
        ([], ["text/plain", BINARY], CAMEL_CASE, PROTOBUF),
        ([JSON], [], SNAKE_CASE, SNAKE_CASE),
        ([f"{JSON}; charset=utf-8"], ["*/*"], SNAKE_CASE, SNAKE_CASE),
        (["Application/JSON"], [], SNAKE_CASE, SNAKE_CASE),
        ([BINARY], [], PROTOBUF, PROTOBUF),
        ([BINARY], [JSON], PROTOBUF, SNAKE_CASE),
        ([JSON], [BINARY], SNAKE_CASE, PROTOBUF),
        (["application/xml"], [], CAMEL_CASE, CAMEL_CASE),
    ],
)
def test_choice(content_types, accepts, inbound, outbound):
    assert choose(content_types, accepts) == (inbound, outbound)


def test_what_has_no_json_can_be_had_in_binary():
    closure = execution_pb2.ExecutionClosure(started_at=timestamp_pb2.Timestamp(seconds=10**15))
    with pytest.raises(FailedPrecondition, match=r"flyteidl\.admin\.ExecutionClosure cannot be written as JSON"):
        CAMEL_CASE.write(closure)
    assert PROTOBUF.write(closure) == closure.SerializeToString()


def test_errors_can_be_written_whatever_they_quote():
    with pytest.raises(InvalidArgument, match=r"\\ud800") as caught:
        CAMEL_CASE.read(b'{"pluginId": "\\ud800"}', matchable_resource_pb2.PluginOverride())
    assert caught.value.message.encode()
