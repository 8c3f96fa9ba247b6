from __future__ import annotations

from typing import Any

import pytest
from flyteidl.core import literals_pb2, types_pb2
from google.protobuf import json_format

from flytelite.compiler.types import castable, literal_type, type_text

INTEGER, STRING, NONE, STRUCT = ({"simple": name} for name in ("INTEGER", "STRING", "NONE", "STRUCT"))


def as_type(document: dict[str, Any]) -> types_pb2.LiteralType:
    return json_format.ParseDict(document, types_pb2.LiteralType())


def listed(element: dict[str, Any]) -> dict[str, Any]:
    return {"collectionType": element}


def mapped(element: dict[str, Any]) -> dict[str, Any]:
    return {"mapValueType": element}


def union(*variants: dict[str, Any]) -> dict[str, Any]:
    return {"unionType": {"variants": list(variants)}}


def blob(format: str, dimensionality: str = "SINGLE") -> dict[str, Any]:
    return {"blob": {"format": format, "dimensionality": dimensionality}}


def enum(*values: str) -> dict[str, Any]:
    return {"enumType": {"values": list(values)}}


def schema(**columns: str) -> dict[str, Any]:
    return {"schema": {"columns": [{"name": name, "type": type_} for name, type_ in columns.items()]}}


def dataset(format: str = "", **columns: dict[str, Any]) -> dict[str, Any]:
    shown = [{"name": name, "literalType": type_} for name, type_ in columns.items()]
    return {"structuredDatasetType": {"format": format, "columns": shown}}


def tagged(document: dict[str, Any], tag: str) -> dict[str, Any]:
    return {**document, "structure": {"tag": tag}}


ACCEPTED = [
    (INTEGER, INTEGER),
    ({**INTEGER, "metadata": {"a": 1}, "annotation": {"annotations": {}}}, INTEGER),
    (INTEGER, tagged(INTEGER, "int")),
    (NONE, NONE),
    (enum("a"), STRING),
    (STRING, enum("a")),
    (enum("a"), enum("a")),
    (listed(INTEGER), listed(INTEGER)),
    (listed(NONE), listed(listed(STRING))),
    (mapped(NONE), mapped(STRING)),
    (mapped(mapped(STRING)), mapped(mapped(STRING))),
    (blob("csv"), blob("")),
    (blob(""), blob("csv")),
    (blob("csv", "MULTIPART"), blob("csv", "SINGLE")),
    (schema(a="INTEGER", b="FLOAT"), schema(a="INTEGER")),
    (schema(), schema(a="INTEGER")),
    (dataset("parquet", a=INTEGER), schema(a="INTEGER")),
    (dataset("PARQUET"), schema(a="INTEGER")),
    (NONE, dataset("csv")),
    (dataset("csv"), dataset("CSV")),
    (dataset(a=listed(NONE), b=INTEGER), dataset(a=listed(STRING))),
    (schema(a="STRING"), dataset("parquet", a=STRING)),
    (schema(a="STRING"), dataset()),
    (INTEGER, union(INTEGER, STRING)),
    (NONE, union(INTEGER, NONE)),
    (union(INTEGER), INTEGER),
    (union(INTEGER), union(STRING, INTEGER)),
    (union(INTEGER, STRING), union(STRING, NONE, INTEGER)),
    (tagged(STRING, "one"), union(tagged(STRING, "one"), tagged(STRING, "other"))),
    (STRUCT, {**STRUCT, "metadata": {"type": "object"}}),
]
REFUSED = [
    (INTEGER, {"simple": "FLOAT"}),
    (NONE, INTEGER),
    (INTEGER, NONE),
    (tagged(INTEGER, "int"), INTEGER),
    (tagged(INTEGER, "int"), tagged(INTEGER, "other")),
    (enum("a"), enum("a", "b")),
    (enum("a"), INTEGER),
    (listed(INTEGER), listed({"simple": "FLOAT"})),
    (listed(INTEGER), INTEGER),
    (listed(INTEGER), mapped(INTEGER)),
    (NONE, listed(INTEGER)),
    # only a union itself is unwrapped, not the elements of a list
    (listed(union(INTEGER)), listed(INTEGER)),
    (blob("csv"), blob("pdf")),
    (NONE, blob("csv")),
    (schema(a="INTEGER"), schema(a="INTEGER", b="FLOAT")),
    (schema(a="INTEGER"), schema(a="FLOAT")),
    (dataset("csv"), schema()),
    (NONE, schema()),
    (schema(), dataset("csv")),
    (schema(a="STRING"), dataset(a=INTEGER)),
    (dataset("csv"), dataset("parquet")),
    (dataset(a=INTEGER), dataset(a=STRING)),
    (dataset(a=INTEGER), dataset(b=INTEGER)),
    (INTEGER, dataset()),
    (STRING, union(STRING, enum("a"))),
    (INTEGER, union(STRING, NONE)),
    (INTEGER, union()),
    (union(INTEGER, STRING), INTEGER),
    (union(INTEGER, STRING), union(INTEGER)),
]


