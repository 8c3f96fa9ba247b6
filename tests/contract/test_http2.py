"""HTTP/2 as clients speak it that are careful, slow, wrong or hostile: frames by hand, over real connections."""

from __future__ import annotations

import contextlib
import gzip
import socket
import time

import grpc
import pytest
from flyteidl.admin import common_pb2, execution_pb2, task_pb2, version_pb2
from flyteidl.core import identifier_pb2
from flyteidl.service import admin_pb2_grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc
from hpack import Decoder, Encoder

from flytelite.server.grpc import connection as connection_module
from flytelite.server.grpc import frames
from flytelite.server.grpc.frames import ErrorCode
from flytelite.server.grpc.messages import prefixed

SERVICE = "/flyteidl.service.AdminService"
END, HEAD_END = frames.END_STREAM, frames.END_HEADERS


class Peer:
    """A client that sends what it is told to."""

    def __init__(self, port: int, settings: bytes = b"") -> None:
        self.socket = socket.create_connection(("127.0.0.1", port), timeout=10)
        self.encoder, self.decoder = Encoder(), Decoder()
        self.rest = b""
        self.send(frames.PREFACE + frames.frame(frames.SETTINGS, 0, 0, settings))

    def __enter__(self) -> Peer:
        return self

    def __exit__(self, *exception: object) -> None:
        self.socket.close()

    def send(self, *parts: bytes) -> None:
        self.socket.sendall(b"".join(parts))

    def head(self, path: str = f"{SERVICE}/GetVersion", **headers: str) -> bytes:
        """A header block."""
        named = {":method": "POST", ":scheme": "http", ":path": path, ":authority": "localhost", "te": "trailers"}
        named["content-type"] = "application/grpc"
        named |= {name.replace("_", "-"): value for name, value in headers.items()}
        return self.encoder.encode(list(named.items()))

    def request(self, stream: int, message: bytes = b"", path: str = f"{SERVICE}/GetVersion", **headers: str) -> None:
        """Send a whole request."""
        self.send(
            frames.frame(frames.HEADERS, HEAD_END, stream, self.head(path, **headers)),
            frames.frame(frames.DATA, END, stream, prefixed(message)),
        )

    def frame(self) -> frames.Frame | None:
        """The next frame but for what every connection begins with; None at the end."""
        while True:
            while len(self.rest) < 9 or len(self.rest) < 9 + int.from_bytes(self.rest[:3], "big"):
                with contextlib.suppress(ConnectionResetError):
                    received = self.socket.recv(65536)
                    if received:
                        self.rest += received
                        continue
                return None
            length = int.from_bytes(self.rest[:3], "big")
            found = frames.Frame(
                self.rest[3], self.rest[4], int.from_bytes(self.rest[5:9], "big"), self.rest[9 : 9 + length]
            )
            self.rest = self.rest[9 + length :]
            if found.kind != frames.SETTINGS and not (found.kind == frames.WINDOW_UPDATE and found.stream == 0):
                return found

    def answer(self) -> tuple[dict[str, str], bytes]:
        """The headers and trailers of the next answer, and its data."""
        headers: dict[str, str] = {}
        data = b""
        while (found := self.frame()) is not None:
            if found.kind == frames.HEADERS:
                headers |= dict(self.decoder.decode(found.payload))
            elif found.kind == frames.DATA:
                data += found.payload
            else:
                raise AssertionError(found)
            if found.flags & END:
                break
        return headers, data

    def error(self) -> int | None:
        """The code of the GOAWAY or RST_STREAM that comes next; None when the connection ends without one."""
        while (found := self.frame()) is not None:
            if found.kind == frames.GOAWAY:
                return int.from_bytes(found.payload[4:8], "big")
            if found.kind == frames.RST_STREAM:
                return int.from_bytes(found.payload, "big")
        return None


@pytest.fixture
def peer(transports):
    with Peer(transports.port) as made:
        yield made


