"""Strings in all the places of messages and documents where a path can be."""

from __future__ import annotations

from base64 import b64encode

import msgpack
import pytest
from flyteidl.core import literals_pb2, tasks_pb2
from google.protobuf import json_format

from flytelite.server.admin.arrivals import relocation
from flytelite.strings import in_document, in_message, strings_of


def task() -> tasks_pb2.TaskTemplate:
    template = tasks_pb2.TaskTemplate(type="/a/type")
    template.container.args.extend(["--x", "/a/x"])
    template.container.env.add(key="K", value="/a/env")
    template.config["/a/key"] = "/a/value"
    template.custom["list"] = ["/a/struct", {"deep": "/a/deep"}, 3]
    return template


def literal() -> literals_pb2.Literal:
    made = literals_pb2.Literal()
    map = made.map.literals["m"].collection.literals
    map.add().scalar.binary.CopyFrom(
        literals_pb2.Binary(tag="msgpack", value=msgpack.packb({"/a/k": ["/a/v", b"/a/b"]}))
    )
    map.add().scalar.binary.CopyFrom(literals_pb2.Binary(tag="other", value=b"/a/opaque"))
    map.add().scalar.binary.CopyFrom(literals_pb2.Binary(tag="msgpack", value=b"\xc1 /a/broken"))
    map.add().scalar.union.value.scalar.blob.uri = "file:///a/blob"
    return made


@pytest.mark.parametrize(
    ("message", "found"),
    [
        (task(), {"/a/type", "--x", "/a/x", "K", "/a/env", "/a/value", "/a/struct", "/a/deep"}),
        (literal(), {"/a/v", "file:///a/blob"}),
    ],
)
def test_messages_and_their_json_have_the_same_strings(message, found) -> None:
    assert strings_of(message) == found
    assert found <= strings_of(json_format.MessageToDict(message))


@pytest.mark.parametrize("message", [task(), literal()])
def test_changing_a_message_and_changing_its_json_is_the_same(message) -> None:
    change = relocation("/a", "/somewhere/else")
    document = in_document(json_format.MessageToDict(message), change)
    in_message(message, change)
    assert json_format.ParseDict(document, type(message)()) == message
    assert not [text for text in strings_of(message) if text.startswith("/a/")]


def test_an_object_that_only_looks_like_a_binary_is_none() -> None:
    assert in_document({"tag": "msgpack", "value": "/a/ö"}, str.upper) == {"tag": "MSGPACK", "value": "/A/Ö"}
    value = b64encode(msgpack.packb("/a")).decode()
    assert in_document({"tag": "other", "value": value}, lambda text: text) == {"tag": "other", "value": value}


@pytest.mark.parametrize(
    ("text", "becomes"),
    [
        ("/old/data", "/new"),
        ("/old/data/x", "/new/x"),
        ("file:///old/data/x", "file:///new/x"),
        ('  File "/old/data/work/x.py", line 3', '  File "/new/work/x.py", line 3'),
        ("/old/data:/old/data/b", "/new:/new/b"),
        ("/old/data2/x", "/old/data2/x"),
        ("/old/data-2/x", "/old/data-2/x"),
        ("/old/data.bak", "/old/data.bak"),
        ("/very/old/data/x", "/very/old/data/x"),
        ("/older", "/older"),
        ("", ""),
    ],
)
def test_a_directory_is_replaced_only_where_it_is_meant(text: str, becomes: str) -> None:
    assert relocation("/old/data", "/new")(text) == becomes


def test_nothing_in_the_new_name_is_special() -> None:
    assert relocation("/a(b)", r"/\1")("/a(b)/x") == r"/\1/x"
