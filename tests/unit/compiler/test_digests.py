from __future__ import annotations

import base64
from typing import Any

import pytest
from flyteidl.core import compiler_pb2, interface_pb2, literals_pb2, types_pb2
from google.protobuf import (
    descriptor_pb2,
    descriptor_pool,
    duration_pb2,
    json_format,
    message_factory,
    struct_pb2,
    timestamp_pb2,
)
from hypothesis import given
from hypothesis import strategies as st

from flytelite.compiler.digests import message_digest


def shown(message: Any) -> str:
    """As FlyteAdmin shows it: URL-safe base64 without padding."""
    return base64.urlsafe_b64encode(message_digest(message)).decode().rstrip("=")


def test_vectors_of_the_cache() -> None:
    values = literals_pb2.LiteralMap()
    values.literals["1"].scalar.primitive.integer = 1
    values.literals["2"].scalar.primitive.integer = 2
    assert shown(values) == "GQid5LjHbakcW68DS3P2jp80QLbiF0olFHF2hTh5bg8"
    variables = interface_pb2.VariableMap()
    variables.variables["1"].type.simple = types_pb2.INTEGER
    variables.variables["2"].type.simple = types_pb2.INTEGER
    assert shown(variables).startswith("UxVtPm0k")
    assert shown(literals_pb2.LiteralMap()).startswith("GKw-c0Pw")


def sample() -> Any:
    """The message that flytestdlib/pbhash/pbhash_test.go hashes."""
    kinds = descriptor_pb2.FieldDescriptorProto
    file = descriptor_pb2.FileDescriptorProto(name="sample.proto", package="sample", syntax="proto3")
    file.dependency.extend(["google/protobuf/timestamp.proto", "google/protobuf/duration.proto"])
    message = file.message_type.add(name="Sample")
    pair = message.nested_type.add(name="MapValueEntry")
    pair.options.map_entry = True
    for number, name in enumerate(("key", "value"), 1):
        pair.field.add(name=name, number=number, type=kinds.TYPE_STRING, label=kinds.LABEL_OPTIONAL)
    one, many = kinds.LABEL_OPTIONAL, kinds.LABEL_REPEATED
    message.field.add(name="integer", number=1, type=kinds.TYPE_INT64, label=one)
    message.field.add(name="float_value", number=2, type=kinds.TYPE_DOUBLE, label=one)
    message.field.add(name="string_value", number=3, type=kinds.TYPE_STRING, label=one)
    message.field.add(name="boolean", number=4, type=kinds.TYPE_BOOL, label=one)
    times = (("datetime", 5, ".google.protobuf.Timestamp"), ("duration", 6, ".google.protobuf.Duration"))
    for name, number, kind in times:
        message.field.add(name=name, number=number, type=kinds.TYPE_MESSAGE, type_name=kind, label=one)
    entry = ".sample.Sample.MapValueEntry"
    message.field.add(name="map_value", number=7, type=kinds.TYPE_MESSAGE, type_name=entry, label=many)
    message.field.add(name="collections", number=8, type=kinds.TYPE_STRING, label=many)
    pool = descriptor_pool.DescriptorPool()
    for known in (timestamp_pb2, duration_pb2):
        pool.AddSerializedFile(known.DESCRIPTOR.serialized_pb)
    pool.Add(file)
    kind = message_factory.GetMessageClass(pool.FindMessageTypeByName("sample.Sample"))
    return kind(integer=18, float_value=1.3, string_value="lets test this", boolean=True)


