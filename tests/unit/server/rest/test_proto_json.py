from __future__ import annotations

import json

import orjson
import pytest
from flyteidl.admin import execution_pb2, launch_plan_pb2, project_pb2, task_pb2, workflow_pb2
from flyteidl.core import literals_pb2, tasks_pb2
from google.protobuf import (
    any_pb2,
    duration_pb2,
    field_mask_pb2,
    json_format,
    struct_pb2,
    timestamp_pb2,
    wrappers_pb2,
)
from hypothesis import given, settings

from flytelite.server.rest.proto_json import to_json

from ..messages import filled


def without_nulls(value):
    """What Python's json_format writes: it leaves out unset messages (a Struct's own nulls stay in neither)."""
    if isinstance(value, dict):
        return {key: without_nulls(item) for key, item in value.items() if item is not None}
    if isinstance(value, list):
        return [without_nulls(item) for item in value]
    return value


@pytest.mark.parametrize(
    "kind",
    [
        task_pb2.Task,
        execution_pb2.Execution,
        launch_plan_pb2.LaunchPlan,
        literals_pb2.LiteralMap,
        tasks_pb2.TaskTemplate,
        workflow_pb2.WorkflowSpec,
    ],
)
@pytest.mark.parametrize("camel_case", [True, False])
def test_agrees_with_protobufs_own_json(kind, camel_case):
    @settings(max_examples=25)
    @given(filled(kind))
    def check(message):
        expected = json_format.MessageToDict(
            message, always_print_fields_with_no_presence=True, preserving_proto_field_name=not camel_case
        )
        ours = orjson.loads(orjson.dumps(to_json(message, camel_case)))
        assert without_nulls(ours) == without_nulls(json.loads(json.dumps(expected)))

    check()


def test_unset_messages_are_null_and_unset_members_are_left_out():
    answer = to_json(execution_pb2.ExecutionClosure(), camel_case=False)
    assert answer["started_at"] is None
    assert "outputs" not in answer  # a oneof's member
    assert answer["notifications"] == []
    assert answer["phase"] == "UNDEFINED"


def test_a_members_zero_is_written():
    literal = literals_pb2.Literal()
    literal.scalar.primitive.integer = 0
    answer = to_json(literal, camel_case=True)
    assert answer["scalar"]["primitive"] == {"integer": "0"}
    assert answer["metadata"] == {}


def test_well_known_types():
    wrapped = launch_plan_pb2.LaunchPlanSpec(interruptible=wrappers_pb2.BoolValue(value=False))
    answer = to_json(wrapped, camel_case=True)
    assert answer["interruptible"] is False
    assert answer["overwriteCache"] is False
    struct = json_format.ParseDict({"a": [1, None, {"b": "c"}]}, struct_pb2.Struct())
    assert to_json(struct, True) == {"a": [1.0, None, {"b": "c"}]}
    assert to_json(timestamp_pb2.Timestamp(seconds=1, nanos=500_000_000), True) == "1970-01-01T00:00:01.500Z"
    assert to_json(duration_pb2.Duration(seconds=3, nanos=500_000_000), True) == "3.500s"
    assert to_json(field_mask_pb2.FieldMask(paths=["a_b.c"]), True) == "aB.c"
    assert to_json(wrappers_pb2.Int64Value(value=3), True) == "3"
    assert to_json(wrappers_pb2.DoubleValue(value=float("-inf")), True) == "-Infinity"


def test_any():
    packed = any_pb2.Any()
    packed.Pack(project_pb2.Domain(id="d"))
    url = "type.googleapis.com/flyteidl.admin.Domain"
    assert to_json(packed, True) == {"@type": url, "id": "d", "name": ""}
    packed.Pack(duration_pb2.Duration(seconds=1))
    assert to_json(packed, True) == {"@type": "type.googleapis.com/google.protobuf.Duration", "value": "1s"}
    stranger = any_pb2.Any(type_url="type.googleapis.com/who.Knows", value=b"abc")
    assert to_json(stranger, True) == {"@type": "type.googleapis.com/who.Knows", "value": "YWJj"}
    assert to_json(any_pb2.Any(), True) == {}


def test_unknown_enum_values_stay_numbers():
    assert to_json(project_pb2.Project(state=99), True)["state"] == 99


def test_a_time_out_of_range_has_no_json():
    with pytest.raises(ValueError, match=r"(?i)timestamp"):
        to_json(timestamp_pb2.Timestamp(seconds=10**15), True)
