from __future__ import annotations

from typing import Any

import pytest
from flyteidl.core import identifier_pb2, literals_pb2, types_pb2
from google.protobuf import json_format

from flytelite.compiler.text import proto_text


def test_identifier() -> None:
    id = identifier_pb2.Identifier(resource_type=1, project="p", domain="d", name="a.b", version="v")
    assert proto_text(id) == 'resource_type:TASK project:"p" domain:"d" name:"a.b" version:"v"'
    assert proto_text(identifier_pb2.Identifier()) == ""


@pytest.mark.parametrize(
    ("document", "expected"),
    [
        ({"simple": "NONE"}, "simple:NONE"),
        ({"unionType": {"variants": [{"simple": "STRING"}, {}]}}, "union_type:{variants:{simple:STRING} variants:{}}"),
        ({"enumType": {"values": ["a", "b"]}}, 'enum_type:{values:"a" values:"b"}'),
        # fields come in the order of declaration, not of their numbers
        (
            {"structure": {"tag": "s"}, "metadata": {"b": None, "a": True}, "unionType": {}},
            'union_type:{} metadata:{fields:{key:"a" value:{bool_value:true}} '
            'fields:{key:"b" value:{null_value:NULL_VALUE}}} structure:{tag:"s"}',
        ),
    ],
)
def test_types(document: dict[str, Any], expected: str) -> None:
    assert proto_text(json_format.ParseDict(document, types_pb2.LiteralType())) == expected


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (1.0, "1"),
        (-2.5, "-2.5"),
        (0.0, "0"),
        (-0.0, "-0"),
        (999999.5, "999999.5"),
        (1e6, "1e+06"),
        (123456789.0, "1.23456789e+08"),
        (0.0001, "0.0001"),
        (0.00001, "1e-05"),
        (1e100, "1e+100"),
        (float("inf"), "inf"),
        (float("-inf"), "-inf"),
        (float("nan"), "nan"),
    ],
)
def test_floats(value: float, expected: str) -> None:
    assert proto_text(literals_pb2.Primitive(float_value=value)) == f"float_value:{expected}"


def test_strings_and_bytes_are_escaped() -> None:
    text = 'é"\\\n\r\t\x00\x7f'
    assert proto_text(literals_pb2.Primitive(string_value=text)) == 'string_value:"é\\"\\\\\\n\\r\\t\\x00\\x7f"'
    assert proto_text(literals_pb2.Binary(value=b"\xffa\xc3\xa9", tag="t")) == 'value:"\\xffaé" tag:"t"'