def test_a_request_of_many_padded_pieces(peer, transports):
    message = prefixed(task_pb2.TaskCreateRequest(id={"name": "pieces", "version": "x" * 100}).SerializeToString())
    block = peer.head(f"{SERVICE}/CreateTask")
    peer.send(
        frames.frame(frames.HEADERS, frames.PADDED | frames.PRIORITIZED, 1, b"\x02\0\0\0\0\x10" + block[:5] + b"\0\0")
    )
    for byte in block[5:-1]:
        peer.send(frames.frame(frames.CONTINUATION, 0, 1, bytes([byte])))
    peer.send(frames.frame(frames.CONTINUATION, HEAD_END, 1, block[-1:]))
    for byte in message:
        peer.send(frames.frame(frames.DATA, frames.PADDED, 1, bytes([1, byte, 0])))
    peer.send(frames.frame(frames.DATA, END, 1))
    headers, data = peer.answer()
    assert (headers[":status"], headers["content-type"], headers["grpc-status"]) == ("200", "application/grpc", "0")
    assert data == prefixed(b"")
    assert transports.handlers.seen[-1].id.version == "x" * 100


def test_an_answer_waits_for_the_windows(transports):
    settings = frames.settings({frames.Setting.INITIAL_WINDOW_SIZE: 10})[9:]
    with Peer(transports.port, settings) as peer:
        peer.request(1)
        peer.frame()  # headers
        first = peer.frame()
        assert (first.kind, len(first.payload)) == (frames.DATA, 10)
        peer.send(frames.window_update(1, 3))
        second = peer.frame()
        assert (second.kind, len(second.payload)) == (frames.DATA, 3)
        peer.send(frames.frame(frames.SETTINGS, 0, 0, b"\0\4\0\0\x40\0"))
        headers, rest = peer.answer()
        assert headers["grpc-status"] == "0"
        answer = version_pb2.GetVersionResponse.FromString((first.payload + second.payload + rest)[5:])
        assert answer.control_plane_version.Version == "v1"


def test_a_large_request_and_its_large_answer(transports):
    """The window of the connection is 64 KiB for answers until the client says more."""
    id = identifier_pb2.Identifier(name="wide", version="x" * 200_000)
    with Peer(transports.port, frames.settings({frames.Setting.INITIAL_WINDOW_SIZE: 10**6})[9:]) as peer:
        for stream, rpc, message in (
            (1, "CreateTask", task_pb2.TaskCreateRequest(id=id)),
            (3, "GetTask", common_pb2.ObjectGetRequest(id=id)),
        ):
            data = prefixed(message.SerializeToString())
            peer.send(frames.frame(frames.HEADERS, HEAD_END, stream, peer.head(f"{SERVICE}/{rpc}")))
            for start in range(0, len(data), 16_000):
                peer.send(frames.frame(frames.DATA, 0, stream, data[start : start + 16_000]))
            peer.send(frames.frame(frames.DATA, END, stream))
            if rpc == "CreateTask":
                assert peer.answer()[0]["grpc-status"] == "0"
        peer.frame()  # headers
        found = b""
        while len(found) < 65_000:
            found += peer.frame().payload
        peer.send(frames.window_update(0, 10**6))
        headers, rest = peer.answer()
        assert headers["grpc-status"] == "0"
        assert task_pb2.Task.FromString((found + rest)[5:]).id.version == id.version


