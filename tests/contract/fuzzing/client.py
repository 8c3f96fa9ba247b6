"""A client that sends anything and insists on a proper answer."""

from __future__ import annotations

import contextlib
import http.client
import json
import socket

import grpc
from google.rpc import status_pb2

from ..rpcs.ways import BINARY, HTTP_STATUS, JSON
from .attempts import Attempt

UNACCEPTABLE = {
    grpc.StatusCode.UNKNOWN,
    grpc.StatusCode.INTERNAL,
    grpc.StatusCode.UNAVAILABLE,
    grpc.StatusCode.DATA_LOSS,
    grpc.StatusCode.CANCELLED,
    grpc.StatusCode.DEADLINE_EXCEEDED,
}


class Client:
    """Sends whatever it is told to over real connections."""

    def __init__(self, target: str) -> None:
        self._target = target
        self._connection: socket.socket | None = None
        options = [("grpc.max_metadata_size", 32 * 1024), ("grpc.max_receive_message_length", -1)]
        self._channel = grpc.insecure_channel(target, options=options)

    def close(self) -> None:
        self._channel.close()
        self._disconnect()

    def send(self, attempt: Attempt) -> str:
        """What came of it, in a word. Raises AssertionError for what must not come of anything."""
        return self._http(attempt) if attempt.verb else self._grpc(attempt)

    def _grpc(self, attempt: Attempt) -> str:
        try:
            self._channel.unary_unary(attempt.path)(attempt.body, timeout=60)
        except grpc.RpcError as error:
            assert error.code() not in UNACCEPTABLE, f"{error.code()}: {error.details()}"
            return f"grpc {error.code().name}"
        return "grpc OK"

    def _http(self, attempt: Attempt) -> str:
        response, body = self._exchange(attempt)
        assert response.status < 500 or response.status == 501, f"{response.status}: {body[:2000]!r}"
        if response.status >= 400 and attempt.verb != "HEAD":
            check_error_body(response, body)
        return f"http {response.status}"

    def _exchange(self, attempt: Attempt) -> tuple[http.client.HTTPResponse, bytes]:
        lines = [f"{attempt.verb} {attempt.path} HTTP/1.1", f"Host: {self._target}"]
        lines += [f"{name}: {value}" for name, value in attempt.headers.items()]
        head = "\r\n".join([*lines, f"Content-Length: {len(attempt.body)}", "", ""])
        connection = self._connection or socket.create_connection(tuple(self._target.split(":")), timeout=60)  # type: ignore[arg-type]
        self._connection = connection
        # An answer may come before all of a refused request is sent; then there is nobody to send the rest to.
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):
            connection.sendall(head.encode("utf-8", "surrogatepass") + attempt.body)
        response = http.client.HTTPResponse(connection, method=attempt.verb)
        try:
            response.begin()
            body = response.read()
        except (OSError, http.client.HTTPException) as error:
            raise AssertionError(f"no answer: {error!r}") from error
        if response.will_close:
            self._disconnect()
        return response, body

    def _disconnect(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None


def check_error_body(response: http.client.HTTPResponse, body: bytes) -> None:
    """The gateway's errors are a google.rpc.Status that fits the HTTP status."""
    content_type = response.headers["content-type"] or ""
    if content_type == JSON:
        code = json.loads(body)["code"]
    elif content_type == BINARY:
        code = status_pb2.Status.FromString(body).code
    else:
        assert content_type.startswith("text/plain")  # before the gateway: the guard, a broken HTTP request
        return
    assert HTTP_STATUS[code] == response.status


def check_alive(client: Client) -> None:
    version = "/flyteidl.service.AdminService/GetVersion"
    assert client.send(Attempt("", version, b"")) == "grpc OK"
    assert client.send(Attempt("GET", "/api/v1/version", b"")) == "http 200"
