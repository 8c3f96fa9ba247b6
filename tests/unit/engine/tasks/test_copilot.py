"""Inputs of raw containers as files, and files as their outputs: the layout of Flyte's copilot."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta

import pytest
import yaml
from flyteidl.core import errors_pb2, interface_pb2, literals_pb2, tasks_pb2, types_pb2
from google.protobuf import struct_pb2

from flytelite.engine.tasks import copilot
from flytelite.engine.tasks.refusals import BadTaskFormat

JSON, YAML, PROTO = (getattr(tasks_pb2.DataLoadingConfig, name) for name in ("JSON", "YAML", "PROTO"))
MULTIPART = literals_pb2.BlobMetadata(type=types_pb2.BlobType(dimensionality=types_pb2.BlobType.MULTIPART))


def literal(value) -> literals_pb2.Literal:
    """A Python value as a literal; an IDL message of a scalar's as that scalar."""
    if isinstance(value, list):
        items = [literal(item) for item in value]
        return literals_pb2.Literal(collection=literals_pb2.LiteralCollection(literals=items))
    if isinstance(value, dict):
        found = literals_pb2.Literal(map=literals_pb2.LiteralMap())
        for key, item in value.items():
            found.map.literals[key].CopyFrom(literal(item))
        return found
    if isinstance(value, literals_pb2.Scalar):
        return literals_pb2.Literal(scalar=value)
    primitive = literals_pb2.Primitive()
    if isinstance(value, bool):
        primitive.boolean = value
    elif isinstance(value, int):
        primitive.integer = value
    elif isinstance(value, float):
        primitive.float_value = value
    elif isinstance(value, datetime):
        primitive.datetime.FromDatetime(value)
    elif isinstance(value, timedelta):
        primitive.duration.FromTimedelta(value)
    else:
        primitive.string_value = value
    return literals_pb2.Literal(scalar=literals_pb2.Scalar(primitive=primitive))


def struct(**values) -> literals_pb2.Scalar:
    found = struct_pb2.Struct()
    found.update(values)
    return literals_pb2.Scalar(generic=found)


@pytest.fixture
def write(tmp_path):
    """Writes inputs and answers the directory."""

    def call(format=JSON, **inputs):
        directory = tmp_path / "inputs"
        copilot.clear(directory)
        found = literals_pb2.LiteralMap()
        for name, value in inputs.items():
            found.literals[name].CopyFrom(literal(value))
        copilot.Inputs(directory, "/var/in").write(found, format)
        return directory

    return call


@pytest.mark.parametrize(
    ("value", "text", "in_json"),
    [
        ("a <b>", "a <b>", '"a \\u003cb\\u003e"'),
        (True, "true", "true"),
        (7, "7", "7"),
        (0.5, "0.5", "0.5"),
        (3.0, "3", "3"),
        (1e-7, "0.0000001", "1e-07"),
        (datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC), "2026-01-02T03:04:05Z", '"2026-01-02T03:04:05Z"'),
        (timedelta(minutes=1, seconds=30), "1m30s", "null"),
        (struct(a="x", b=[True]), '{"a":"x","b":[true]}', '{"a":"x","b":[true]}'),
        (literals_pb2.Scalar(none_type=literals_pb2.Void()), "null", "null"),
        (literals_pb2.Scalar(binary=literals_pb2.Binary(value=b"\x01\x02")), "\x01\x02", '"AQI="'),
        (literals_pb2.Scalar(error=types_pb2.Error(message="bad")), "bad", '"bad"'),
        (literals_pb2.Scalar(union=literals_pb2.Union(value=literal(4))), "4", "4"),
    ],
)
def test_a_value_is_a_file_and_an_entry(write, value, text, in_json):
    directory = write(x=value)
    assert (directory / "x").read_text() == text
    assert (directory / "inputs.json").read_text() == f'{{"x":{in_json}}}'


def test_lists_and_maps_are_directories(write):
    directory = write(xs=["a", "b"], m={"k": [1, 2]}, empty=[])
    assert (directory / "xs/1").read_text() == "b"
    assert (directory / "m/k/0").read_text() == "1"
    assert list((directory / "empty").iterdir()) == []
    assert json.loads((directory / "inputs.json").read_text()) == {"xs": ["a", "b"], "m": {"k": [1, 2]}, "empty": []}


def test_files_are_copied_and_their_addresses_are_the_container_s(write, tmp_path):
    (tmp_path / "one.csv").write_text("1,2")
    (tmp_path / "many/deep").mkdir(parents=True)
    (tmp_path / "many/deep/f").write_text("x")
    one = literals_pb2.Scalar(blob=literals_pb2.Blob(uri=f"file://{tmp_path}/one.csv"))
    many = literals_pb2.Scalar(blob=literals_pb2.Blob(uri=str(tmp_path / "many"), metadata=MULTIPART))
    directory = write(one=one, many=many)
    assert (directory / "one").read_text() == "1,2"
    assert (directory / "many/deep/f").read_text() == "x"
    found = literals_pb2.LiteralMap.FromString((directory / "inputs.pb").read_bytes())
    assert {name: item.scalar.blob.uri for name, item in found.literals.items()} == {
        "one": "/var/in/one",
        "many": "/var/in/many",
    }
    assert json.loads((directory / "inputs.json").read_text())["one"] == "/var/in/one"


