"""The port itself: telling protocols apart, odd clients, start and stop."""

from __future__ import annotations

import contextlib
import http.client
import logging
import socket
from concurrent.futures import ThreadPoolExecutor

import grpc
import httpx
import pytest
from flyteidl.admin import execution_pb2, version_pb2
from flyteidl.service import admin_pb2_grpc

from flytelite.errors import FailedPrecondition, InvalidArgument
from flytelite.server import listener as listener_module


def connect(transports) -> socket.socket:
    return socket.create_connection(("127.0.0.1", transports.port), timeout=10)


def read_to_end(connection: socket.socket) -> bytes:
    received = b""
    while chunk := connection.recv(65536):
        received += chunk
    return received


def test_http_sent_byte_by_byte(transports):
    with connect(transports) as connection:
        for byte in b"PUT /nowhere HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n":
            connection.send(bytes([byte]))
        assert read_to_end(connection).startswith(b"HTTP/1.1 404")


def test_http_keeps_alive_and_pipelines(transports):
    request = b"GET /healthcheck HTTP/1.1\r\nHost: localhost\r\n\r\n"
    last = b"GET /healthcheck HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"
    with connect(transports) as connection:
        connection.sendall(request + request + last)
        assert read_to_end(connection).count(b"HTTP/1.1 200") == 3


def test_answers_carry_a_date(transports):
    assert httpx.get(f"{transports.url}/healthcheck").headers["date"].endswith("GMT")


def test_half_closed_client_still_gets_its_answer(transports):
    with connect(transports) as connection:
        connection.sendall(b"GET /healthcheck HTTP/1.0\r\nHost: localhost\r\n\r\n")
        connection.shutdown(socket.SHUT_WR)
        assert read_to_end(connection).startswith(b"HTTP/1.1 200")


def test_tls_is_refused_in_words(transports, caplog):
    with caplog.at_level(logging.WARNING), connect(transports) as connection:
        connection.sendall(bytes.fromhex("160301020001") + b"\0" * 64)
        answer = read_to_end(connection)
    assert answer == bytes.fromhex("15030100020246")
    text = caplog.text
    assert f"port {transports.port}" in text
    assert "admin.insecure: true" in text
    assert "FLYTE_PLATFORM_INSECURE=true" in text


@pytest.mark.parametrize("garbage", [b"\0\0\0\0", b"\x16\x02", b"\r\n\r\n", b"\xff" * 100])
def test_other_bytes_close_the_connection(transports, garbage):
    with connect(transports) as connection:
        connection.sendall(garbage)
        with contextlib.suppress(ConnectionResetError):
            assert read_to_end(connection) == b""


def test_silent_client_is_let_go(transports, monkeypatch):
    monkeypatch.setattr(listener_module, "FIRST_BYTES_SECONDS", 0.05)
    for sent in (b"", b"P"):
        with connect(transports) as connection:
            connection.send(sent)
            with contextlib.suppress(ConnectionResetError):
                assert connection.recv(1) == b""


def test_many_connections_at_once(transports):
    def call(number: int) -> int:
        if number % 2:
            return httpx.get(f"{transports.url}/api/v1/version").status_code
        with grpc.insecure_channel(transports.target, options=[("grpc.use_local_subchannel_pool", 1)]) as channel:
            admin_pb2_grpc.AdminServiceStub(channel).GetVersion(version_pb2.GetVersionRequest())
            return 200

    with ThreadPoolExecutor(16) as pool:
        assert set(pool.map(call, range(64))) == {200}


def test_a_client_that_does_not_read_slows_only_itself(transports):
    """Back-pressure: what the client does not take is not piled up in this process."""
    with connect(transports) as connection:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        connection.sendall(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + b"\0\0\0\x04\0\0\0\0\0")
        connection.settimeout(1)
        ping = b"\0\0\x08\x06\0\0\0\0\0" + b"12345678"
        sent = 0
        try:
            while sent < 200_000_000:
                sent += connection.send(ping * 4096)
        except TimeoutError:
            pass
        assert sent < 200_000_000
        assert httpx.get(f"{transports.url}/healthcheck").status_code == 200


def test_grpc_port_speaks_grpc_directly(start, free_port):
    with (
        start(grpc_port=free_port) as started,
        grpc.insecure_channel(f"127.0.0.1:{free_port}") as channel,
    ):
        stub = admin_pb2_grpc.AdminServiceStub(channel)
        assert stub.GetVersion(version_pb2.GetVersionRequest()).control_plane_version.Build == "b"
        assert httpx.get(f"{started.url}/healthcheck").status_code == 200


def test_port_in_use_is_said_plainly(transports, start):
    port = transports.port
    with pytest.raises(FailedPrecondition, match=rf"Port {port} of 127.0.0.1 is in use"), start(port=port):
        pass
    with pytest.raises(FailedPrecondition, match="Set grpc_port to another one"), start(grpc_port=port):
        pass


def test_foreign_address_is_said_plainly(start):
    with pytest.raises(InvalidArgument, match="has no address"), start(host="203.0.113.7"):
        pass


def test_stop_lets_running_calls_finish(start):
    with start() as started, grpc.insecure_channel(started.target) as channel:
        future = admin_pb2_grpc.AdminServiceStub(channel).GetExecution.future(
            execution_pb2.WorkflowExecutionGetRequest()
        )
        connection = http.client.HTTPConnection("127.0.0.1", started.port)
        connection.request("GET", "/api/v1/executions/p/d/n")
        assert started.handlers.slow_started.acquire(timeout=10)
        assert started.handlers.slow_started.acquire(timeout=10)

        async def stop_and_release() -> None:
            started.loop.call_later(0.1, started.handlers.slow_goes_on.set)
            await started.stop(grace=20)

        started.run(stop_and_release)
        future.result(timeout=1)
        assert connection.getresponse().status == 200
        with pytest.raises(ConnectionRefusedError):
            connect(started)
        assert not started.grpc.connections
        assert not started.listener.connections


def test_stop_aborts_what_does_not_end(start):
    with start() as started:
        connection = connect(started)
        connection.sendall(b"GET /endless HTTP/1.1\r\nHost: localhost\r\n\r\n")
        received = b""
        while b"first" not in received:
            received += connection.recv(4096)
        started.run(lambda: started.stop(grace=0.05))
        assert started.endless_closed.wait(10)
        assert not started.listener.connections
        connection.close()


def test_idle_http_connection_does_not_delay_the_stop(start):
    with start() as started:
        connection = http.client.HTTPConnection("127.0.0.1", started.port)
        connection.request("GET", "/healthcheck")
        connection.getresponse().read()
        started.run(lambda: started.stop(grace=60))
        assert not started.listener.connections
