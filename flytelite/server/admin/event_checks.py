"""What every kind of event is checked for before it changes anything, and the errors that refuse one.

Source: flyteadmin/pkg/manager/impl/validation/shared_execution.go, flyteadmin/pkg/errors/errors.go.
"""

from __future__ import annotations

from typing import Any

from flyteidl.admin import event_pb2
from flyteidl.core import literals_pb2
from google.protobuf import duration_pb2, timestamp_pb2

from flytelite.errors import FailedPrecondition, InvalidArgument, ResourceExhausted
from flytelite.server.admin.validation import missing, timestamp

DEFAULT_PRODUCERS = frozenset({"", "propeller"})
"""Producers that need not be the cluster on which the execution runs."""

NANOSECONDS = 1_000_000_000


def already_terminal(message: str, phase: str) -> FailedPrecondition:
    """The error that tells an engine that this has ended already; ``phase`` is a name."""
    ended = event_pb2.EventErrorAlreadyInTerminalState(current_phase=phase)
    return FailedPrecondition(message, [event_pb2.EventFailureReason(already_in_terminal_state=ended)])


def producer(producer_id: str, cluster: str) -> None:
    """Raise FailedPrecondition unless the event comes from the cluster that runs the execution."""
    if producer_id in DEFAULT_PRODUCERS or producer_id == cluster:
        return
    incompatible = event_pb2.EventErrorIncompatibleCluster(cluster=producer_id)
    raise FailedPrecondition(
        f"Cluster/producer from event [{producer_id}] does not match existing workflow execution cluster: [{cluster}]",
        [event_pb2.EventFailureReason(incompatible_cluster=incompatible)],
    )


def output_size(data: literals_pb2.LiteralMap, limit: int) -> None:
    """Raise ResourceExhausted when inline outputs take more than ``limit`` bytes."""
    size = data.ByteSize()
    if size > limit:
        raise ResourceExhausted(f"Output data size exceeds platform configured threshold ({size} > {limit})")


def times(event: Any) -> None:
    """Raise InvalidArgument unless the event says when it occurred; FlyteAdmin, which reads that time later, says
    INTERNAL, but a bad request is no fault of the server."""
    if not event.HasField("occurred_at"):
        raise missing("occurred_at")
    try:
        timestamp(event.occurred_at)
    except InvalidArgument as error:
        raise InvalidArgument(f"invalid value for occurred_at: {error.message}") from error


def recorded_at(event: Any) -> timestamp_pb2.Timestamp:
    """When a node or task event was reported, or else when it occurred. Raises InvalidArgument for no real time."""
    reported: timestamp_pb2.Timestamp = event.reported_at
    if not reported.seconds and not reported.nanos:
        reported = event.occurred_at
    timestamp(reported)
    return reported


def elapsed(start: timestamp_pb2.Timestamp, end: timestamp_pb2.Timestamp) -> duration_pb2.Duration:
    """The Duration between two moments; zero when the clock was set back in between (FlyteAdmin's is negative then)."""
    nanoseconds = (end.seconds - start.seconds) * NANOSECONDS + end.nanos - start.nanos
    seconds, nanos = divmod(max(0, nanoseconds), NANOSECONDS)
    return duration_pb2.Duration(seconds=seconds, nanos=nanos)
