"""The checks that several RPCs share, with FlyteAdmin's words for what is wrong.

An identifier message in which nothing is set counts as absent: that is how an unset field arrives here.
Source of the rules: flyteadmin/pkg/manager/impl/validation/.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping

from flyteidl.admin import common_pb2
from flyteidl.core import execution_pb2, identifier_pb2, literals_pb2
from google.protobuf import timestamp_pb2

from flytelite.errors import InvalidArgument
from flytelite.server.admin.identifiers import text

MAX_LABELS = 16
MIN_SECONDS = -62135596800  # 0001-01-01T00:00:00Z
MAX_SECONDS = 253402300799  # 9999-12-31T23:59:59Z

_DNS_LABEL = re.compile(r"[a-z0-9]([-a-z0-9]*[a-z0-9])?")
_LABEL_NAME = re.compile(r"[A-Za-z0-9]([-A-Za-z0-9_.]*[A-Za-z0-9])?")
_NOTIFIABLE = frozenset(
    {
        execution_pb2.WorkflowExecution.SUCCEEDED,
        execution_pb2.WorkflowExecution.FAILED,
        execution_pb2.WorkflowExecution.TIMED_OUT,
        execution_pb2.WorkflowExecution.ABORTED,
    }
)


def missing(field: str) -> InvalidArgument:
    """The error for a field that is needed and not set."""
    return InvalidArgument(f"missing {field}")


def invalid(field: str) -> InvalidArgument:
    """The error for a field whose value cannot be used."""
    return InvalidArgument(f"invalid value for {field}")


def require(value: object, field: str) -> None:
    """Raise InvalidArgument ``missing <field>`` when the value is empty."""
    if not value:
        raise missing(field)


def max_length(value: str, field: str, length: int) -> None:
    """Raise InvalidArgument when the value takes more than ``length`` bytes of UTF-8."""
    if len(value.encode()) > length:
        raise InvalidArgument(f"{field} cannot exceed {length} characters")


def limit(value: int) -> None:
    """A page of a list has at least one row."""
    if value == 0:
        raise invalid("limit")


def resource_type(value: int) -> None:
    """A named resource type is given."""
    if value == identifier_pb2.UNSPECIFIED or value not in identifier_pb2.ResourceType.values():
        raise invalid("resource_type")


def type_name(value: int) -> str:
    """The name of a resource type, or its number when it has none."""
    known = value in identifier_pb2.ResourceType.values()
    return str(identifier_pb2.ResourceType.Name(value)) if known else str(value)


def with_default_type(id: identifier_pb2.Identifier, default: int) -> identifier_pb2.Identifier:
    """The identifier, with ``default`` as resource type when it names none (flyteadmin/pkg/rpc/adminservice)."""
    if id.resource_type != identifier_pb2.UNSPECIFIED or not id.ByteSize():
        return id
    filled = identifier_pb2.Identifier()
    filled.CopyFrom(id)
    filled.resource_type = default
    return filled


def with_task_type(asked: identifier_pb2.TaskExecutionIdentifier) -> identifier_pb2.TaskExecutionIdentifier:
    """The identifier, with TASK as its task's resource type when that names none: no path of a REST call can."""
    id = identifier_pb2.TaskExecutionIdentifier()
    id.CopyFrom(asked)
    if id.HasField("task_id"):
        id.task_id.CopyFrom(with_default_type(id.task_id, identifier_pb2.TASK))
    return id


def entity_identifier(id: identifier_pb2.Identifier, expected: int) -> None:
    """A full identifier (flyteidl.core.Identifier) of the ``expected`` resource type."""
    if not id.ByteSize():
        raise missing("id")
    if id.resource_type != expected:
        raise InvalidArgument(
            f"unexpected resource type {type_name(id.resource_type).lower()} for identifier [{text(id)}], "
            f"expected {type_name(expected).lower()} instead"
        )
    identifier_fields(id)


def identifier_fields(id: identifier_pb2.Identifier) -> None:
    """All parts of a flyteidl.core.Identifier, of whatever type, are set."""
    if not id.ByteSize():
        raise missing("id")
    require(id.project, "project")
    require(id.domain, "domain")
    require(id.name, "name")
    require(id.version, "version")


def named_entity_identifier(id: common_pb2.NamedEntityIdentifier) -> None:
    """All parts of a NamedEntityIdentifier are set."""
    if not id.ByteSize():
        raise missing("id")
    require(id.project, "project")
    require(id.domain, "domain")
    require(id.name, "name")


def list_scope(id: common_pb2.NamedEntityIdentifier, page_limit: int) -> None:
    """What a ResourceListRequest must name: project, domain and limit (the name is optional)."""
    if not id.ByteSize():
        raise missing("id")
    require(id.project, "project")
    require(id.domain, "domain")
    limit(page_limit)


