"""The services that come with every gRPC server: health, and reflection of both versions."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import grpc
import pytest
from google.protobuf.descriptor_pb2 import FileDescriptorProto
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection_pb2

from .test_table import SERVICES

SERVING = health_pb2.HealthCheckResponse.SERVING


@pytest.fixture
def health(channel: grpc.Channel) -> health_pb2_grpc.HealthStub:
    return health_pb2_grpc.HealthStub(channel)


@pytest.mark.parametrize("service", ["", "flyteadmin", "datacatalog.DataCatalog"])
def test_health(health: health_pb2_grpc.HealthStub, service: str):
    request = health_pb2.HealthCheckRequest(service=service)
    assert health.Check(request).status == SERVING
    watching = health.Watch(request)
    assert next(watching).status == SERVING
    watching.cancel()


def test_health_of_another_service(health: health_pb2_grpc.HealthStub):
    with pytest.raises(grpc.RpcError) as caught:
        health.Check(health_pb2.HealthCheckRequest(service="nonsense"))
    assert caught.value.code() is grpc.StatusCode.NOT_FOUND


def reflect(channel: grpc.Channel, version: str, requests: Iterable[dict[str, str]]) -> list[Any]:
    call = channel.stream_stream(
        f"/grpc.reflection.{version}.ServerReflection/ServerReflectionInfo",
        request_serializer=reflection_pb2.ServerReflectionRequest.SerializeToString,
        response_deserializer=reflection_pb2.ServerReflectionResponse.FromString,
    )
    return list(call(iter([reflection_pb2.ServerReflectionRequest(**request) for request in requests])))


@pytest.mark.parametrize("version", ["v1alpha", "v1"])
def test_reflection_knows_every_method(channel: grpc.Channel, version: str):
    asked = [{"file_containing_symbol": service.full_name} for service in SERVICES]
    listed, *files = reflect(channel, version, [{"list_services": ""}, *asked])
    names = {service.name for service in listed.list_services_response.service}
    assert names >= {service.full_name for service in SERVICES} | {"grpc.health.v1.Health"}
    for service, file in zip(SERVICES, files, strict=True):
        described = FileDescriptorProto.FromString(file.file_descriptor_response.file_descriptor_proto[0])
        methods = {
            f"{described.package}.{found.name}": [method.name for method in found.method] for found in described.service
        }
        assert methods[service.full_name] == [method.name for method in service.methods]


def test_reflection_of_a_missing_symbol(channel: grpc.Channel):
    (answer,) = reflect(channel, "v1", [{"file_containing_symbol": "flyteidl.service.Nonsense"}])
    assert answer.error_response.error_code == grpc.StatusCode.NOT_FOUND.value[0]
