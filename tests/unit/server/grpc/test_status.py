from __future__ import annotations

import asyncio
from urllib.parse import quote

import grpc
import pytest
from flyteidl.admin import event_pb2
from google.rpc import status_pb2

from flytelite.errors import Code, FailedPrecondition, FlyteError, NotFound
from flytelite.server.grpc.status import MAX_TRAILER_BYTES, abort


class Context:
    """What abort needs of a call."""

    async def abort(self, code, details, trailers):
        self.code, self.details, self.trailers = code, details, trailers


def aborted(error: FlyteError) -> Context:
    context = Context()
    asyncio.run(abort(context, error))
    return context


def test_every_code_has_its_status():
    for kind in FlyteError.__subclasses__():
        assert aborted(kind("x")).code.value[0] == kind.code
    assert {code.value[0] for code in grpc.StatusCode} == set(Code)


def test_details_become_a_status_message():
    reason = event_pb2.EventFailureReason()
    reason.already_in_terminal_state.current_phase = "FAILED"
    ((key, value),) = aborted(FailedPrecondition("text", [reason])).trailers
    status = status_pb2.Status.FromString(value)
    assert key == "grpc-status-details-bin"
    assert (status.code, status.message) == (9, "text")
    assert status.details[0].type_url == "type.googleapis.com/flyteidl.admin.EventFailureReason"


def test_details_that_do_not_fit_are_dropped_before_the_text_is_cut():
    reason = event_pb2.EventFailureReason()
    reason.already_in_terminal_state.current_phase = "x" * MAX_TRAILER_BYTES
    context = aborted(FailedPrecondition("text", [reason]))
    assert (context.details, context.trailers) == ("text", ())


@pytest.mark.parametrize("text", ["x" * 50_000, "é" * 16_000, "語" * 10_600, "%" * 31_999, "a\n語" * 9_000])
def test_long_text_is_cut_by_what_it_takes_on_the_wire(text):
    details = aborted(NotFound(text)).details
    assert text.startswith(details)
    encoded = quote(details, safe="".join(map(chr, range(0x20, 0x7F))).replace("%", ""))
    assert MAX_TRAILER_BYTES - 9 <= len(encoded) <= MAX_TRAILER_BYTES


def test_short_text_stays_whole():
    text = "語" * 3000
    assert aborted(NotFound(text)).details == text
