"""Reservations: who computes an artifact, so that others wait for it instead of computing it too.

Source: datacatalog/pkg/manager/impl/reservation_manager.go. A client holds one for as long as it asks again and again.
The engine runs here, and holds its own until it gives them back.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from flyteidl.core import identifier_pb2
from flyteidl.datacatalog import datacatalog_pb2
from google.protobuf import duration_pb2, timestamp_pb2

from flytelite.errors import InvalidArgument
from flytelite.server.admin.catalog import checks
from flytelite.server.admin.catalog.tables import RESERVATIONS, plain_id, tag_key
from flytelite.server.admin.changes import Changes, ReservationReleased
from flytelite.server.admin.clock import Clock
from flytelite.server.admin.filters import timestamp_text
from flytelite.server.admin.validation import missing, require
from flytelite.server.store.interface import Store

MAX_HEARTBEAT = 10 * 10**9
"""Nanoseconds."""
GRACE = 3
"""So many heartbeats may pass until a reservation expires."""


@dataclass(frozen=True)
class Holder:
    """Who holds a reservation, and in how many seconds it expires; None: not by itself."""

    owner: str
    expires_in: float | None = None


class Reservations:
    """The reservation RPCs, and the engine's way to the same."""

    def __init__(self, store: Store, changes: Changes, clock: Clock) -> None:
        self._table = store.table(RESERVATIONS)
        self._changes = changes
        self._clock = clock

    def get_or_extend(
        self, request: datacatalog_pb2.GetOrExtendReservationRequest
    ) -> datacatalog_pb2.GetOrExtendReservationResponse:
        """GetOrExtendReservation: the caller's own from now on, or that of another owner. Raises InvalidArgument."""
        id = request.reservation_id
        _check(id, request.owner_id)
        heartbeat = _heartbeat(request)
        key, now = tag_key(id.dataset_id, id.tag_name), self._clock()
        expires = timestamp_pb2.Timestamp()
        expires.FromNanoseconds(now.ToNanoseconds() + GRACE * heartbeat.ToNanoseconds())
        held = self._held(key, now)
        owner = request.owner_id
        if held is None or (held["owner"] == owner and held["expires_at"] is not None):
            self._table.put(key, {"owner": owner, "expires_at": timestamp_text(expires)})
        elif held["expires_at"] is not None:
            owner, expires = str(held["owner"]), _stamp(held["expires_at"])
        else:
            owner = str(held["owner"])
        reservation = datacatalog_pb2.Reservation(
            reservation_id={"dataset_id": plain_id(id.dataset_id), "tag_name": id.tag_name},
            owner_id=owner,
            heartbeat_interval=heartbeat,
            expires_at=expires,
        )
        return datacatalog_pb2.GetOrExtendReservationResponse(reservation=reservation)

    def release(self, request: datacatalog_pb2.ReleaseReservationRequest) -> datacatalog_pb2.ReleaseReservationResponse:
        """ReleaseReservation; nothing happens when the owner holds none. Raises InvalidArgument."""
        id = request.reservation_id
        _check(id, request.owner_id)
        self.give_back(id.dataset_id, id.tag_name, request.owner_id)
        return datacatalog_pb2.ReleaseReservationResponse()

    def take(self, dataset: Any, tag: str, owner: str) -> Holder:
        """The reservation for ``owner`` if nobody else holds it, until it is given back; who holds it now."""
        key, now = tag_key(dataset, tag), self._clock()
        held = self._held(key, now)
        if held is None or held["owner"] == owner:
            if held is None or held["expires_at"] is not None:
                self._table.put(key, {"owner": owner, "expires_at": None})
            return Holder(owner)
        if held["expires_at"] is None:
            return Holder(str(held["owner"]))
        left = _stamp(held["expires_at"]).ToNanoseconds() - now.ToNanoseconds()
        return Holder(str(held["owner"]), max(0.0, left / 1e9))

    def give_back(self, dataset: Any, tag: str, owner: str) -> None:
        """End the owner's reservation, if it has one; who waits for it is told."""
        key = tag_key(dataset, tag)
        held = self._table.get(key)
        if held is None or held["owner"] != owner:
            return
        self._table.remove(key)
        id = identifier_pb2.Identifier(
            resource_type=identifier_pb2.DATASET,
            project=dataset.project,
            domain=dataset.domain,
            name=dataset.name,
            version=dataset.version,
        )
        self._changes.publish(ReservationReleased(id, tag))

    def _held(self, key: str, now: timestamp_pb2.Timestamp) -> dict[str, Any] | None:
        held = self._table.get(key)
        if held is None or held["expires_at"] is None or held["expires_at"] >= timestamp_text(now):
            return held
        return None


def _check(id: datacatalog_pb2.ReservationID, owner: str) -> None:
    """FlyteAdmin's cache service checks nothing, and takes an empty part for any."""
    if not id.ByteSize():
        raise missing("reservation_id")
    checks.dataset_id(id.dataset_id, id.HasField("dataset_id"))
    require(id.tag_name, checks.TAG_NAME)
    require(owner, "ownerID")


def _heartbeat(request: datacatalog_pb2.GetOrExtendReservationRequest) -> duration_pb2.Duration:
    longest = duration_pb2.Duration()
    longest.FromNanoseconds(MAX_HEARTBEAT)
    if not request.HasField("heartbeat_interval"):
        return longest
    asked = request.heartbeat_interval.seconds * 10**9 + request.heartbeat_interval.nanos
    if asked < 0:
        raise InvalidArgument(f"invalid value for heartbeat_interval, value:[{asked / 1e9:g}s]")
    interval = duration_pb2.Duration()
    interval.FromNanoseconds(min(asked, MAX_HEARTBEAT))
    return interval


def _stamp(stored: str) -> timestamp_pb2.Timestamp:
    stamp = timestamp_pb2.Timestamp()
    stamp.FromJsonString(stored)
    return stamp
