from __future__ import annotations

import re

import orjson
import pytest
from flyteidl.admin import execution_pb2, matchable_resource_pb2, task_pb2
from flyteidl.core import literals_pb2, tasks_pb2
from flyteidl.service import dataproxy_pb2
from google.protobuf import struct_pb2, timestamp_pb2

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


@pytest.mark.parametrize("form", [SNAKE_CASE, CAMEL_CASE])
@pytest.mark.parametrize("body", [b'{"pluginId": "\\ud800"}', b'{"bogus\\ud800": 1}', b'{"pluginId": "\\udc00"}'])
def test_halves_of_surrogate_pairs_are_no_json(form, body):
    with pytest.raises(InvalidArgument, match=r"surrogate in string: line 1 column \d+") as caught:
        form.read(body, matchable_resource_pb2.PluginOverride())
    assert caught.value.message.encode()


def test_numbers_that_json_has_not():
    for number in (b"NaN", b"Infinity", b"1e400"):
        with pytest.raises(InvalidArgument, match="line 1 column"):
            CAMEL_CASE.read(b'{"a": %s}' % number, struct_pb2.Struct())


@pytest.mark.parametrize("form", [SNAKE_CASE, CAMEL_CASE])
@pytest.mark.parametrize(
    ("field", "value", "needed"),
    [
        ("content_md5", "!!!!", "base64"),
        ("contentMd5", "QQ=", "base64"),
        ("content_md5", "A", "base64"),
        ("content_md5", "+_+_", "base64"),
        ("content_md5", 5, "base64"),
        ("project", [], "a string"),
        ("project", 5, "a string"),
        ("expires_in", 60, "a string"),
        ("add_content_md5_metadata", "true", "true or false"),
        ("add_content_md5_metadata", 1, "true or false"),
    ],
)
def test_values_that_are_no_scalars_of_the_field(form, field, value, needed):
    with pytest.raises(InvalidArgument) as caught:
        form.read(orjson.dumps({field: value}), dataproxy_pb2.CreateUploadLocationRequest())
    assert caught.value.message == (
        "the body is not a valid flyteidl.service.CreateUploadLocationRequest: "
        f'parsing field "{field}": {orjson.dumps(value).decode()} is not valid: {needed} is needed'
    )


@pytest.mark.parametrize("form", [SNAKE_CASE, CAMEL_CASE])
@pytest.mark.parametrize(
    ("body", "path"),
    [
        ({"id": []}, "id"),
        ({"id": ""}, "id"),
        ({"id": ["name"]}, "id"),
        ({"id": "name"}, "id"),
        ({"id": 0}, "id"),
        ({"id": False}, "id"),
        ({"id": {"resource_type": True}}, "id.resource_type"),
        ({"id": {"resourceType": 1.5}}, "id.resourceType"),
        ({"spec": {"template": {"taskTypeVersion": "1_0"}}}, "spec.template.taskTypeVersion"),
        ({"spec": {"template": {"taskTypeVersion": True}}}, "spec.template.taskTypeVersion"),
        ({"spec": {"template": {"config": []}}}, "spec.template.config"),
        ({"spec": {"template": {"config": {"a": None}}}}, "spec.template.config[a]"),
        ({"spec": {"template": {"interface": {"inputs": {"variables": {"x": []}}}}}}, "inputs.variables[x]"),
        ({"spec": {"template": {"container": {"args": "one"}}}}, "spec.template.container.args"),
        ({"spec": {"template": {"container": {"env": ["a=b"]}}}}, "spec.template.container.env[0]"),
        ({"spec": {"template": {"container": {"env": [None]}}}}, "spec.template.container.env[0]"),
        ({"spec": {"template": {"metadata": {"interruptible": "yes"}}}}, "spec.template.metadata.interruptible"),
    ],
)
def test_values_that_are_not_of_the_fields_kind(form, body, path):
    with pytest.raises(InvalidArgument, match=rf'{re.escape(path)}": .+ is not valid: .+ is needed'):
        form.read(orjson.dumps(body), task_pb2.TaskCreateRequest())


def test_long_values_are_not_quoted_whole():
    for value in ("9" * 5000, "!" * 5000, ["x" * 5000]):
        for field in ("task_type_version", "id"):
            with pytest.raises(InvalidArgument) as caught:
                SNAKE_CASE.read(orjson.dumps({field: value}), tasks_pb2.TaskTemplate())
            assert len(caught.value.message) < 300


@pytest.mark.parametrize(
    ("written", "content"),
    [("QQ==", b"A"), ("QQ", b"A"), ("+/+/", b"\xfb\xff\xbf"), ("-_-_", b"\xfb\xff\xbf"), ("QUJD\nQUJD\n", b"ABCABC")],
)
def test_bytes(written, content):
    read = dataproxy_pb2.CreateUploadLocationRequest()
    SNAKE_CASE.read(orjson.dumps({"content_md5": written}), read)
    assert read.content_md5 == content


def test_what_stands_for_a_value():
    read = task_pb2.TaskCreateRequest()
    template = {
        "taskTypeVersion": "1e1",
        "config": None,
        "metadata": {"interruptible": False, "timeout": "60s", "runtime": None},
        "custom": {"list": [None, 1, {"deep": None}]},
    }
    SNAKE_CASE.read(orjson.dumps({"id": {"resource_type": 1.0}, "spec": {"template": template}}), read)
    assert (read.id.resource_type, read.spec.template.task_type_version) == (1, 10)
    assert read.spec.template.metadata.HasField("interruptible_value")
    assert not read.spec.template.metadata.HasField("runtime")
    assert read.spec.template.custom["list"][0] is None
    SNAKE_CASE.read(b'{"id": null}', cleared := task_pb2.TaskCreateRequest())
    assert not cleared.HasField("id")


def test_deep_json():
    for depth in (60, 400, 1000):
        body = b'{"collection": {"literals": [' * depth + b"{}" + b"]}}" * depth
        with pytest.raises(InvalidArgument, match=r"nested too deeply|depth limit|too deep"):
            CAMEL_CASE.read(body, literals_pb2.Literal())
