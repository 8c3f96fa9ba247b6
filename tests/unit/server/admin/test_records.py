from __future__ import annotations

import pytest
from flyteidl.admin import project_pb2
from flyteidl.core import literals_pb2

from flytelite.errors import InvalidArgument
from flytelite.server.admin.records import Record, Records
from flytelite.server.store.interface import TableSchema
from flytelite.server.store.memory import MemoryStore

SCHEMA = TableSchema("projects")
KILOBYTE = 1 << 10


def project(key: str, size: int) -> Record[project_pb2.Project]:
    return Record(key, project_pb2.Project(id=key, description="d" * size))


@pytest.fixture
def records() -> Records[project_pb2.Project]:
    """Keeps three messages of a kilobyte decoded, but not four."""
    return Records(MemoryStore(), SCHEMA, project_pb2.Project, 3 * project("a", KILOBYTE).size())


def test_the_messages_used_last_stay_decoded(records):
    put = [project(key, KILOBYTE) for key in "abc"]
    for record in put:
        records.put(record)
    assert records.get("a") is put[0]
    records.put(project("d", KILOBYTE))
    assert records.get("a") is put[0]
    assert records.get("b") is not put[1]
    assert records.get("b") == put[1]


def test_room_is_counted_in_bytes(records):
    small = [project(f"{n}", 1) for n in range(6)]
    for record in small:
        records.put(record)
    assert all(records.get(record.key) is record for record in small)
    large = project("large", 100 * KILOBYTE)
    records.put(large)
    assert records.get("large") is large
    assert records.get("0") is not small[0]
    assert records.get("large") is not large


def test_what_is_replaced_or_removed_takes_no_room(records):
    first, second = project("a", KILOBYTE), project("b", KILOBYTE)
    records.put(first)
    records.put(second)
    for _ in range(10):
        records.put(project("c", KILOBYTE))
        records.put(project("c", KILOBYTE))
        records.remove("c")
    assert records.get("c") is None
    assert records.get("a") is first
    assert records.get("b") is second


def test_an_edit_is_a_copy(records):
    records.put(project("a", 1))
    edit = records.edit("a")
    edit.message.description = "other"
    assert records.get("a").message.description == "d"
    records.put(edit)
    assert records.get("a").message.description == "other"


def test_what_json_cannot_say_is_refused():
    records = Records(MemoryStore(), TableSchema("inputs"), literals_pb2.LiteralMap)
    message = literals_pb2.LiteralMap()
    message.literals["at"].scalar.primitive.datetime.seconds = 300_000_000_000  # after the year 9999
    with pytest.raises(InvalidArgument, match="LiteralMap x cannot be kept"):
        records.put(Record("x", message))
    assert records.get("x") is None
