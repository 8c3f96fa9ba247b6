"""What both transports are derived from: the RPCs of FlyteAdmin's port, read from flyteidl's descriptors, and the
message that an error becomes."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

from flyteidl.service import admin_pb2, auth_pb2, dataproxy_pb2, identity_pb2, signal_pb2
from google.protobuf.any_pb2 import Any
from google.protobuf.descriptor import FieldDescriptor, MethodDescriptor, ServiceDescriptor
from google.protobuf.message import Message
from google.protobuf.message_factory import GetMessageClass
from google.rpc.status_pb2 import Status

from flytelite.errors import FlyteError


@dataclass(frozen=True)
class Method:
    """One RPC. ``name`` is its gRPC path without the leading slash: ``flyteidl.service.AdminService/GetTask``."""

    name: str
    descriptor: MethodDescriptor
    request_class: type[Message]
    response_class: type[Message]


def services() -> tuple[ServiceDescriptor, ...]:
    """The services FlyteAdmin registers (``flyteadmin/pkg/server/service.go``), in the order it registers them."""
    return (
        admin_pb2.DESCRIPTOR.services_by_name["AdminService"],
        auth_pb2.DESCRIPTOR.services_by_name["AuthMetadataService"],
        identity_pb2.DESCRIPTOR.services_by_name["IdentityService"],
        dataproxy_pb2.DESCRIPTOR.services_by_name["DataProxyService"],
        signal_pb2.DESCRIPTOR.services_by_name["SignalService"],
    )


@cache
def methods() -> tuple[Method, ...]:
    """Every RPC of every service, in the order of the descriptors."""
    return tuple(
        Method(
            name=f"{service.full_name}/{method.name}",
            descriptor=method,
            request_class=GetMessageClass(method.input_type),
            response_class=GetMessageClass(method.output_type),
        )
        for service in services()
        for method in service.methods
    )


def status(error: FlyteError) -> Status:
    """The google.rpc.Status of an error, its details packed."""
    answer = Status(code=error.code, message=error.message)
    for detail in error.details:
        packed = Any()
        packed.Pack(detail)
        answer.details.append(packed)
    return answer


def is_repeated(field: FieldDescriptor) -> bool:
    """Whether a field is a list or a map; protobuf 7 has only one way to ask, protobuf 5 only the other."""
    if hasattr(field, "is_repeated"):
        return field.is_repeated
    return bool(field.label == FieldDescriptor.LABEL_REPEATED)  # type: ignore[attr-defined]


def is_map(field: FieldDescriptor) -> bool:
    """Whether a field is a map."""
    return field.message_type is not None and field.message_type.GetOptions().map_entry
