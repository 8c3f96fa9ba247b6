"""The one error that crosses a layer.

    FlyteError
    ├── InvalidArgument
    ├── NotFound
    ├── AlreadyExists
    ├── PermissionDenied
    ├── ResourceExhausted
    ├── FailedPrecondition
    ├── Unimplemented
    ├── Internal
    └── Unavailable

Each class carries the canonical ``google.rpc.Code`` that a client sees; the transports translate it, no other
layer knows a protocol. A class's docstring is its message when none is given.
"""

from __future__ import annotations

from collections.abc import Sequence
from enum import IntEnum
from typing import ClassVar

from google.protobuf.message import Message


class Code(IntEnum):
    """google.rpc.Code, as numbers so that no layer needs gRPC to name one."""

    OK = 0
    CANCELLED = 1
    UNKNOWN = 2
    INVALID_ARGUMENT = 3
    DEADLINE_EXCEEDED = 4
    NOT_FOUND = 5
    ALREADY_EXISTS = 6
    PERMISSION_DENIED = 7
    RESOURCE_EXHAUSTED = 8
    FAILED_PRECONDITION = 9
    ABORTED = 10
    OUT_OF_RANGE = 11
    UNIMPLEMENTED = 12
    INTERNAL = 13
    UNAVAILABLE = 14
    DATA_LOSS = 15
    UNAUTHENTICATED = 16


class FlyteError(Exception):
    """The request failed."""

    code: ClassVar[Code] = Code.INTERNAL

    def __init__(self, message: str = "", details: Sequence[Message] = ()) -> None:
        self.message = message or (type(self).__doc__ or "").strip()
        self.details = tuple(details)
        super().__init__(self.message)

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.message!r})"


class InvalidArgument(FlyteError):
    """The request names a field whose value cannot be accepted."""

    code = Code.INVALID_ARGUMENT


class NotFound(FlyteError):
    """The thing asked for does not exist."""

    code = Code.NOT_FOUND


class AlreadyExists(FlyteError):
    """A thing of that identifier exists already."""

    code = Code.ALREADY_EXISTS


class PermissionDenied(FlyteError):
    """The caller may not do this."""

    code = Code.PERMISSION_DENIED


class ResourceExhausted(FlyteError):
    """A limit was reached."""

    code = Code.RESOURCE_EXHAUSTED


class FailedPrecondition(FlyteError):
    """The state of the thing does not allow this."""

    code = Code.FAILED_PRECONDITION


class Unimplemented(FlyteError):
    """The method exists in the API but this server does not do it yet."""

    code = Code.UNIMPLEMENTED


class Internal(FlyteError):
    """Something went wrong inside flytelite; this is a bug."""

    code = Code.INTERNAL


class Unavailable(FlyteError):
    """The server cannot answer right now."""

    code = Code.UNAVAILABLE
