"""The time at which rows are written; a parameter of every noun, so that tests can move it."""

from __future__ import annotations

from collections.abc import Callable

from google.protobuf import timestamp_pb2

Clock = Callable[[], timestamp_pb2.Timestamp]


def now() -> timestamp_pb2.Timestamp:
    """The wall clock."""
    stamp = timestamp_pb2.Timestamp()
    stamp.GetCurrentTime()
    return stamp
