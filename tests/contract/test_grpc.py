"""gRPC over the one port, with real channels."""

from __future__ import annotations

import asyncio
import socket
import struct

import grpc
import pytest
from flyteidl.admin import common_pb2, event_pb2, execution_pb2, project_pb2, task_pb2, version_pb2
from flyteidl.core import identifier_pb2
from flyteidl.service import admin_pb2_grpc, auth_pb2, auth_pb2_grpc, identity_pb2, identity_pb2_grpc
from google.protobuf.descriptor_pb2 import FileDescriptorProto
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection_pb2
from grpc_status import rpc_status

FLYTEKIT_OPTIONS = [("grpc.max_metadata_size", 32 * 1024), ("grpc.max_receive_message_length", 20 * 1024 * 1024)]


@pytest.fixture(scope="module")
def channel(transports):
    with grpc.insecure_channel(transports.target, options=FLYTEKIT_OPTIONS) as channel:
        yield channel


@pytest.fixture(scope="module")
def admin(channel):
    return admin_pb2_grpc.AdminServiceStub(channel)


def test_unary_call(admin):
    answer = admin.GetVersion(version_pb2.GetVersionRequest(), metadata=[("accept", "application/grpc")])
    assert answer.control_plane_version.Version == "v1"


def test_asynchronous_client(transports):
    async def call():
        async with grpc.aio.insecure_channel(transports.target) as channel:
            stub = admin_pb2_grpc.AdminServiceStub(channel)
            return await asyncio.gather(*(stub.ListProjects(project_pb2.ProjectListRequest()) for _ in range(50)))

    answers = asyncio.run(call())
    assert {answer.projects[0].id for answer in answers} == {"flytesnacks"}


def test_large_messages_travel_both_ways(transports, admin):
    description = "x" * (10 * 1024 * 1024)
    id = identifier_pb2.Identifier(project="p", domain="d", name="large", version=description)
    admin.CreateTask(task_pb2.TaskCreateRequest(id=id))
    answer = admin.GetTask(common_pb2.ObjectGetRequest(id=id))
    assert answer.id.version == description


def test_message_above_the_limit(transports):
    with grpc.insecure_channel(transports.target, options=[("grpc.max_send_message_length", -1)]) as channel:
        id = identifier_pb2.Identifier(name="x" * (transports.settings.max_message_bytes + 1))
        with pytest.raises(grpc.RpcError) as caught:
            admin_pb2_grpc.AdminServiceStub(channel).CreateTask(task_pb2.TaskCreateRequest(id=id))
    assert caught.value.code() is grpc.StatusCode.RESOURCE_EXHAUSTED


def test_error_code_and_text(admin):
    with pytest.raises(grpc.RpcError) as caught:
        admin.GetTask(common_pb2.ObjectGetRequest(id=identifier_pb2.Identifier(name="absent")))
    assert caught.value.code() is grpc.StatusCode.NOT_FOUND
    assert caught.value.details() == "missing entity of type TASK with identifier absent"


def test_error_details_travel_in_the_trailers(admin):
    with pytest.raises(grpc.RpcError) as caught:
        admin.CreateNodeEvent(event_pb2.NodeExecutionEventRequest())
    assert caught.value.code() is grpc.StatusCode.FAILED_PRECONDITION
    status = rpc_status.from_call(caught.value)
    reason = event_pb2.EventFailureReason()
    assert status is not None
    assert status.details[0].Unpack(reason)
    assert reason.already_in_terminal_state.current_phase == "SUCCEEDED"


@pytest.mark.parametrize("character", ["x", "é", "語", "%", "\n"])
def test_long_error_fits_flytekits_metadata_limit(admin, character):
    request = common_pb2.NamedEntityUpdateRequest()
    request.metadata.description = character * 40_000
    with pytest.raises(grpc.RpcError) as caught:
        admin.UpdateNamedEntity(request)
    assert caught.value.code() is grpc.StatusCode.INVALID_ARGUMENT
    assert set(caught.value.details()) == {character}
    assert len(caught.value.details().encode()) > 10_000


def test_a_bug_is_internal_and_says_so(admin):
    with pytest.raises(grpc.RpcError) as caught:
        admin.CreateExecution(execution_pb2.ExecutionCreateRequest())
    assert caught.value.code() is grpc.StatusCode.INTERNAL
    assert "AdminService.CreateExecution failed inside flytelite: KeyError: 'a bug'" in caught.value.details()


def test_broken_protobuf_is_invalid_argument(channel):
    call = channel.unary_unary("/flyteidl.service.AdminService/CreateTask")
    with pytest.raises(grpc.RpcError) as caught:
        call(b"\xff\xff\xff")
    assert caught.value.code() is grpc.StatusCode.INVALID_ARGUMENT
    assert "flyteidl.admin.TaskCreateRequest" in caught.value.details()


