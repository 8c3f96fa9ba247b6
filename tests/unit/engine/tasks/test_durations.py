"""Durations as Go reads them."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flytelite.engine.tasks.durations import parse
from flytelite.engine.tasks.templates import go_duration


@pytest.mark.parametrize(
    ("text", "nanoseconds"),
    [("300ms", 300_000_000), ("-1.5h", -5_400_000_000_000), ("2h45m", 9_900_000_000_000), ("0", 0), ("+.5us", 500)],
)
def test_examples(text, nanoseconds):
    assert parse(text).ToNanoseconds() == nanoseconds


@pytest.mark.parametrize("text", ["", "1", "s", "1h x", "1 h", "-", "1e3s", f"{10**12}h"])
def test_others_are_none(text):
    with pytest.raises(ValueError, match="duration"):
        parse(text)


@given(st.integers(-(2**53), 2**53))
def test_what_is_printed_is_read(nanoseconds):
    from google.protobuf.duration_pb2 import Duration

    duration = Duration()
    duration.FromNanoseconds(nanoseconds)
    assert parse(go_duration(duration)) == duration
