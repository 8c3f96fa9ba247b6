"""Which dataclass may stand in for which, by the schemas that flytekit, pydantic and older flytekits put into types."""

from __future__ import annotations

from typing import Any

import pytest
from google.protobuf import json_format, struct_pb2

from flytelite.compiler.schema_coverage import covers

INTEGER, NUMBER, STRING = {"type": "integer"}, {"type": "number"}, {"type": "string"}
MAYBE = {"anyOf": [STRING, {"type": "null"}]}


def dataclass(required: list[str] | None = None, **properties: Any) -> dict[str, Any]:
    found: dict[str, Any] = {"type": "object", "properties": properties, "additionalProperties": False}
    return found | {"required": required if required is not None else list(properties)}


def holding(schema: Any) -> dict[str, Any]:
    return {"type": "object", "properties": {"a": schema}}


def referring(name: str, definitions: str = "$defs", **schemas: Any) -> dict[str, Any]:
    return {"$ref": f"#/{definitions}/{name}", definitions: schemas}


RECURSIVE = {"type": "object", "properties": {"next": {"$ref": "#/$defs/Node"}, "a": INTEGER}}

COVERED = [
    (dataclass(a=INTEGER), dataclass(a=INTEGER)),
    (dataclass(a=INTEGER, b=MAYBE), dataclass(a=INTEGER)),
    (dataclass(a=INTEGER, b=MAYBE), dataclass(a=INTEGER, b=MAYBE)),
    (dataclass(a=dataclass(b=STRING, c=STRING)), dataclass(a=dataclass(b=STRING))),
    (referring("P", P=dataclass(a=INTEGER)), dataclass(a=INTEGER)),
    (referring("P", "definitions", P=dataclass(a=INTEGER)), referring("Q", Q=dataclass(a=INTEGER))),
    (referring("Node", Node=RECURSIVE), referring("Node", Node={**RECURSIVE, "title": "other"})),
    (holding({**STRING, "enum": ["r"]}), holding({**STRING, "enum": ["r", "s"]})),
    (holding({"type": "array", "items": INTEGER}), holding({"type": "array"})),
    (holding({"type": "array", "items": holding(INTEGER)}), holding({"type": "array", "items": {"type": "object"}})),
    (holding({**NUMBER, "minimum": 2, "maximum": 3}), holding({**NUMBER, "minimum": 1, "maximum": 4})),
    (holding({**NUMBER, "multipleOf": 4}), holding({**NUMBER, "multipleOf": 2})),
    (holding({"anyOf": [STRING]}), holding(MAYBE)),
    (holding({**STRING, "format": "date-time"}), holding({**STRING, "format": "date-time"})),
    (holding({"const": 1}), holding({"const": 1})),
    (holding({"type": "array", "items": [INTEGER]}), holding({"type": "array", "items": [INTEGER]})),
    (holding(True), holding(True)),
]
NOT_COVERED: list[tuple[dict[str, Any], dict[str, Any]]] = [
    (dataclass(a=INTEGER), dataclass(a=INTEGER, b=MAYBE)),
    (dataclass(a=INTEGER), dataclass(a=STRING)),
    (dataclass(a=INTEGER), dataclass(a=NUMBER)),
    (dataclass(b=INTEGER), dataclass(a=INTEGER)),
    (dataclass([], a=INTEGER), dataclass(a=INTEGER)),
    (dataclass(a=dataclass(b=STRING)), dataclass(a=dataclass(b=STRING, c=STRING))),
    (holding({**STRING, "enum": ["r", "s"]}), holding({**STRING, "enum": ["r"]})),
    (holding({"type": "array"}), holding({"type": "array", "items": INTEGER})),
    (holding({**NUMBER, "minimum": 0}), holding({**NUMBER, "minimum": 1})),
    (holding(NUMBER), holding({**NUMBER, "maximum": 1})),
    (holding({**NUMBER, "multipleOf": 3}), holding({**NUMBER, "multipleOf": 2})),
    (holding(MAYBE), holding({"anyOf": [STRING]})),
    (holding(MAYBE), holding(STRING)),
    (holding({"anyOf": [dataclass(a=INTEGER)]}), holding({"anyOf": [dataclass(a=INTEGER)]})),
    (holding({**STRING, "format": "date"}), holding(STRING)),
    (holding({**STRING, "format": "uuid"}), holding({**STRING, "format": "uuid"})),
    (holding({"const": 1}), holding({"const": True})),
    (holding({"anyOf": [True]}), holding({"anyOf": [False]})),
    ({"$ref": "#/$defs/Gone"}, {"$ref": "#/$defs/Gone"}),
    ({"$ref": "http://example.com/schema"}, {"type": "object"}),
    ({"$schema": "https://json-schema.org/draft/2020-12/schema", "type": "object"}, {"type": "object"}),
    ({"type": "thing"}, {"type": "object"}),
    ({"type": "object"}, {}),
    (
        {"properties": {"a": {"$ref": "#/definitions/A"}}, "definitions": {"A": {"$ref": "#/definitions/Gone"}}},
        {"a": 1},
    ),
    ({"type": "object", "properties": 1}, {"type": "object"}),
]

UNUSED = {"definitions": {"Unused": {"$ref": "#/definitions/Gone"}}}


def as_struct(document: dict[str, Any]) -> struct_pb2.Struct:
    return json_format.ParseDict(document, struct_pb2.Struct())


@pytest.mark.parametrize(("given", "expected"), COVERED)
def test_covered(given: dict[str, Any], expected: dict[str, Any]) -> None:
    assert covers(as_struct(given), as_struct(expected))


@pytest.mark.parametrize(("given", "expected"), NOT_COVERED)
def test_not_covered(given: dict[str, Any], expected: dict[str, Any]) -> None:
    assert not covers(as_struct(given), as_struct(expected))


def test_definitions_that_nothing_refers_to_do_not_count() -> None:
    assert covers(as_struct({**dataclass(a=INTEGER), **UNUSED}), as_struct(dataclass(a=INTEGER)))


def test_what_json_has_not_covers_nothing() -> None:
    odd = as_struct({"type": "object"})
    odd.fields["default"].number_value = float("nan")
    assert not covers(odd, as_struct({"type": "object"}))