@pytest.mark.parametrize(
    ("sent", "code"),
    [
        (b"\x01\x00\x01\0\0\0\0\0\x01", ErrorCode.FRAME_SIZE_ERROR),  # a frame of 64 KiB and one byte
        (frames.frame(frames.DATA, 0, 0, b"x"), ErrorCode.PROTOCOL_ERROR),
        (frames.frame(frames.DATA, 0, 7, b"x"), ErrorCode.PROTOCOL_ERROR),
        (frames.frame(frames.HEADERS, HEAD_END | END, 2), ErrorCode.PROTOCOL_ERROR),
        (frames.frame(frames.HEADERS, HEAD_END | frames.PADDED, 1, b"\x05abc"), ErrorCode.PROTOCOL_ERROR),
        (frames.frame(frames.HEADERS, HEAD_END | frames.PRIORITIZED, 1, b"\0\0\0\1\0"), ErrorCode.PROTOCOL_ERROR),
        (frames.frame(frames.HEADERS, HEAD_END, 1, b"\xff" * 8), ErrorCode.COMPRESSION_ERROR),
        (frames.frame(frames.HEADERS, 0, 1) + frames.frame(frames.PING, 0, 0, b"12345678"), ErrorCode.PROTOCOL_ERROR),
        (
            frames.frame(frames.HEADERS, 0, 1) + frames.frame(frames.CONTINUATION, 0, 1, b"\0" * 60_000) * 5,
            ErrorCode.ENHANCE_YOUR_CALM,
        ),
        (frames.frame(frames.CONTINUATION, HEAD_END, 1), ErrorCode.PROTOCOL_ERROR),
        (frames.frame(frames.PUSH_PROMISE, 0, 1), ErrorCode.PROTOCOL_ERROR),
        (frames.frame(frames.RST_STREAM, 0, 1, b"\0\0\0\0"), ErrorCode.PROTOCOL_ERROR),
        (frames.frame(frames.RST_STREAM, 0, 1, b"\0"), ErrorCode.FRAME_SIZE_ERROR),
        (frames.frame(frames.PRIORITY, 0, 1, b"\0"), ErrorCode.FRAME_SIZE_ERROR),
        (frames.frame(frames.SETTINGS, 0, 1), ErrorCode.PROTOCOL_ERROR),
        (frames.frame(frames.SETTINGS, frames.ACK, 0, b"123456"), ErrorCode.FRAME_SIZE_ERROR),
        (frames.frame(frames.SETTINGS, 0, 0, b"12345"), ErrorCode.FRAME_SIZE_ERROR),
        (frames.frame(frames.SETTINGS, 0, 0, b"\0\4\xff\xff\xff\xff"), ErrorCode.FLOW_CONTROL_ERROR),
        (frames.frame(frames.SETTINGS, 0, 0, b"\0\5\0\0\0\1"), ErrorCode.PROTOCOL_ERROR),
        (frames.frame(frames.PING, 0, 0, b"1234567"), ErrorCode.FRAME_SIZE_ERROR),
        (frames.frame(frames.PING, 0, 1, b"12345678"), ErrorCode.PROTOCOL_ERROR),
        (frames.frame(frames.GOAWAY, 0, 1, b"12345678"), ErrorCode.PROTOCOL_ERROR),
        (frames.window_update(0, 0), ErrorCode.PROTOCOL_ERROR),
        (frames.window_update(0, 2**31 - 1), ErrorCode.FLOW_CONTROL_ERROR),
        (frames.window_update(9, 1), ErrorCode.PROTOCOL_ERROR),
    ],
)
def test_a_broken_protocol_ends_the_connection_with_its_reason(peer, sent, code):
    peer.send(sent)
    assert peer.error() == code
    assert peer.frame() is None


def test_the_first_frame_is_settings(transports):
    with socket.create_connection(("127.0.0.1", transports.port), timeout=10) as connection:
        connection.sendall(frames.PREFACE + frames.frame(frames.PING, 0, 0, b"12345678"))
        received = b""
        while chunk := connection.recv(65536):
            received += chunk
    assert frames.frame(frames.GOAWAY, 0, 0, b"\0\0\0\0\0\0\0\x01")[9:] in received


