"""What both transports are derived from: the RPCs of FlyteAdmin's port, read from flyteidl's descriptors, and the
message that an error becomes."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache

from flyteidl.datacatalog import datacatalog_pb2
from flyteidl.service import admin_pb2, auth_pb2, dataproxy_pb2, identity_pb2, signal_pb2
from google.protobuf.any_pb2 import Any
from google.protobuf.descriptor import MethodDescriptor, ServiceDescriptor
from google.protobuf.message import Message
from google.protobuf.message_factory import GetMessageClass
from google.rpc.status_pb2 import Status

from flytelite.descriptors import is_map, is_repeated
from flytelite.errors import FlyteError


@dataclass(frozen=True)
class Method:
    """One RPC. ``name`` is its gRPC path without the leading slash: ``flyteidl.service.AdminService/GetTask``."""

    name: str
    descriptor: MethodDescriptor
    request_class: type[Message]
    response_class: type[Message]


def services() -> tuple[ServiceDescriptor, ...]:
    """The services FlyteAdmin registers (``flyteadmin/pkg/server/service.go``), in the order it registers them, and the
    cache service, which has a port of its own in Flyte."""
    return (
        admin_pb2.DESCRIPTOR.services_by_name["AdminService"],
        auth_pb2.DESCRIPTOR.services_by_name["AuthMetadataService"],
        identity_pb2.DESCRIPTOR.services_by_name["IdentityService"],
        dataproxy_pb2.DESCRIPTOR.services_by_name["DataProxyService"],
        signal_pb2.DESCRIPTOR.services_by_name["SignalService"],
        datacatalog_pb2.DESCRIPTOR.services_by_name["DataCatalog"],
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


def is_deeper(message: Message, levels: int) -> bool:
    """Whether messages are nested in this one to more than so many levels, itself being the first.

    A level takes two bytes at least, so hardly any message has to be looked into.
    """
    if levels <= 0:
        return True
    if message.ByteSize() < 2 * levels:
        return False
    return any(is_deeper(inner, levels - steps) for inner, steps in _inner_messages(message))


def _inner_messages(message: Message) -> Iterator[tuple[Message, int]]:
    """The messages right below, and how many levels below they are: the value of a map is in an entry."""
    for field, value in message.ListFields():
        if field.message_type is None:
            continue
        if not is_repeated(field):
            yield value, 1
        elif not is_map(field):
            yield from ((item, 1) for item in value)
        elif field.message_type.fields_by_name["value"].message_type is not None:
            yield from ((value[key], 2) for key in value)
