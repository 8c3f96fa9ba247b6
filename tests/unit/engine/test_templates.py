from __future__ import annotations

from pathlib import Path

import msgpack
import pytest
from flyteidl.core import literals_pb2
from google.protobuf import duration_pb2, timestamp_pb2

from flytelite.engine.tasks.templates import UnknownInput, Variables, go_duration, go_float, render, text


def primitive(**value) -> literals_pb2.Literal:
    return literals_pb2.Literal(scalar=literals_pb2.Scalar(primitive=literals_pb2.Primitive(**value)))


def variables(**changes) -> Variables:
    values = {
        "input": "/m/n0/data/inputs.pb",
        "input_prefix": "/m/n0/data",
        "output_prefix": "/m/n0/data/0",
        "raw_output_data_prefix": "/raw/oz/x-n0-0",
        "checkpoint_output_prefix": "/raw/oz/x-n0-0/_flytecheckpoints",
        "previous_checkpoint_prefix": "",
        "per_retry_unique_key": "x_n0_0",
        "namespace": "p-d",
        "inputs": literals_pb2.LiteralMap(literals={"a": primitive(integer=3)}),
        "bucket": Path("/bucket"),
        "task_template_path": lambda: "/m/n0/data/task.pb",
    }
    return Variables(**{**values, **changes})


def test_every_variable():
    parts = [
        "{{.input}}",
        "{{ $InputPrefix }}",
        "{{.OUTPUTPREFIX}}/x",
        "{{.rawOutputDataPrefix}}",
        "{{.checkpointOutputPrefix}}",
        "{{.prevCheckpointPrefix}}",
        "{{.perRetryUniqueKey}}",
        "{{.taskTemplatePath}}",
        "{{.namespace}}",
        "a={{.inputs.a}}!",
        "{{ .remote_package_path }}",
        "plain",
    ]
    assert render(parts, variables()) == [
        "/m/n0/data/inputs.pb",
        "/m/n0/data",
        "/m/n0/data/0/x",
        "/raw/oz/x-n0-0",
        "/raw/oz/x-n0-0/_flytecheckpoints",
        '""',
        "x_n0_0",
        "/m/n0/data/task.pb",
        "p-d",
        "a=3!",
        "{{ .remote_package_path }}",
        "plain",
    ]


def test_a_value_with_backslashes_is_taken_literally():
    assert render(["{{.input}}"], variables(input=r"/a\1\g<0>")) == [r"/a\1\g<0>"]


def test_the_template_is_written_only_when_asked_for():
    def fail() -> str:
        raise AssertionError

    assert render(["{{.input}}"], variables(task_template_path=fail)) == ["/m/n0/data/inputs.pb"]


def test_a_missing_input_is_named():
    with pytest.raises(UnknownInput, match=r"requested input is not found \[b\]"):
        render(["{{.inputs.b}}"], variables())


@pytest.mark.parametrize(
    ("literal", "expected"),
    [
        (primitive(integer=-3), "-3"),
        (primitive(boolean=True), "true"),
        (primitive(boolean=False), "false"),
        (primitive(float_value=1.0), "1"),
        (primitive(float_value=2.5), "2.5"),
        (primitive(string_value="a b"), "a b"),
        (
            primitive(datetime=timestamp_pb2.Timestamp(seconds=1_700_000_000, nanos=500_000_000)),
            "2023-11-14T22:13:20.5Z",
        ),
        (primitive(duration=duration_pb2.Duration(seconds=90)), "1m30s"),
        (
            literals_pb2.Literal(
                collection=literals_pb2.LiteralCollection(literals=[primitive(integer=1), primitive(string_value="x")])
            ),
            "[1,x]",
        ),
        (
            literals_pb2.Literal(
                scalar=literals_pb2.Scalar(binary=literals_pb2.Binary(value=msgpack.packb("s"), tag="msgpack"))
            ),
            "s",
        ),
        (
            literals_pb2.Literal(
                scalar=literals_pb2.Scalar(
                    binary=literals_pb2.Binary(value=msgpack.packb({"b": [1, 2], "a": None}), tag="msgpack")
                )
            ),
            "map[a:<nil> b:[1 2]]",
        ),
        (literals_pb2.Literal(scalar=literals_pb2.Scalar(blob=literals_pb2.Blob(uri="/f"))), "/f"),
    ],
)
def test_text_of_literals(literal, expected):
    assert text(literal) == expected


def test_a_map_has_no_text():
    with pytest.raises(UnknownInput):
        text(literals_pb2.Literal(map=literals_pb2.LiteralMap()))


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (0.0, "0"),
        (1e20, "100000000000000000000"),
        (1e21, "1e+21"),
        (1.5e-5, "1.5e-05"),
        (0.0001, "0.0001"),
        (1234567.25, "1234567.25"),
        (-2.5e30, "-2.5e+30"),
        (float("inf"), "+Inf"),
        (float("nan"), "NaN"),
    ],
)
def test_floats_as_go_prints_them(value, expected):
    assert go_float(value) == expected


@pytest.mark.parametrize(
    ("seconds", "nanos", "expected"),
    [
        (0, 0, "0s"),
        (2, 0, "2s"),
        (1, 500_000_000, "1.5s"),
        (0, 20_000_000, "20ms"),
        (0, 1_500, "1.5µs"),
        (0, 7, "7ns"),
        (60, 0, "1m0s"),
        (3600, 0, "1h0m0s"),
        (5400, 250_000_000, "1h30m0.25s"),
        (-90, 0, "-1m30s"),
    ],
)
def test_durations_as_go_prints_them(seconds, nanos, expected):
    assert go_duration(duration_pb2.Duration(seconds=seconds, nanos=nanos)) == expected
