"""Which form a request and its answer have, and how messages take it (grpc-gateway's marshalers as admin sets them)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import orjson
from google.protobuf import json_format
from google.protobuf.message import DecodeError, Message

from flytelite.errors import FailedPrecondition, InvalidArgument
from flytelite.server.rest import json_check
from flytelite.server.rest.proto_json import to_json

JSON = "application/json"
BINARY = "application/octet-stream"


@dataclass(frozen=True)
class Marshaler:
    """One form of messages. ``strict`` refuses JSON fields that the message does not have."""

    content_type: str
    camel_case: bool = False
    strict: bool = False

    def write(self, message: Message) -> bytes:
        """The message as a body. Raises FailedPrecondition when it has no JSON form."""
        if self.content_type == BINARY:
            return message.SerializeToString()
        try:
            return orjson.dumps(to_json(message, self.camel_case))
        except (ValueError, DecodeError) as error:
            raise FailedPrecondition(
                f"{message.DESCRIPTOR.full_name} cannot be written as JSON: {error}. Ask with Accept: {BINARY}."
            ) from error

    def read(self, body: bytes, message: Message) -> None:
        """Fill the message from a body; an empty one leaves it as it is. Raises InvalidArgument."""
        try:
            if self.content_type == BINARY:
                message.MergeFromString(body)
            elif body.strip():
                value = orjson.loads(body)  # refuses NaN and halves of surrogate pairs, which json_format lets through
                if not isinstance(value, dict):
                    raise ValueError("a JSON object is needed")
                json_check.check(value, message)
                json_format.Parse(body, message, ignore_unknown_fields=not self.strict)
        except (DecodeError, json_format.ParseError, ValueError, RecursionError) as error:
            reason = "it is nested too deeply" if isinstance(error, RecursionError) else str(error)
            raise InvalidArgument(f"the body is not a valid {message.DESCRIPTOR.full_name}: {reason}") from error


SNAKE_CASE = Marshaler(JSON, strict=True)
CAMEL_CASE = Marshaler(JSON, camel_case=True)
PROTOBUF = Marshaler(BINARY)

_REGISTERED = {JSON: SNAKE_CASE, BINARY: PROTOBUF}


def choose(content_types: Sequence[str], accepts: Sequence[str]) -> tuple[Marshaler, Marshaler]:
    """The inbound and the outbound marshaler for the lines of Content-Type and Accept.

    A content type counts without its parameters; an Accept line only as a whole, so that a browser's list of types
    never matches (``MarshalerForRequest`` in grpc-gateway's ``runtime/marshaler_registry.go``).
    """
    inbound = CAMEL_CASE
    for line in content_types:
        media_type = line.partition(";")[0].strip().lower()
        if media_type in _REGISTERED:
            inbound = _REGISTERED[media_type]
            break
    outbound = next((_REGISTERED[line] for line in accepts if line in _REGISTERED), inbound)
    return inbound, outbound