def test_formats(write):
    directory = write(YAML, n=1, s="x")
    assert yaml.safe_load((directory / "inputs.yaml").read_text()) == {"n": 1, "s": "x"}
    assert sorted(path.name for path in write(PROTO, n=1).iterdir()) == ["inputs.pb", "n"]


@pytest.mark.parametrize(
    "value", [literals_pb2.Scalar(structured_dataset=literals_pb2.StructuredDataset()), {"../x": 1}, {"": 1}]
)
def test_what_has_no_form_as_files_is_refused(write, value):
    with pytest.raises(BadTaskFormat):
        write(x=value)


def test_a_file_that_is_not_there(write):
    with pytest.raises(OSError, match="nowhere"):
        write(x=literals_pb2.Scalar(blob=literals_pb2.Blob(uri="/nowhere")))


def collected(tmp_path, kind, *, dimension=None):
    """What comes of the output ``x`` of a type: a literal, or the message of the error."""
    variable = interface_pb2.Variable()
    if kind == "blob":
        variable.type.blob.dimensionality = types_pb2.BlobType.SINGLE
    elif kind == "list":
        variable.type.collection_type.simple = types_pb2.INTEGER
    else:
        variable.type.simple = kind
    copilot.collect(
        tmp_path / "out", interface_pb2.VariableMap(variables={"x": variable}), tmp_path / "to", f"{tmp_path}/raw"
    )
    error = tmp_path / "to/error.pb"
    if error.exists():
        found = errors_pb2.ErrorDocument.FromString(error.read_bytes()).error
        assert (found.code, found.kind) == ("OutputUploadFailed", errors_pb2.ContainerError.RECOVERABLE)
        return found.message
    return literals_pb2.LiteralMap.FromString((tmp_path / "to/outputs.pb").read_bytes()).literals["x"]


@pytest.fixture
def out(tmp_path):
    (tmp_path / "out").mkdir()
    return tmp_path / "out"


@pytest.mark.parametrize(
    ("kind", "text", "value"),
    [
        (types_pb2.INTEGER, " 42\n", 42),
        (types_pb2.FLOAT, "0.25", 0.25),
        (types_pb2.BOOLEAN, "True", True),
        (types_pb2.STRING, "\thi there\n", "hi there"),
        (types_pb2.DURATION, "1h30m", timedelta(minutes=90)),
        (types_pb2.DATETIME, "2026-01-02T03:04:05+01:00", datetime(2026, 1, 2, 2, 4, 5, tzinfo=UTC)),
        (types_pb2.STRUCT, '{"a": "x"}', struct(a="x")),
    ],
)
def test_a_file_is_a_value_of_the_declared_type(tmp_path, out, kind, text, value):
    (out / "x").write_text(text)
    assert collected(tmp_path, kind) == literal(value)


@pytest.mark.parametrize(
    ("kind", "text", "told"),
    [
        (types_pb2.INTEGER, "4.5", "[x] is not of type [INTEGER]"),
        (types_pb2.INTEGER, "1_0", "is no number"),
        (types_pb2.BOOLEAN, "maybe", "neither true nor false"),
        (types_pb2.DURATION, "soon", "is no duration"),
        (types_pb2.STRUCT, "{", "not of type [STRUCT]"),
        (types_pb2.STRING, "x" * 1025, "maximum allowed filesize is [1024], but found [1025]"),
        ("list", "[1]", "single values or files"),
    ],
)
def test_what_is_not_of_the_type_is_an_error(tmp_path, out, kind, text, told):
    (out / "x").write_text(text)
    assert told in collected(tmp_path, kind)


def test_a_missing_output_is_named(tmp_path, out):
    assert "file not found at path [x]" in collected(tmp_path, types_pb2.STRING)
    (out / "x").mkdir()
    assert "found dir" in collected(tmp_path, types_pb2.STRING)


def test_files_and_directories_go_to_the_raw_data(tmp_path, out):
    (out / "x.csv").write_text("1,2")
    blob = collected(tmp_path, "blob").scalar.blob
    assert blob.uri == f"{tmp_path}/raw/x"
    assert (tmp_path / "raw/x").read_text() == "1,2"
    (out / "x.csv").unlink()
    (tmp_path / "raw/x").unlink()
    (out / "x").mkdir()
    (out / "x/f").write_text("deep")
    blob = collected(tmp_path, "blob").scalar.blob
    assert blob.metadata.type.dimensionality == types_pb2.BlobType.MULTIPART
    assert (tmp_path / "raw/x/f").read_text() == "deep"


def test_the_container_s_own_word_goes_first(tmp_path, out):
    (out / "x").write_text("1")
    (out / "_ERROR").write_text("no such table")
    assert collected(tmp_path, types_pb2.INTEGER) == "User Error: no such table"


def test_an_address_of_no_known_kind_is_an_error_and_not_a_wait(tmp_path, out):
    (out / "x").write_text("1")
    variable = interface_pb2.Variable()
    variable.type.blob.dimensionality = types_pb2.BlobType.SINGLE
    declared = interface_pb2.VariableMap(variables={"x": variable})
    copilot.collect(out, declared, tmp_path / "to", "nosuch://bucket")
    message = errors_pb2.ErrorDocument.FromString((tmp_path / "to/error.pb").read_bytes()).error.message
    assert "cannot be copied to nosuch://bucket/x" in message
