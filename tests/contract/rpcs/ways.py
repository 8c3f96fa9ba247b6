"""The ways to make a call: gRPC, and REST with JSON or with protobuf bodies. All give the same kind of Answer."""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote, urlencode

import grpc
import httpx
from google.api import annotations_pb2
from google.protobuf import json_format
from google.protobuf.message import DecodeError, Message
from google.rpc import status_pb2
from grpc_status import rpc_status

from flytelite import descriptors
from flytelite.errors import Code
from flytelite.server import api

from .schemas import schema

BINARY = "application/octet-stream"
JSON = "application/json"

# What the gateway answers with each code (grpc-gateway's runtime/errors.go), as far as our errors have it.
HTTP_STATUS = {0: 200, 3: 400, 5: 404, 6: 409, 7: 403, 8: 429, 9: 400, 12: 501, 13: 500, 14: 503}


@dataclass
class Answer:
    """The response, or the error as a google.rpc.Status."""

    response: Message | None
    status: status_pb2.Status

    @property
    def code(self) -> Code:
        return Code(self.status.code)


class OverGrpc:
    """As flytekit and flytectl call."""

    name = "grpc"

    def __init__(self, channel: grpc.Channel) -> None:
        self._channel = channel

    def takes(self, method: api.Method, request: Message) -> bool:
        return True

    def call(self, method: api.Method, request: Message) -> Answer:
        call = self._channel.unary_unary(
            f"/{method.name}",
            request_serializer=method.request_class.SerializeToString,
            response_deserializer=method.response_class.FromString,
        )
        try:
            return Answer(call(request, timeout=30), status_pb2.Status())
        except grpc.RpcError as error:
            status = rpc_status.from_call(error)
            return Answer(None, status or status_pb2.Status(code=error.code().value[0], message=error.details()))


@dataclass(frozen=True)
class Binding:
    """One http option: a verb and a path with variables."""

    verb: str
    segments: tuple[str, ...]
    body: bool

    @property
    def variables(self) -> list[str]:
        return [segment[1:-1] for segment in self.segments if segment.startswith("{")]

    def path(self, request: Message) -> str | None:
        """The path of the request; None when a part of it would be empty, for such a path leads elsewhere."""
        parts = [str(_value(request, part[1:-1])) if part.startswith("{") else part for part in self.segments]
        return "/" + "/".join(quote(part, safe="") for part in parts) if all(parts) else None


def bindings(method: api.Method) -> Iterator[Binding]:
    """Those that say most first."""
    rule = method.descriptor.GetOptions().Extensions[annotations_pb2.http]
    for binding in (rule, *rule.additional_bindings):
        verb = binding.WhichOneof("pattern")
        if verb is not None:
            yield Binding(verb.upper(), tuple(getattr(binding, verb)[1:].split("/")), binding.body == "*")


def address(method: api.Method, request: Message) -> tuple[Binding, str] | None:
    """The binding that can say the request, and its path and query; None when there is none."""
    for binding in bindings(method):
        path = binding.path(request)
        query = [] if binding.body else as_query(request, binding.variables)
        if path is not None and query is not None:
            return binding, path + (f"?{urlencode(query)}" if query else "")
    return None


class OverRest:
    """As flyteconsole (protobuf) and curl (JSON) call."""

    def __init__(self, client: httpx.Client, content_type: str) -> None:
        self.name = f"rest {content_type.rpartition('/')[2]}"
        self._client = client
        self._content_type = content_type

    def takes(self, method: api.Method, request: Message) -> bool:
        """Whether the request can be said this way at all."""
        return self._http(method, request) is not None

    def call(self, method: api.Method, request: Message) -> Answer:
        http = self._http(method, request)
        assert http is not None
        return self._answer(method, self._client.send(http))

    def _http(self, method: api.Method, request: Message) -> httpx.Request | None:
        found = address(method, request)
        if found is None:
            return None
        binding, path = found
        headers, body = {"Accept": self._content_type}, b""
        if binding.body:
            headers["Content-Type"] = self._content_type
            try:
                body = self._body(request)
            except json_format.Error:
                return None  # a time that JSON has no words for
        return self._client.build_request(binding.verb, path, content=body, headers=headers)

    def _body(self, request: Message) -> bytes:
        if self._content_type == BINARY:
            return request.SerializeToString()
        return json_format.MessageToJson(request, preserving_proto_field_name=True).encode()

    def _answer(self, method: api.Method, response: httpx.Response) -> Answer:
        assert response.headers["content-type"] == self._content_type, response.text
        answer = method.response_class() if response.status_code == 200 else status_pb2.Status()
        if self._content_type == BINARY:
            answer.ParseFromString(response.content)
        else:
            schema(answer.DESCRIPTOR.full_name).validate(response.json())
            json_format.Parse(response.content, answer)
        if response.status_code == 200:
            return Answer(answer, status_pb2.Status())
        assert response.status_code == HTTP_STATUS[answer.code]
        return Answer(None, answer)


def as_query(request: Message, bound: list[str]) -> list[tuple[str, str]] | None:
    """The fields that the path does not say, as query parameters; None when an URL cannot say them."""
    query: list[tuple[str, str]] = []
    return query if _collect(request, "", bound, query) else None


def _collect(message: Message, prefix: str, bound: list[str], query: list[tuple[str, str]]) -> bool:
    for field, value in message.ListFields():
        name = f"{prefix}{field.name}"
        if name in bound:
            continue
        if descriptors.is_map(field) or (descriptors.is_repeated(field) and field.message_type is not None):
            return False
        if field.message_type is None:
            values = value if descriptors.is_repeated(field) else [value]
            if field.enum_type is not None and any(item not in field.enum_type.values_by_number for item in values):
                return False  # a gateway knows the numbers that an URL may name
            query.extend((name, _text(field, item)) for item in values)
        elif field.message_type.full_name.startswith("google.protobuf."):
            try:
                query.append((name, json_format.MessageToJson(value).strip('"')))
            except (ValueError, TypeError, json_format.Error, DecodeError):
                return False  # it cannot be written at all
        elif not _collect(value, f"{name}.", bound, query) or not _is_said(name, bound, query):
            return False
    return True


def _is_said(name: str, bound: list[str], query: list[tuple[str, str]]) -> bool:
    return any(said.startswith(f"{name}.") for said in [*bound, *(key for key, _ in query)])


def _text(field: Any, value: Any) -> str:
    if isinstance(value, bytes):
        return b64encode(value).decode()
    if isinstance(value, bool):
        return str(value).lower()
    if field.enum_type is not None and value in field.enum_type.values_by_number:
        return str(field.enum_type.values_by_number[value].name)
    return str(value)


def _value(request: Any, path: str) -> Any:
    *parents, name = path.split(".")
    for parent in parents:
        request = getattr(request, parent)
    field = request.DESCRIPTOR.fields_by_name[name]
    return _text(field, getattr(request, name))
