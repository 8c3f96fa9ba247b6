"""Literal maps by content, readable while small, exact always."""

from __future__ import annotations

from dataclasses import replace

import pytest
from flyteidl.admin import execution_pb2
from flyteidl.core import literals_pb2

from flytelite.errors import ResourceExhausted
from flytelite.server.admin.literal_maps import LITERAL_MAPS, LiteralMaps, LiteralReader


@pytest.fixture
def maps(store) -> LiteralMaps:
    return LiteralMaps(store)


def test_equal_maps_are_stored_once(maps, store, admin):
    first = maps.put(admin.literal_map(b=2, a="one"))
    position = store.position
    assert maps.put(admin.literal_map(a="one", b=2)) == first
    assert store.position == position
    assert maps.get(first) == admin.literal_map(a="one", b=2)
    assert maps.put(admin.literal_map(a="one", b=3)) != first


def test_an_unknown_digest_is_nothing(maps):
    assert maps.get("0" * 64) is None
    assert maps.resolve("/a/b/outputs.pb") is None


def test_small_maps_are_kept_as_json(maps, store, admin):
    digest = maps.put(admin.literal_map(x=7))
    assert store.table(LITERAL_MAPS).get(digest) == {
        "message": {"literals": {"x": {"scalar": {"primitive": {"integer": "7"}}}}}
    }


def test_large_maps_and_those_json_cannot_say_come_back_exactly(maps, admin):
    large = admin.literal_map(text="x" * 100_000)
    assert maps.get(maps.put(large)) == large
    odd = literals_pb2.LiteralMap()
    odd.literals["nan"].scalar.generic.fields["value"].number_value = float("nan")
    odd.literals["late"].scalar.primitive.datetime.seconds = 10**14
    found = maps.get(maps.put(odd))
    assert found.SerializeToString(deterministic=True) == odd.SerializeToString(deterministic=True)


def test_a_reader_finds_maps_in_the_store_and_in_files(maps, admin, settings):
    reader = LiteralReader(maps, admin.objects, settings)
    inputs = admin.literal_map(x=1)
    assert reader.read(maps.offload(inputs)) == inputs
    file = settings.bucket / "metadata" / "outputs.pb"
    assert reader.find(str(file)) is None
    assert reader.read(str(file)) == literals_pb2.LiteralMap()
    file.parent.mkdir()
    file.write_bytes(inputs.SerializeToString())
    assert reader.read(str(file)) == inputs
    file.write_bytes(b"\xff not a message")
    assert reader.find(str(file)) is None
    assert reader.read("") == literals_pb2.LiteralMap()


def test_of_files_that_do_not_fit_into_an_answer_goes_the_address(maps, admin, settings):
    reader = LiteralReader(maps, admin.objects, replace(settings, max_message_bytes=1000))
    inputs, outputs = admin.literal_map(x="i" * 500), admin.literal_map(x="o" * 500)
    file = settings.bucket / "metadata" / "outputs.pb"
    file.parent.mkdir()
    file.write_bytes(outputs.SerializeToString())

    def answer(inputs_uri: str, outputs_uri: str) -> execution_pb2.WorkflowExecutionGetDataResponse:
        made = execution_pb2.WorkflowExecutionGetDataResponse()
        reader.fill(made, inputs_uri, outputs_uri)
        return made

    alone = answer("", str(file))
    assert (alone.full_outputs, alone.outputs.url) == (outputs, "")
    both = answer(maps.offload(inputs), str(file))
    assert both.full_inputs == inputs
    assert both.HasField("full_outputs")
    assert not both.full_outputs.literals
    assert (both.outputs.url, both.outputs.bytes) == (str(file), file.stat().st_size)


def test_a_file_that_no_answer_can_hold_is_refused_unread(maps, admin, settings):
    reader = LiteralReader(maps, admin.objects, replace(settings, max_message_bytes=1000))
    file = settings.bucket / "metadata" / "outputs.pb"
    file.parent.mkdir()
    fits = admin.literal_map(x="o" * 500)
    file.write_bytes(fits.SerializeToString())
    assert reader.alone(str(file)) == fits
    file.write_bytes(b"\xff" * 1001)
    with pytest.raises(ResourceExhausted, match="has 1001 bytes, more than the 1000 of an answer"):
        reader.alone(str(file))
    assert reader.alone(maps.offload(fits)) == fits