def test_vectors_of_pbhash() -> None:
    message = sample()
    assert base64.b64encode(message_digest(message)) == b"GhPMTKvJfUPHK8U3vEmoi/wdVBx7IQSPqyjGXAZzquI="
    message.datetime.seconds = 1553860800  # 2019-03-29T12:00:00Z
    message.duration.nanos = 1_000_000
    message.map_value.update(z="last", a="first")
    message.collections.extend(["1", "2", "3"])
    assert base64.b64encode(message_digest(message)) == b"YpWyLCP1NW0DVk3Hj64tK70H/9t+5fQlj7yyDK2lSEQ="


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (0.0, "hzOXBG8tWAwqbNBlsTq1X5wGxMJwQUQelZCxsehl3H4"),
        (-0.0, "hzOXBG8tWAwqbNBlsTq1X5wGxMJwQUQelZCxsehl3H4"),
        (1.0, "gXhaF3QCi7cBcUtZVnf6aQZiNmSl_KVsRmOy5JhEj6Q"),
        (-1.0, "6s02IeFj56ZwMR7Oh-7_ZYX5ywP2iso10SvUqe0BNSo"),
        (0.5, "imEqpF7aknzGbixM34slEQytgAzIKjQNOsCH6VKdecc"),
        (0.1, "ETgFRpDdqW84VUlWD0G2RF86kBKa5nyNu-80IcklKLY"),
        (1e300, "2q3qSeALr6vbzAfBcVPmDekc4UsrBBKUYI4yU1rGyb8"),
        (5e-324, "26kryH_ZhH93TvgHfnjEVZGopSn0f6YZ_eyfSLc7bRA"),
        (float("inf"), "1jIKT5U5zI5Fo2A9D6TmimaCJwGePAG-u0ysrHKBzmw"),
        (float("nan"), "ij3TEV91haFnYMfR0jyLjYC9o913oyGrZ5Nq3pbcVgs"),
    ],
)
def test_floats(value: float, expected: str) -> None:
    values = literals_pb2.LiteralMap()
    values.literals["x"].scalar.primitive.float_value = value
    assert shown(values) == expected


def test_every_kind_of_field() -> None:
    times = [{"datetime": "2024-01-02T03:04:05.678Z"}, {"duration": "61.5s"}, {"boolean": False}]
    elements = [{"scalar": {"primitive": primitive}} for primitive in times] + [{"scalar": {"noneType": {}}}]
    literals = {
        "a": {"collection": {"literals": elements}},
        "b": {"scalar": {"generic": {"x": [1, 2.5, None, True, "é"], "y": {}}}},
        "c": {"scalar": {"binary": {"value": "AP8=", "tag": "msgpack"}}},
        "d": {"map": {}},
        "e": {"hash": "h", "metadata": {"k": "v"}},
    }
    values = json_format.ParseDict({"literals": literals}, literals_pb2.LiteralMap())
    assert shown(values) == "9M7MDmMzwimhfoI-5WFR0rGn6aoNjzgGIpSgx0HU0YA"


def test_enums_wrappers_and_floats_of_32_bits() -> None:
    closure = compiler_pb2.CompiledWorkflowClosure()
    node = closure.primary.template.nodes.add(id="n0")
    node.metadata.interruptible = False
    array = node.array_node
    array.min_success_ratio, array.parallelism, array.execution_mode = 0.9, 7, 1
    array.is_original_sub_node_interface.value = False
    assert shown(closure) == "A1wiyyXkyovskwPpaGHZc1e3mX1thXNZudy9VWh62rE"


def test_values_that_json_has_not_still_have_a_digest() -> None:
    odd = struct_pb2.Struct()
    odd.fields["x"].number_value = float("nan")
    plain = struct_pb2.Struct()
    plain.fields["x"].number_value = 1
    assert message_digest(odd) == message_digest(odd) != message_digest(plain)


@given(st.dictionaries(st.text(max_size=5), st.integers(-(2**63), 2**63 - 1), max_size=5))
def test_the_order_of_maps_does_not_count(values: dict[str, int]) -> None:
    one, other = literals_pb2.LiteralMap(), literals_pb2.LiteralMap()
    for name in values:
        one.literals[name].scalar.primitive.integer = values[name]
    for name in reversed(values):
        other.literals[name].scalar.primitive.integer = values[name]
    assert message_digest(one) == message_digest(other)
    one.literals["another one"].scalar.none_type.SetInParent()
    assert message_digest(one) != message_digest(other)