@pytest.mark.parametrize(
    ("headers", "data", "code"),
    [
        ({"Upper": "x"}, prefixed(b""), ErrorCode.PROTOCOL_ERROR),
        ({"connection": "close"}, prefixed(b""), ErrorCode.PROTOCOL_ERROR),
        ({":path": ""}, prefixed(b""), ErrorCode.PROTOCOL_ERROR),
        ({"content-length": "7"}, prefixed(b""), ErrorCode.PROTOCOL_ERROR),
        ({}, prefixed(b"whole")[:-1], ErrorCode.PROTOCOL_ERROR),
    ],
)
def test_a_broken_request_ends_its_stream_alone(peer, headers, data, code):
    named = {":method": "POST", ":scheme": "http", ":path": f"{SERVICE}/GetVersion", "content-type": "application/grpc"}
    block = peer.encoder.encode(list((named | headers).items()))
    peer.send(frames.frame(frames.HEADERS, HEAD_END, 1, block), frames.frame(frames.DATA, END, 1, data))
    assert peer.error() == code
    peer.request(3)
    assert peer.answer()[0]["grpc-status"] == "0"


def test_data_after_the_end_and_headers_amid_a_request(peer):
    head = frames.frame(frames.HEADERS, HEAD_END, 1, peer.head(f"{SERVICE}/GetExecution"))
    end = frames.frame(frames.DATA, END, 1, prefixed(b""))
    peer.send(head, end, frames.frame(frames.DATA, END, 1, b"x"))
    assert peer.error() == ErrorCode.STREAM_CLOSED
    block = peer.head()
    peer.send(frames.frame(frames.HEADERS, HEAD_END, 3, block), frames.frame(frames.HEADERS, HEAD_END, 3, peer.head()))
    assert peer.error() == ErrorCode.PROTOCOL_ERROR


@pytest.mark.parametrize("count", [0, 2])
def test_a_unary_method_takes_one_message(peer, count):
    peer.send(frames.frame(frames.HEADERS, HEAD_END, 1, peer.head()))
    peer.send(frames.frame(frames.DATA, END, 1, prefixed(b"") * count))
    headers, _ = peer.answer()
    assert headers["grpc-status"] == "12"
    assert "one" in headers["grpc-message"]


@pytest.mark.parametrize(("headers", "status"), [({"content_type": "text/plain"}, "415"), ({":method": "GET"}, "405")])
def test_what_is_no_grpc_gets_an_http_status(peer, headers, status):
    peer.request(1, **headers)
    assert peer.answer()[0] == {":status": status}


def test_a_refused_upload_is_told_at_once_and_ignored_afterwards(peer, transports):
    peer.send(frames.frame(frames.HEADERS, HEAD_END, 1, peer.head(f"{SERVICE}/CreateTask")))
    size = transports.settings.max_message_bytes + 1
    peer.send(frames.frame(frames.DATA, 0, 1, b"\0" + size.to_bytes(4, "big") + b"x" * 1000))
    headers, _ = peer.answer()
    assert headers["grpc-status"] == "8"
    assert peer.error() == ErrorCode.NO_ERROR
    peer.send(frames.frame(frames.DATA, 0, 1, b"x" * 10_000), frames.frame(frames.DATA, END, 1))
    peer.request(3)
    assert peer.answer()[0]["grpc-status"] == "0"