def test_unknown_methods_and_services(channel, admin):
    expected = {
        "/flyteidl.service.AdminService/Nonsense": "unknown method Nonsense for service flyteidl.service.AdminService",
        "/some.Service/Call": "unknown service some.Service",
    }
    for path, text in expected.items():
        for call in (channel.unary_unary(path), lambda body, p=path: list(channel.stream_stream(p)(iter([body])))):
            with pytest.raises(grpc.RpcError) as caught:
                call(b"")
            assert (caught.value.code(), caught.value.details()) == (grpc.StatusCode.UNIMPLEMENTED, text)


def test_services_of_authentication_are_unknown(channel):
    calls = {
        "AuthMetadataService": lambda: auth_pb2_grpc.AuthMetadataServiceStub(channel).GetPublicClientConfig(
            auth_pb2.PublicClientAuthConfigRequest()
        ),
        "IdentityService": lambda: identity_pb2_grpc.IdentityServiceStub(channel).UserInfo(
            identity_pb2.UserInfoRequest()
        ),
    }
    for name, call in calls.items():
        with pytest.raises(grpc.RpcError) as caught:
            call()
        assert caught.value.code() is grpc.StatusCode.UNIMPLEMENTED
        assert caught.value.details() == f"unknown service flyteidl.service.{name}"


def test_method_without_a_handler_is_named(admin):
    with pytest.raises(grpc.RpcError) as caught:
        admin.GetDomains(project_pb2.GetDomainRequest())
    assert caught.value.code() is grpc.StatusCode.UNIMPLEMENTED
    assert caught.value.details() == "AdminService.GetDomains is not implemented by flytelite yet"


def test_health(channel):
    health = health_pb2_grpc.HealthStub(channel)
    for service in ("", "flyteadmin"):
        answer = health.Check(health_pb2.HealthCheckRequest(service=service))
        assert answer.status == health_pb2.HealthCheckResponse.SERVING
    with pytest.raises(grpc.RpcError) as caught:
        health.Check(health_pb2.HealthCheckRequest(service="else"))
    assert caught.value.code() is grpc.StatusCode.NOT_FOUND


@pytest.mark.parametrize("version", ["v1alpha", "v1"])
def test_reflection(channel, version):
    call = channel.stream_stream(
        f"/grpc.reflection.{version}.ServerReflection/ServerReflectionInfo",
        request_serializer=reflection_pb2.ServerReflectionRequest.SerializeToString,
        response_deserializer=reflection_pb2.ServerReflectionResponse.FromString,
    )
    list_services = reflection_pb2.ServerReflectionRequest(list_services="")
    (listed,) = call(iter([list_services]))
    names = {service.name for service in listed.list_services_response.service}
    assert {
        "flyteidl.service.AdminService",
        "flyteidl.service.DataProxyService",
        "grpc.health.v1.Health",
        "grpc.reflection.v1.ServerReflection",
        "grpc.reflection.v1alpha.ServerReflection",
    } <= names
    for symbol in (*names, "flyteidl.service.AdminService.GetVersion", "flyteidl.admin.Task.id"):
        (file,) = call(iter([reflection_pb2.ServerReflectionRequest(file_containing_symbol=symbol)]))
        descriptor = FileDescriptorProto.FromString(file.file_descriptor_response.file_descriptor_proto[0])
        assert symbol.startswith(f"{descriptor.package}."), symbol
    for symbol in ("flyteidl.service.AdminService.Nothing", "flyteidl.nothing.At.All", "nothing", ""):
        (refused,) = call(iter([reflection_pb2.ServerReflectionRequest(file_containing_symbol=symbol)]))
        assert refused.error_response.error_code == grpc.StatusCode.NOT_FOUND.value[0], symbol


def _frames(connection: socket.socket, buffer: bytearray):
    while True:
        while len(buffer) < 9 or len(buffer) < 9 + int.from_bytes(buffer[:3], "big"):
            received = connection.recv(65536)
            if not received:
                return
            buffer += received
        length = int.from_bytes(buffer[:3], "big")
        yield buffer[3], buffer[4], bytes(buffer[9 : 9 + length])
        del buffer[: 9 + length]


def test_idle_pings_are_answered_and_never_punished(transports):
    """A stock server sends GOAWAY too_many_pings at the third ping without a call; flytekit pings all day long."""
    with socket.create_connection(("127.0.0.1", transports.port), timeout=10) as connection:
        connection.sendall(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + b"\0\0\0\x04\0\0\0\0\0")
        frames = _frames(connection, bytearray())
        for number in range(50):
            connection.sendall(b"\0\0\x08\x06\0\0\0\0\0" + struct.pack(">Q", number))
            for kind, flags, payload in frames:
                assert kind != 0x7, f"GOAWAY {payload!r} after {number} pings"
                if kind == 0x6 and flags & 1:
                    assert struct.unpack(">Q", payload) == (number,)
                    break
            else:
                pytest.fail(f"connection closed after {number} pings")


def test_client_that_leaves_cancels_nothing_else(transports, admin):
    with grpc.insecure_channel(transports.target) as other:
        future = admin_pb2_grpc.AdminServiceStub(other).GetExecution.future(execution_pb2.WorkflowExecutionGetRequest())
        assert transports.handlers.slow_started.acquire(timeout=10)
        future.cancel()
    assert admin.GetVersion(version_pb2.GetVersionRequest()).control_plane_version.Version == "v1"