@pytest.mark.parametrize(("given", "expected"), ACCEPTED)
def test_castable(given: dict[str, Any], expected: dict[str, Any]) -> None:
    assert castable(as_type(given), as_type(expected))


@pytest.mark.parametrize(("given", "expected"), REFUSED)
def test_not_castable(given: dict[str, Any], expected: dict[str, Any]) -> None:
    assert not castable(as_type(given), as_type(expected))


def scalar(**value: Any) -> dict[str, Any]:
    return {"scalar": value}


def primitive(**value: Any) -> dict[str, Any]:
    return scalar(primitive=value)


def literals(*elements: dict[str, Any]) -> dict[str, Any]:
    return {"collection": {"literals": list(elements)}}


ONE, TEXT = primitive(integer=1), primitive(stringValue="a")


@pytest.mark.parametrize(
    ("literal", "expected"),
    [
        (ONE, INTEGER),
        (primitive(floatValue=1.0), {"simple": "FLOAT"}),
        (TEXT, STRING),
        (primitive(boolean=False), {"simple": "BOOLEAN"}),
        (primitive(datetime="2024-01-01T00:00:00Z"), {"simple": "DATETIME"}),
        (primitive(duration="1s"), {"simple": "DURATION"}),
        (scalar(noneType={}), NONE),
        (scalar(error={}), {"simple": "ERROR"}),
        (scalar(generic={"a": 1}), STRUCT),
        (scalar(binary={"tag": "msgpack"}), STRUCT),
        (scalar(binary={"value": "AA=="}), {"simple": "BINARY"}),
        (scalar(blob={"metadata": {"type": {"format": "csv"}}}), {"blob": {"format": "csv"}}),
        (scalar(schema={"type": schema(a="FLOAT")["schema"]}), schema(a="FLOAT")),
        (scalar(structuredDataset={"metadata": dataset("csv")}), dataset("csv")),
        (scalar(union={"type": STRING, "value": TEXT}), union(STRING)),
        (literals(), listed(NONE)),
        (literals(ONE, ONE), listed(INTEGER)),
        (literals(TEXT, ONE), listed(union(INTEGER, STRING))),
        (literals(literals(), literals(ONE)), listed(listed(INTEGER))),
        (literals(literals()), listed(listed(NONE))),
        (literals(literals(ONE, TEXT), literals(ONE)), listed(listed(union(listed(INTEGER), INTEGER, STRING)))),
        ({"map": {"literals": {"a": ONE, "b": TEXT}}}, mapped(union(INTEGER, STRING))),
        ({"map": {}}, mapped(NONE)),
        ({"offloadedMetadata": {"inferredType": listed(STRING)}}, listed(STRING)),
    ],
)
def test_literal_type(literal: dict[str, Any], expected: dict[str, Any]) -> None:
    found = literal_type(json_format.ParseDict(literal, literals_pb2.Literal()))
    assert json_format.MessageToDict(found) == json_format.MessageToDict(as_type(expected))


@pytest.mark.parametrize(
    "literal", [{}, scalar(), scalar(blob={}), literals(ONE, scalar()), {"map": {"literals": {"a": {}}}}]
)
def test_literals_of_no_known_type(literal: dict[str, Any]) -> None:
    assert literal_type(json_format.ParseDict(literal, literals_pb2.Literal())) is None


def test_a_dataset_without_type_fits_nowhere() -> None:
    found = literal_type(json_format.ParseDict(scalar(structuredDataset={"uri": "u"}), literals_pb2.Literal()))
    assert not castable(found, as_type(dataset()))


def test_type_text() -> None:
    assert type_text(None) == "None"
    assert type_text(as_type(listed(INTEGER))) == "collection_type:{simple:INTEGER}"
    point = {**STRUCT, "structure": {"dataclassType": {"y": STRUCT, "x": INTEGER}}}
    assert type_text(as_type(point)) == (
        "simple: STRUCT structure{dataclass_type:{key:x value:{simple:INTEGER}, "
        "dataclass_type:{key:y value:{simple: STRUCT structure{}}}"
    )
