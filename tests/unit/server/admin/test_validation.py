from __future__ import annotations

import pytest
from flyteidl.admin import common_pb2
from flyteidl.core import execution_pb2, identifier_pb2, literals_pb2
from google.protobuf import timestamp_pb2

from flytelite.errors import InvalidArgument
from flytelite.server.admin import validation


def identifier(**parts: object) -> identifier_pb2.Identifier:
    full = {"resource_type": identifier_pb2.TASK, "project": "p", "domain": "d", "name": "n", "version": "v"}
    return identifier_pb2.Identifier(**(full | parts))


def test_a_full_identifier_passes():
    validation.entity_identifier(identifier(), identifier_pb2.TASK)


@pytest.mark.parametrize("part", ["project", "domain", "name", "version"])
def test_each_part_of_an_identifier_is_needed(part):
    with pytest.raises(InvalidArgument, match=rf"^missing {part}$"):
        validation.entity_identifier(identifier(**{part: ""}), identifier_pb2.TASK)


def test_an_empty_identifier_is_missing():
    with pytest.raises(InvalidArgument, match=r"^missing id$"):
        validation.entity_identifier(identifier_pb2.Identifier(), identifier_pb2.TASK)


def test_the_resource_type_is_checked_before_the_parts():
    wrong = identifier(resource_type=identifier_pb2.WORKFLOW, project="")
    with pytest.raises(InvalidArgument, match=r"^unexpected resource type workflow .*expected task instead$"):
        validation.entity_identifier(wrong, identifier_pb2.TASK)


def test_a_resource_type_without_a_name_is_shown_by_its_number():
    with pytest.raises(InvalidArgument, match=r"^unexpected resource type 77 "):
        validation.entity_identifier(identifier(resource_type=77), identifier_pb2.TASK)


def test_an_unspecified_type_is_filled_only_into_a_given_identifier():
    untyped = identifier(resource_type=identifier_pb2.UNSPECIFIED)
    assert validation.with_default_type(untyped, identifier_pb2.TASK) == identifier()
    assert untyped.resource_type == identifier_pb2.UNSPECIFIED
    empty = identifier_pb2.Identifier()
    assert validation.with_default_type(empty, identifier_pb2.TASK) is empty


EXECUTION = {"project": "p", "domain": "d", "name": "x"}


@pytest.mark.parametrize(
    ("word", "id"),
    [
        ("id", {}),
        ("node_execution_id", {"retry_attempt": 1}),
        ("id", {"node_execution_id": {}}),
        ("execution_id", {"node_execution_id": {"node_id": "n0"}}),
        ("node_id", {"node_execution_id": {"execution_id": EXECUTION}}),
        ("project", {"node_execution_id": {"node_id": "n0", "execution_id": EXECUTION | {"project": ""}}}),
        ("domain", {"node_execution_id": {"node_id": "n0", "execution_id": EXECUTION | {"domain": ""}}}),
        ("name", {"node_execution_id": {"node_id": "n0", "execution_id": EXECUTION | {"name": ""}}}),
        ("task_id", {"node_execution_id": {"node_id": "n0", "execution_id": EXECUTION}}),
    ],
)
def test_each_part_of_a_task_execution_identifier_is_needed(word, id):
    with pytest.raises(InvalidArgument, match=rf"^missing {word}$"):
        validation.task_execution_identifier(identifier_pb2.TaskExecutionIdentifier(**id))


def test_a_full_task_execution_identifier_passes():
    node = {"node_id": "n0", "execution_id": EXECUTION}
    id = identifier_pb2.TaskExecutionIdentifier(node_execution_id=node, task_id=identifier())
    validation.task_execution_identifier(id)


def test_a_page_has_rows():
    validation.limit(1)
    with pytest.raises(InvalidArgument, match=r"^invalid value for limit$"):
        validation.limit(0)


@pytest.mark.parametrize("key", ["a", "a.b/c", "team", "A-1_b.c", "k" * 63, "example.com/" + "n" * 63])
def test_label_keys_that_kubernetes_takes(key):
    validation.labels({key: "v", f"{key}": ""})


@pytest.mark.parametrize("key", ["", "-a", "a/", "/a", "a/b/c", "Prefix/a", "k" * 64, "a b", "ü"])
def test_label_keys_that_kubernetes_refuses(key):
    with pytest.raises(InvalidArgument, match=r"invalid label key"):
        validation.labels({key: "v"})


@pytest.mark.parametrize("value", ["-a", "a-", "v" * 64, "a/b", "a b"])
def test_label_values_that_kubernetes_refuses(value):
    with pytest.raises(InvalidArgument, match=r"invalid label value"):
        validation.labels({"k": value})


def test_sixteen_labels_are_enough():
    validation.labels({f"k{n}": "" for n in range(16)})
    with pytest.raises(InvalidArgument, match=r"^labels map cannot exceed 16 entries$"):
        validation.labels({f"k{n}": "" for n in range(17)})


def test_literal_maps():
    text = literals_pb2.Literal(
        scalar=literals_pb2.Scalar(primitive=literals_pb2.Primitive(string_value="")),
    )
    offloaded = literals_pb2.Literal(offloaded_metadata=literals_pb2.LiteralOffloadedMetadata(uri="/x"))
    validation.literal_map(literals_pb2.LiteralMap(literals={"a": text, "b": offloaded}), "inputs")
    with pytest.raises(InvalidArgument, match=r"^missing key in inputs$"):
        validation.literal_map(literals_pb2.LiteralMap(literals={"": text}), "inputs")
    with pytest.raises(InvalidArgument, match=r"^missing valid literal in inputs b$"):
        validation.literal_map(literals_pb2.LiteralMap(literals={"a": text, "b": literals_pb2.Literal()}), "inputs")


@pytest.mark.parametrize(("seconds", "nanos"), [(-62135596801, 0), (253402300800, 0), (0, -1), (0, 10**9)])
def test_datetimes_lie_in_proto_years(seconds, nanos):
    stamp = timestamp_pb2.Timestamp()
    stamp.seconds, stamp.nanos = seconds, nanos
    literal = literals_pb2.Literal(scalar=literals_pb2.Scalar(primitive=literals_pb2.Primitive(datetime=stamp)))
    valid = literals_pb2.Literal()
    valid.scalar.primitive.datetime.seconds = 1
    with pytest.raises(InvalidArgument, match=r"timestamp"):
        validation.literal_map(literals_pb2.LiteralMap(literals={"a": valid, "b": literal}), "inputs")


def test_notifications():
    succeeded = [execution_pb2.WorkflowExecution.SUCCEEDED]
    email = common_pb2.EmailNotification(recipients_email=["a@b"])
    validation.notifications([common_pb2.Notification(phases=succeeded, email=email)])
    cases = {
        "invalid value for notification type": common_pb2.Notification(phases=succeeded),
        "missing recipients": common_pb2.Notification(slack=common_pb2.SlackNotification()),
        "missing recipient": common_pb2.Notification(
            pager_duty=common_pb2.PagerDutyNotification(recipients_email=["a@b", ""])
        ),
        "invalid value for phase": common_pb2.Notification(
            email=email, phases=[execution_pb2.WorkflowExecution.RUNNING]
        ),
    }
    for message, notice in cases.items():
        with pytest.raises(InvalidArgument, match=rf"^{message}$"):
            validation.notifications([notice])
