"""The time at which rows are written; a parameter of every noun, so that tests can move it."""

from __future__ import annotations

import time
from collections.abc import Callable

from google.protobuf import timestamp_pb2

Clock = Callable[[], timestamp_pb2.Timestamp]


def now() -> timestamp_pb2.Timestamp:
    """The wall clock, to the microsecond."""
    microseconds = time.time_ns() // 1000
    return timestamp_pb2.Timestamp(seconds=microseconds // 1_000_000, nanos=microseconds % 1_000_000 * 1000)
