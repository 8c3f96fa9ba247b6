from __future__ import annotations

import pkgutil
from collections.abc import Iterator
from importlib import import_module

import flyteidl
import pytest
from flyteidl.admin import execution_pb2, task_pb2
from flyteidl.core import literals_pb2
from google.protobuf import any_pb2, duration_pb2, field_mask_pb2, json_format, struct_pb2, timestamp_pb2, wrappers_pb2
from google.protobuf.message import Message
from google.protobuf.message_factory import GetMessageClass
from google.rpc import status_pb2
from hypothesis import given, settings
from hypothesis import strategies as st

from flytelite.server.admin.message_printing import print_message

from ..messages import filled


def message_types() -> Iterator[type[Message]]:
    """Every message of flyteidl, by the module that defines it."""
    for module in pkgutil.walk_packages(flyteidl.__path__, "flyteidl."):
        if module.name.endswith("_pb2"):
            for descriptor in import_module(module.name).DESCRIPTOR.message_types_by_name.values():
                yield GetMessageClass(descriptor)


def printed(message: Message) -> object:
    """What the printer makes of a message, or that it refuses it. ``repr`` tells 1 from 1.0 and NaN from nothing."""
    try:
        return repr(print_message(message))
    except (json_format.SerializeToJsonError, ValueError) as error:
        return type(error), str(error)


def printed_by_the_library(message: Message) -> object:
    try:
        return repr(json_format.MessageToDict(message))
    except (json_format.SerializeToJsonError, ValueError) as error:
        return type(error), str(error)


TYPES = sorted(message_types(), key=lambda kind: kind.DESCRIPTOR.full_name)


def test_all_of_flyteidl_is_there():
    names = {kind.DESCRIPTOR.full_name for kind in TYPES}
    assert {"flyteidl.admin.Execution", "flyteidl.core.Literal", "flyteidl.plugins.SparkJob"} <= names


@settings(max_examples=400)
@given(st.sampled_from(TYPES).flatmap(filled))
def test_messages_of_every_type_are_printed_as_the_library_prints_them(message):
    assert printed(message) == printed_by_the_library(message)


@pytest.mark.parametrize("kind", TYPES, ids=lambda kind: kind.DESCRIPTOR.full_name)
def test_an_empty_message_of_every_type(kind):
    assert print_message(kind()) == json_format.MessageToDict(kind())


STRUCTS = st.recursive(
    st.none() | st.booleans() | st.floats() | st.text(max_size=3),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
)


def struct_of(value):
    found = struct_pb2.Struct()
    found.update({"x": value})
    return found


@given(STRUCTS.map(struct_of))
def test_structs(struct):
    assert printed(literals_pb2.Scalar(generic=struct)) == printed_by_the_library(literals_pb2.Scalar(generic=struct))


@given(st.integers(-62135596900, 253402300900), st.integers(-2, 1_000_000_001) | st.sampled_from([0, 5000, 7 * 10**6]))
def test_timestamps_those_out_of_range_too(seconds, nanos):
    closure = execution_pb2.ExecutionClosure(created_at=timestamp_pb2.Timestamp(seconds=seconds, nanos=nanos))
    assert printed(closure) == printed_by_the_library(closure)


@given(
    st.integers(-315576000002, 315576000002) | st.integers(-2, 2),
    st.integers(-1_000_000_001, 1_000_000_001) | st.sampled_from([0, 5000, -(7 * 10**6)]),
)
def test_durations_those_out_of_range_too(seconds, nanos):
    closure = execution_pb2.ExecutionClosure(duration=duration_pb2.Duration(seconds=seconds, nanos=nanos))
    assert printed(closure) == printed_by_the_library(closure)


def packed(message: Message) -> any_pb2.Any:
    found = any_pb2.Any()
    found.Pack(message)
    return found


@pytest.mark.parametrize(
    "content",
    [
        packed(task_pb2.Task(short_description="x")),
        packed(timestamp_pb2.Timestamp(seconds=1)),
        packed(wrappers_pb2.Int64Value(value=2**40)),
        packed(packed(field_mask_pb2.FieldMask(paths=["a_b", "c"]))),
        any_pb2.Any(),
    ],
)
def test_any(content):
    status = status_pb2.Status(code=3, details=[content])
    assert printed(status) == printed_by_the_library(status)


@pytest.mark.parametrize(
    "broken", [any_pb2.Any(type_url="type.googleapis.com/not.Known", value=b"x"), any_pb2.Any(type_url="x", value=b"y")]
)
def test_an_any_that_cannot_be_read_fails_as_in_the_library(broken):
    status = status_pb2.Status(details=[broken])
    with pytest.raises(Exception) as expected:  # whatever the library raises
        json_format.MessageToDict(status)
    with pytest.raises(type(expected.value)) as found:
        print_message(status)
    assert str(found.value) == str(expected.value)


@pytest.mark.parametrize(
    "wrapper",
    [
        wrappers_pb2.BoolValue(value=True),
        wrappers_pb2.BytesValue(value=b"\xff"),
        wrappers_pb2.DoubleValue(value=float("nan")),
        wrappers_pb2.FloatValue(value=0.1),
        wrappers_pb2.FloatValue(value=float("-inf")),
        wrappers_pb2.UInt64Value(value=2**63),
        wrappers_pb2.StringValue(value="x"),
        wrappers_pb2.Int32Value(),
    ],
)
def test_wrappers(wrapper):
    assert printed(wrapper) == printed_by_the_library(wrapper)


def test_a_number_that_is_no_value_of_an_enum_stays_a_number():
    closure = execution_pb2.ExecutionClosure(phase=99)
    assert print_message(closure) == {"phase": 99} == json_format.MessageToDict(closure)
