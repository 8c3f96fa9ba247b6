"""Calls one after the other, at moments that a draft chooses."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from google.protobuf import timestamp_pb2

from ..rpcs.rows import Call
from ..rpcs.server import Server, World

BEGIN = 1_700_000_000_000_000_000


class Timeline:
    """A world and its time, which goes on by one of the ``steps`` with each call; both in nanoseconds."""

    def __init__(self, server: Server, steps: Sequence[int]) -> None:
        self.time = BEGIN
        self._steps = steps
        self._calls = 0
        self.world: World = server.world(clock=self._clock)

    def call(self, method: str, request: Mapping[str, Any]) -> int:
        """Make a call; when it was made."""
        self.time += self._steps[self._calls % len(self._steps)]
        self._calls += 1
        self.world.do(Call(f"{'SignalService' if 'Signal' in method else 'AdminService'}/{method}", request))
        return self.time

    def _clock(self) -> timestamp_pb2.Timestamp:
        stamp = timestamp_pb2.Timestamp()
        stamp.FromNanoseconds(self.time)
        return stamp
