from __future__ import annotations

from base64 import b64decode
from urllib.parse import quote, unquote

import grpc
import pytest
from flyteidl.admin import event_pb2
from google.rpc import status_pb2
from hpack import Decoder

from flytelite.errors import Code, FailedPrecondition, FlyteError, NotFound
from flytelite.server.grpc import status
from flytelite.server.grpc.status import MAX_TRAILER_BYTES


def trailers(error: FlyteError) -> dict[str, str]:
    return dict(Decoder().decode(status.of_error(error)))


def text_of(error: FlyteError) -> str:
    return unquote(trailers(error)["grpc-message"])


def test_every_code_has_its_status():
    for kind in FlyteError.__subclasses__():
        assert trailers(kind("x")) == {"grpc-status": str(int(kind.code)), "grpc-message": "x"}
    assert {code.value[0] for code in grpc.StatusCode} == set(Code)


def test_details_become_a_status_message():
    reason = event_pb2.EventFailureReason()
    reason.already_in_terminal_state.current_phase = "FAILED"
    encoded = trailers(FailedPrecondition("text", [reason]))["grpc-status-details-bin"]
    found = status_pb2.Status.FromString(b64decode(encoded + "=="))
    assert (found.code, found.message) == (9, "text")
    assert found.details[0].type_url == "type.googleapis.com/flyteidl.admin.EventFailureReason"


def test_details_that_do_not_fit_are_dropped_before_the_text_is_cut():
    reason = event_pb2.EventFailureReason()
    reason.already_in_terminal_state.current_phase = "x" * MAX_TRAILER_BYTES
    assert trailers(FailedPrecondition("text", [reason])) == {"grpc-status": "9", "grpc-message": "text"}


@pytest.mark.parametrize("text", ["x" * 50_000, "é" * 16_000, "語" * 10_600, "%" * 31_999, "a\n語" * 9_000])
def test_long_text_is_cut_by_what_it_takes_on_the_wire(text):
    sent = text_of(NotFound(text))
    assert text.startswith(sent)
    encoded = quote(sent, safe="".join(map(chr, range(0x20, 0x7F))).replace("%", ""))
    assert MAX_TRAILER_BYTES - 9 <= len(encoded) <= MAX_TRAILER_BYTES


def test_short_text_stays_whole():
    text = "語" * 3000
    assert text_of(NotFound(text)) == text