def execution_identifier(id: identifier_pb2.WorkflowExecutionIdentifier) -> None:
    """All parts of a WorkflowExecutionIdentifier are set."""
    if not id.ByteSize():
        raise missing("id")
    require(id.project, "project")
    require(id.domain, "domain")
    require(id.name, "name")


def node_execution_identifier(id: identifier_pb2.NodeExecutionIdentifier) -> None:
    """All parts of a NodeExecutionIdentifier are set."""
    if not id.ByteSize():
        raise missing("id")
    if not id.HasField("execution_id"):
        raise missing("execution_id")
    require(id.node_id, "node_id")
    execution_identifier(id.execution_id)


def task_execution_identifier(id: identifier_pb2.TaskExecutionIdentifier) -> None:
    """All parts of a TaskExecutionIdentifier are set, its task id's resource type included."""
    if not id.ByteSize():
        raise missing("id")
    if not id.HasField("node_execution_id"):
        raise missing("node_execution_id")
    node_execution_identifier(id.node_execution_id)
    if not id.HasField("task_id"):
        raise missing("task_id")
    entity_identifier(id.task_id, identifier_pb2.TASK)


def dns_label(value: str) -> list[str]:
    """Why the value is no DNS-1123 label; empty when it is one."""
    faults = []
    if len(value) > 63:
        faults.append("must be no more than 63 characters")
    if not _DNS_LABEL.fullmatch(value):
        faults.append("must consist of lower case letters, digits and '-', and start and end with a letter or a digit")
    return faults


def labels(values: Mapping[str, str]) -> None:
    """At most 16 labels, each with a Kubernetes qualified name as key and a Kubernetes label value as value."""
    if len(values) > MAX_LABELS:
        raise InvalidArgument(f"labels map cannot exceed {MAX_LABELS} entries")
    for key, value in values.items():
        faults = _qualified_name(key)
        if faults:
            raise InvalidArgument(f"invalid label key [{key}]: [{'; '.join(faults)}]")
        faults = _label_name(value, "value") if value else []
        if faults:
            raise InvalidArgument(f"invalid label value [{value}]: [{'; '.join(faults)}]")


def _qualified_name(key: str) -> list[str]:
    prefix, slash, name = key.rpartition("/")
    faults = []
    if slash:
        if "/" in prefix:
            faults.append("name must be at most one prefix, '/' and a name")
        if not prefix:
            faults.append("prefix must not be empty")
        elif len(prefix) > 253 or not all(_DNS_LABEL.fullmatch(part) for part in prefix.split(".")):
            faults.append("prefix must be a lower case DNS subdomain of at most 253 characters")
    return faults + _label_name(name, "name")


def _label_name(name: str, what: str) -> list[str]:
    faults = []
    if not name:
        return [f"{what} must not be empty"]
    if len(name) > 63:
        faults.append(f"{what} must be no more than 63 characters")
    if not _LABEL_NAME.fullmatch(name):
        faults.append(
            f"{what} must consist of letters, digits, '-', '_' and '.', and start and end with a letter or a digit"
        )
    return faults


def literal_map(map: literals_pb2.LiteralMap, field: str) -> None:
    """Every literal has a key and a value (or is offloaded), every datetime is a valid Timestamp."""
    for name, literal in map.literals.items():
        if not name:
            raise InvalidArgument(f"missing key in {field}")
        if literal.WhichOneof("value") is None:
            raise InvalidArgument(f"missing valid literal in {field} {name}")
        datetime(literal)


def datetime(literal: literals_pb2.Literal) -> None:
    """When the literal is a datetime, it lies in the years 1 to 9999 and its nanoseconds are a fraction of a second."""
    if literal.WhichOneof("value") != "scalar" or literal.scalar.WhichOneof("value") != "primitive":
        return
    if literal.scalar.primitive.WhichOneof("value") == "datetime":
        timestamp(literal.scalar.primitive.datetime)


def timestamp(stamp: timestamp_pb2.Timestamp) -> None:
    """The Timestamp can be written as RFC 3339."""
    if not MIN_SECONDS <= stamp.seconds <= MAX_SECONDS:
        raise InvalidArgument(f"timestamp of {stamp.seconds} seconds lies outside the years 0001 to 9999")
    if not 0 <= stamp.nanos < 1_000_000_000:
        raise InvalidArgument(f"timestamp has {stamp.nanos} nanoseconds, which is no fraction of a second")


def notifications(notices: Iterable[common_pb2.Notification]) -> None:
    """Each notification has one way of delivery, recipients, and only phases in which an execution has ended."""
    for notice in notices:
        way = notice.WhichOneof("type")
        if way is None:
            raise invalid("notification type")
        recipients = getattr(notice, way).recipients_email
        require(recipients, "recipients")
        for recipient in recipients:
            require(recipient, "recipient")
        if any(phase not in _NOTIFIABLE for phase in notice.phases):
            raise invalid("phase")
