from __future__ import annotations

import pytest
from flyteidl.admin import common_pb2, execution_pb2, node_execution_pb2, task_execution_pb2
from flyteidl.core import identifier_pb2, literals_pb2, workflow_pb2
from flyteidl.service import dataproxy_pb2
from google.protobuf import struct_pb2

from flytelite.errors import InvalidArgument
from flytelite.server.rest.query import read_query, set_variable


def read(message, query, bound=()):
    read_query(query, message, bound)
    return message


def test_nested_names_in_both_spellings():
    request = read(
        node_execution_pb2.NodeExecutionListRequest(),
        "uniqueParentId=n0&sort_by.key=created_at&sortBy.direction=DESCENDING&limit=10000",
    )
    assert request == node_execution_pb2.NodeExecutionListRequest(
        unique_parent_id="n0", limit=10_000, sort_by=common_pb2.Sort(key="created_at", direction=0)
    )


def test_plus_is_a_space_and_percent_2b_is_a_plus():
    request = read(common_pb2.ResourceListRequest(), "filters=a+b%2Bc")
    assert request.filters == "a b+c"


def test_repeated_and_map_fields():
    assert read(execution_pb2.NotificationList(), "nonsense[a]=b") == execution_pb2.NotificationList()
    labels = read(execution_pb2.ExecutionSpec(), "labels.values[team]=x&labels.values[env]=y&tags=a&tags=b")
    assert dict(labels.labels.values) == {"team": "x", "env": "y"}
    assert list(labels.tags) == ["a", "b"]


def test_well_known_types():
    request = read(dataproxy_pb2.CreateDownloadLocationRequest(), "native_url=s3%3A%2F%2Fa&expires_in=3600s")
    assert request.expires_in.seconds == 3600
    for text, seconds in {"1h30m": 5400, "0": 0, "-1.5s": -1.5, "100ms": 0.1, "+2m": 120}.items():
        request = read(dataproxy_pb2.CreateDownloadLocationRequest(), f"expires_in={text.replace('+', '%2B')}")
        assert request.expires_in.ToTimedelta().total_seconds() == seconds
    event = read(execution_pb2.ExecutionClosure(), "started_at=2024-01-02T03:04:05.5Z")
    assert event.started_at.nanos == 500_000_000
    assert read(execution_pb2.ExecutionSpec(), "interruptible=false").HasField("interruptible")
    struct = read(literals_pb2.Scalar(), "generic=%7B%22a%22%3A1%7D").generic
    assert struct == struct_pb2.Struct(fields={"a": struct_pb2.Value(number_value=1)})


def test_bytes_in_both_alphabets():
    for text in ("-_8=", "%2B/8=", "-_8"):
        request = read(dataproxy_pb2.CreateUploadLocationRequest(), f"content_md5={text}")
        assert request.content_md5 == b"\xfb\xff"


def test_fields_bound_by_the_path_are_passed_over():
    request = common_pb2.ResourceListRequest(id=common_pb2.NamedEntityIdentifier(project="p"))
    read(request, "id.project=other&id.name=n", bound=(("id", "project"),))
    assert (request.id.project, request.id.name) == ("p", "n")


@pytest.mark.parametrize(
    ("kind", "query", "message"),
    [
        (common_pb2.ResourceListRequest, "limit=1.5", "limit"),
        (common_pb2.ResourceListRequest, "limit=4294967296", "out of range"),
        (common_pb2.ResourceListRequest, "limit=", "limit"),
        (dataproxy_pb2.CreateUploadLocationRequest, "expires_in=9999999999999999h", "expires_in"),
        (dataproxy_pb2.CreateUploadLocationRequest, f"expires_in={'9' * 400}h", "expires_in"),
        (common_pb2.ResourceListRequest, "token=a&token=b", 'too many values for field "token": a, b'),
        (common_pb2.ResourceListRequest, "token.x=a", '"token" is not a message'),
        (common_pb2.ResourceListRequest, "sort_by=a", "Sort cannot be written in a URL"),
        (common_pb2.ResourceListRequest, "sort_by.direction=7", "7"),
        (common_pb2.ResourceListRequest, "token[a]=b", "not a map"),
        (execution_pb2.ExecutionSpec, "labels.values=b", "is a map"),
        (execution_pb2.ExecutionSpec, "labels.values[a]=b&labels.values[a]=c", "more than one value"),
        (execution_pb2.ExecutionSpec, "overwrite_cache=yes", "not a boolean"),
        (execution_pb2.ExecutionSpec, "interruptible=2", "interruptible"),
        (execution_pb2.ExecutionSpec, "disable_all=true&notifications.notifications=x", "notification_overrides"),
        (dataproxy_pb2.CreateUploadLocationRequest, "content_md5=%21", "not base64"),
        (dataproxy_pb2.CreateUploadLocationRequest, "content_md5=a", "content_md5"),
        (dataproxy_pb2.CreateDownloadLocationRequest, "expires_in=soon", "expires_in"),
        (dataproxy_pb2.CreateDownloadLocationRequest, "expires_in=5", "expires_in"),
        (execution_pb2.ExecutionClosure, "started_at=yesterday", "started_at"),
    ],
)
def test_unusable_values(kind, query, message):
    with pytest.raises(InvalidArgument) as caught:
        read(kind(), query)
    assert message in caught.value.message


def test_path_variables():
    request = task_execution_pb2.TaskExecutionGetRequest()
    set_variable(request, ("id", "node_execution_id", "execution_id", "project"), "p")
    set_variable(request, ("id", "retry_attempt"), "3")
    assert request.id.node_execution_id.execution_id.project == "p"
    assert request.id.retry_attempt == 3
    entity = common_pb2.NamedEntityGetRequest()
    for text in ("2", "WORKFLOW"):
        set_variable(entity, ("resource_type",), text)
        assert entity.resource_type == identifier_pb2.WORKFLOW
    for text in ("WORKFLOWS", "99", "", "2 "):
        with pytest.raises(InvalidArgument, match="resource_type"):
            set_variable(entity, ("resource_type",), text)


def test_unknown_fields_are_ignored():
    assert read(workflow_pb2.Node(), "nonsense=1&id=n0&metadata.nonsense.x=1") == workflow_pb2.Node(id="n0")
