"""Masking a stream: however it is cut, nothing of a value gets through, and what is no value is not held back."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from flytelite.engine.executors.masker import Masker, masked

TEXT = st.text("abc", max_size=30)


@given(st.lists(TEXT, max_size=8), st.lists(st.text("abc", min_size=1, max_size=4), max_size=3))
def test_pieces_are_masked_as_the_whole_is(pieces, values):
    masker = Masker(values)
    found = b"".join(masker.feed(piece.encode()) for piece in pieces) + masker.end()
    assert found == masked("".join(pieces).encode(), values)
    assert not any(value.encode() in found for value in values)


def test_a_value_that_comes_byte_by_byte():
    masker = Masker(["hunter2"])
    assert [masker.feed(bytes([byte])) for byte in b"=hunter2!"] == [b"=", *[b""] * 6, b"***", b"!"]


def test_only_what_a_value_may_begin_with_waits():
    masker = Masker(["hunter2"])
    assert masker.feed(b"a hunter without a hunt") == b"a hunter without a "
    assert masker.end() == b"hunt"


def test_the_longer_of_two_values_that_begin_alike():
    masker = Masker(["pass", "password"])
    assert masker.feed(b"pass") == b""
    assert masker.feed(b"word, pass.") == b"***, ***."


def test_nothing_to_mask():
    assert Masker([]).feed(b"anything") == b"anything"
