"""Signals that gates wait for."""

from __future__ import annotations

import pytest
from flyteidl.admin import signal_pb2
from flyteidl.core import identifier_pb2, literals_pb2, types_pb2

from flytelite.errors import AlreadyExists, InvalidArgument
from flytelite.server.admin.changes import SignalSet

BOOLEAN = types_pb2.LiteralType(simple=types_pb2.BOOLEAN)
INTEGER = types_pb2.LiteralType(simple=types_pb2.INTEGER)
EXECUTION = identifier_pb2.WorkflowExecutionIdentifier(project="p", domain="d", name="n")


def signal_id(name: str = "approved") -> identifier_pb2.SignalIdentifier:
    return identifier_pb2.SignalIdentifier(execution_id=EXECUTION, signal_id=name)


def get_or_create(admin, name: str = "approved", type: types_pb2.LiteralType = BOOLEAN) -> signal_pb2.Signal:
    return admin.signals.get_or_create(signal_pb2.SignalGetOrCreateRequest(id=signal_id(name), type=type))


def set_value(admin, value: literals_pb2.Literal, name: str = "approved") -> None:
    admin.signals.set(signal_pb2.SignalSetRequest(id=signal_id(name), value=value))


def test_a_gate_makes_a_signal_and_reads_its_value_later(admin):
    made = get_or_create(admin)
    assert (made.id, made.type, made.HasField("value")) == (signal_id(), BOOLEAN, False)
    for value in (True, False):  # as often as one likes
        set_value(admin, admin.literal(value))
        assert get_or_create(admin).value == admin.literal(value)
    assert admin.published == [SignalSet(signal_id())] * 2


def test_a_signal_has_one_type(admin):
    get_or_create(admin)
    with pytest.raises(AlreadyExists, match="of type"):
        get_or_create(admin, type=INTEGER)


def test_a_signal_cannot_be_set_before_its_gate_made_it(admin):
    with pytest.raises(InvalidArgument, match=r"failed to validate that signal \[.*\] exists"):
        set_value(admin, admin.literal(True))


def test_values_must_fit_the_type(admin):
    get_or_create(admin)
    with pytest.raises(InvalidArgument, match="is not castable to existing signal type"):
        set_value(admin, admin.literal(1))
    odd = literals_pb2.Literal()
    odd.collection.literals.add()
    with pytest.raises(InvalidArgument, match="Failed to validate literal type"):
        set_value(admin, odd)
    assert not get_or_create(admin).HasField("value")


def test_lists_are_of_one_execution(admin):
    for name in ("b", "a", "c"):
        get_or_create(admin, name)
    other = signal_id()
    other.execution_id.name = "other"
    admin.signals.get_or_create(signal_pb2.SignalGetOrCreateRequest(id=other, type=BOOLEAN))

    def listed(**request) -> tuple[list[str], str]:
        page = admin.signals.list(signal_pb2.SignalListRequest(workflow_execution_id=EXECUTION, **request))
        return [signal.id.signal_id for signal in page.signals], page.token

    assert listed(limit=10) == (["b", "a", "c"], "")
    assert listed(limit=2, sort_by={"key": "signal_id", "direction": "ASCENDING"}) == (["a", "b"], "2")
    assert listed(limit=10, filters="eq(signal_id,c)") == (["c"], "")
    with pytest.raises(InvalidArgument, match="invalid value for limit"):
        listed()


def test_requests_that_say_too_little_are_refused(admin):
    requests = {
        "missing id": signal_pb2.SignalGetOrCreateRequest(type=BOOLEAN),
        "missing execution_id": signal_pb2.SignalGetOrCreateRequest(id={"signal_id": "s"}, type=BOOLEAN),
        "missing signal_id": signal_pb2.SignalGetOrCreateRequest(id={"execution_id": EXECUTION}, type=BOOLEAN),
        "missing type": signal_pb2.SignalGetOrCreateRequest(id=signal_id()),
    }
    for message, request in requests.items():
        with pytest.raises(InvalidArgument, match=message):
            admin.signals.get_or_create(request)
    with pytest.raises(InvalidArgument, match="missing value"):
        admin.signals.set(signal_pb2.SignalSetRequest(id=signal_id()))
    with pytest.raises(InvalidArgument, match="missing execution_id"):
        admin.signals.list(signal_pb2.SignalListRequest(limit=1))
