from __future__ import annotations

import gzip
import zlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flytelite.errors import InvalidArgument, ResourceExhausted, Unimplemented
from flytelite.server.grpc.messages import MessageReader, prefixed


@given(st.lists(st.binary(max_size=20), max_size=8), st.lists(st.integers(1, 9), min_size=1))
def test_messages_come_out_however_their_bytes_are_cut(messages, sizes):
    data = b"".join(map(prefixed, messages))
    reader, found, number = MessageReader("identity", 100), [], 0
    while data:
        size = sizes[number % len(sizes)]
        found += reader.feed(data[:size])
        data, number = data[size:], number + 1
    assert found == messages
    assert not reader.is_amid


def test_an_unfinished_message_is_known():
    reader = MessageReader("identity", 100)
    assert reader.feed(prefixed(b"message")[:-1]) == []
    assert reader.is_amid


def compressed(message: bytes) -> bytes:
    return b"\x01" + len(message).to_bytes(4, "big") + message


@pytest.mark.parametrize(("encoding", "compress"), [("gzip", gzip.compress), ("deflate", zlib.compress)])
def test_compressed_messages(encoding, compress):
    reader = MessageReader(encoding, 1000)
    assert reader.feed(compressed(compress(b"x" * 999)) + prefixed(b"plain")) == [b"x" * 999, b"plain"]
    with pytest.raises(ResourceExhausted, match="max_message_bytes"):
        reader.feed(compressed(compress(b"x" * 1_000_000)))


@pytest.mark.parametrize("broken", [b"", b"garbage", gzip.compress(b"x" * 1000, mtime=0)[:-9]])
def test_what_cannot_be_decompressed(broken):
    with pytest.raises(InvalidArgument, match="no valid gzip"):
        MessageReader("gzip", 10_000).feed(compressed(broken))


def test_compression_that_was_not_announced():
    with pytest.raises(InvalidArgument, match="grpc-encoding"):
        MessageReader("identity", 1000).feed(compressed(b"x"))
    with pytest.raises(Unimplemented, match="'br'"):
        MessageReader("br", 1000)


def test_a_message_above_the_limit_is_refused_before_it_comes():
    with pytest.raises(ResourceExhausted, match="101 bytes is larger than 100"):
        MessageReader("identity", 100).feed(b"\0\0\0\0\x65")