def test_more_data_than_the_window(peer):
    peer.send(
        frames.frame(
            frames.HEADERS, HEAD_END, 1, peer.head("/grpc.reflection.v1.ServerReflection/ServerReflectionInfo")
        )
    )
    flood = frames.frame(frames.DATA, 0, 1, prefixed(b"\x3a\0") * 2000)
    with contextlib.suppress(ConnectionResetError, BrokenPipeError):
        for _ in range(2 * connection_module.STREAM_WINDOW // len(flood)):
            peer.send(flood)
    peer.socket.settimeout(10)
    while (found := peer.frame()) is not None and found.kind in (frames.HEADERS, frames.DATA, frames.WINDOW_UPDATE):
        pass
    assert found is None or int.from_bytes(found.payload[-4:], "big") == ErrorCode.FLOW_CONTROL_ERROR


def test_too_many_calls_at_once_are_refused(transports, monkeypatch):
    monkeypatch.setattr(connection_module, "MAX_STREAMS", 3)
    with Peer(transports.port) as peer:
        for number in range(1, 8, 2):
            peer.request(number, path=f"{SERVICE}/GetExecution")
        assert peer.error() == ErrorCode.REFUSED_STREAM
        peer.send(frames.rst_stream(1, ErrorCode.CANCEL))
        peer.request(9)
        assert peer.answer()[0]["grpc-status"] == "0"


def test_the_server_keeps_deadlines_too(peer):
    began = time.monotonic()
    peer.request(1, path=f"{SERVICE}/GetExecution", grpc_timeout="50m")
    headers, _ = peer.answer()
    assert headers["grpc-status"] == "4"
    assert time.monotonic() - began >= 0.05
    peer.request(3, grpc_timeout="10S")
    assert peer.answer()[0]["grpc-status"] == "0"


@pytest.mark.parametrize("compression", [grpc.Compression.Gzip, grpc.Compression.Deflate])
def test_compressed_requests(transports, compression):
    with grpc.insecure_channel(transports.target, compression=compression) as channel:
        admin = admin_pb2_grpc.AdminServiceStub(channel)
        id = identifier_pb2.Identifier(name=f"compressed-{compression}", version="x" * 100_000)
        admin.CreateTask(task_pb2.TaskCreateRequest(id=id))
        assert admin.GetTask(common_pb2.ObjectGetRequest(id=id)).id.version == id.version


def test_a_compressed_bomb_is_refused(start):
    bomb = gzip.compress(b"\0" * 100_000)
    message = b"\x01" + len(bomb).to_bytes(4, "big") + bomb
    with start(max_message_bytes=10_000) as started, Peer(started.port) as peer:
        peer.send(frames.frame(frames.HEADERS, HEAD_END, 1, peer.head(f"{SERVICE}/CreateTask", grpc_encoding="gzip")))
        peer.send(frames.frame(frames.DATA, 0, 1, message))
        assert peer.answer()[0]["grpc-status"] == "8"


def test_an_unknown_compression_is_named(peer):
    peer.request(1, grpc_encoding="br")
    headers, _ = peer.answer()
    assert headers["grpc-status"] == "12"
    assert "br" in headers["grpc-message"]
    assert headers["grpc-accept-encoding"] == "identity,gzip,deflate"


def test_health_is_listed_and_watched_until_the_end(start):
    with start() as started, grpc.insecure_channel(started.target) as channel:
        health = health_pb2_grpc.HealthStub(channel)
        listed = health.List(health_pb2.HealthListRequest())
        assert listed.statuses["flyteadmin"].status == health_pb2.HealthCheckResponse.SERVING
        unknown = health.Watch(health_pb2.HealthCheckRequest(service="else"))
        assert next(unknown).status == health_pb2.HealthCheckResponse.SERVICE_UNKNOWN
        unknown.cancel()
        watched = health.Watch(health_pb2.HealthCheckRequest(service="flyteadmin"))
        assert next(watched).status == health_pb2.HealthCheckResponse.SERVING
        started.run(lambda: started.stop(grace=5))
        assert [answer.status for answer in watched] == [health_pb2.HealthCheckResponse.NOT_SERVING]


def test_calls_that_do_not_end_are_unavailable_at_the_stop(start):
    with start() as started, grpc.insecure_channel(started.target) as channel:
        admin = admin_pb2_grpc.AdminServiceStub(channel)
        future = admin.GetExecution.future(execution_pb2.WorkflowExecutionGetRequest())
        assert started.handlers.slow_started.acquire(timeout=10)
        started.run(lambda: started.stop(grace=0.05))
        assert future.exception(timeout=10).code() is grpc.StatusCode.UNAVAILABLE
        assert not started.grpc.connections
