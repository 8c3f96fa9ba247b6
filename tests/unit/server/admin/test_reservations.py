"""Reservations against a model of who may have them, over any sequence of moments and callers."""

from __future__ import annotations

import pytest
from flyteidl.core import identifier_pb2
from flyteidl.datacatalog import datacatalog_pb2
from google.protobuf import duration_pb2, timestamp_pb2
from hypothesis import given
from hypothesis import strategies as st

from flytelite.server.admin.catalog.reservations import Holder, Reservations
from flytelite.server.admin.changes import Changes, ReservationReleased
from flytelite.server.store.memory import MemoryStore

START = 1_700_000_000
PARTS = {"project": "p", "domain": "d", "name": "n", "version": "v"}
DATASET = identifier_pb2.Identifier(resource_type=identifier_pb2.DATASET, **PARTS)
ID = datacatalog_pb2.ReservationID(dataset_id=datacatalog_pb2.DatasetID(**PARTS), tag_name="t")


class Table:
    """Reservations whose clock is set by hand."""

    def __init__(self) -> None:
        self.now = START
        self.changes = Changes()
        self.reservations = Reservations(MemoryStore(), self.changes, lambda: timestamp_pb2.Timestamp(seconds=self.now))

    def ask(self, owner: str, heartbeat: int) -> datacatalog_pb2.Reservation:
        request = datacatalog_pb2.GetOrExtendReservationRequest(
            reservation_id=ID, owner_id=owner, heartbeat_interval=duration_pb2.Duration(seconds=heartbeat)
        )
        return self.reservations.get_or_extend(request).reservation

    def release(self, owner: str) -> None:
        self.reservations.release(datacatalog_pb2.ReleaseReservationRequest(reservation_id=ID, owner_id=owner))


owners = st.sampled_from(["a", "b", "c"])
steps = st.lists(
    st.one_of(
        st.tuples(st.just("ask"), owners, st.integers(0, 15)),
        st.tuples(st.just("release"), owners, st.just(0)),
        st.tuples(st.just("wait"), st.just(""), st.integers(0, 40)),
        st.tuples(st.just("take"), st.just("engine"), st.just(0)),
        st.tuples(st.just("give back"), st.just("engine"), st.just(0)),
    ),
    max_size=25,
)


@given(steps)
def test_at_any_moment_at_most_one_has_it(found):
    table, holder, until = Table(), None, None  # until None: for good
    for what, owner, number in found:
        free = holder is None or (until is not None and until < table.now)
        if what == "wait":
            table.now += number
        elif what == "ask":
            answer = table.ask(owner, number)
            if free or (holder == owner and until is not None):
                holder, until = owner, table.now + 3 * min(number, 10)
            assert answer.owner_id == holder
            expected = table.now + 3 * min(number, 10) if until is None else until
            assert answer.expires_at.seconds == expected
            assert answer.heartbeat_interval.seconds == min(number, 10)
        elif what == "take":
            taken = table.reservations.take(DATASET, "t", owner)
            if free or holder == owner:
                holder, until = owner, None
            assert taken == Holder(holder, None if until is None else float(until - table.now))
        elif what == "release":
            table.release(owner)
            holder = None if holder == owner else holder
        else:
            table.reservations.give_back(DATASET, "t", owner)
            holder = None if holder == owner else holder


@pytest.mark.parametrize("owner", ["me", "you"])
def test_who_waits_is_told_of_a_release(owner):
    table, told = Table(), []
    table.ask("me", 5)
    with table.changes.listening(told.append):
        table.release(owner)
    assert told == ([ReservationReleased(DATASET, "t")] if owner == "me" else [])
