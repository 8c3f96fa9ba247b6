from __future__ import annotations

import pytest
from hpack import Decoder, Encoder
from hypothesis import given
from hypothesis import strategies as st

from flytelite.server.grpc.frames import ConnectionFault, ErrorCode, StreamFault
from flytelite.server.grpc.headers import HeaderDecoder, block

REQUEST = [
    (b":method", b"POST"),
    (b":scheme", b"http"),
    (b":path", b"/a.Service/Call"),
    (b":authority", b"localhost"),
    (b"te", b"trailers"),
    (b"content-type", b"application/grpc+proto"),
]


def encoded(*headers: tuple[bytes, bytes]) -> bytes:
    return Encoder().encode(headers)


def test_what_a_request_says():
    head = HeaderDecoder().request(encoded(*REQUEST, (b"grpc-timeout", b"1500m"), (b"grpc-encoding", b"gzip")))
    assert (head.path, head.timeout, head.encoding, head.http_status) == ("/a.Service/Call", 1.5, "gzip", 0)


@pytest.mark.parametrize(
    ("value", "seconds"), [(b"2H", 7200), (b"3M", 180), (b"4S", 4), (b"5m", 0.005), (b"6u", 6e-6), (b"7n", 7e-9)]
)
def test_timeouts(value, seconds):
    assert HeaderDecoder().request(encoded(*REQUEST, (b"grpc-timeout", value))).timeout == pytest.approx(seconds)


@pytest.mark.parametrize(
    "headers",
    [
        REQUEST[1:],  # no method
        [*REQUEST, (b":path", b"/again")],
        [(b"a", b"b"), *REQUEST],  # pseudo-headers come first
        [*REQUEST, (b":status", b"200")],
        [*REQUEST, (b"Upper", b"case")],
        [*REQUEST, (b"connection", b"close")],
        [*REQUEST, (b"te", b"gzip")],
        [*REQUEST, (b"grpc-timeout", b"soon")],
        [*REQUEST, (b"grpc-timeout", b"123456789S")],
        [*REQUEST, (b"content-length", b"-1")],
        [*REQUEST, (b"content-length", b"9" * 5000)],
    ],
)
def test_malformed_requests(headers):
    with pytest.raises(StreamFault) as caught:
        HeaderDecoder().request(encoded(*headers))
    assert caught.value.code is ErrorCode.PROTOCOL_ERROR


@pytest.mark.parametrize(
    ("change", "status"),
    [
        ((b"content-type", b"text/html"), 415),
        ((b"content-type", b"application/json"), 415),
        ((b":method", b"GET"), 405),
    ],
)
def test_what_is_no_grpc_has_an_http_status(change, status):
    headers = dict(REQUEST) | dict([change])
    assert HeaderDecoder().request(encoded(*headers.items())).http_status == status


@pytest.mark.parametrize("broken", [b"\xff\xff\xff\xff\xff\xff", b"\xbf", b"\x00\x85ab"])
def test_headers_that_cannot_be_decoded_end_the_connection(broken):
    with pytest.raises(ConnectionFault) as caught:
        HeaderDecoder().request(broken)
    assert caught.value.code is ErrorCode.COMPRESSION_ERROR


def test_a_few_bytes_that_stand_for_megabytes_are_refused():
    encoder = Encoder()
    large = (b"large", b"x" * 4000)
    decoder = HeaderDecoder()
    decoder.request(encoder.encode([*REQUEST, large]))
    with pytest.raises(ConnectionFault):
        decoder.request(encoder.encode([*REQUEST, *[large] * 300]))


NAMES = st.sampled_from([b"grpc-timeout", b"x-one", b"x-two"])
VALUES = st.sampled_from([b"1S", b"2S", b"30m", b"400u"])


@given(st.lists(st.tuples(st.lists(st.tuples(NAMES, VALUES), max_size=3), st.sampled_from([0, 64, 4096])), max_size=30))
def test_remembered_blocks_are_what_decoding_them_again_gives(requests):
    """The same bytes mean something else once the table has changed."""
    encoder, plain, remembering = Encoder(), Decoder(), HeaderDecoder()
    for headers, table_size in requests:
        if encoder.header_table_size != table_size:
            encoder.header_table_size = table_size
        sent = encoder.encode([*REQUEST, *headers])
        expected = dict(plain.decode(sent)).get("grpc-timeout")
        found = remembering.request(sent).timeout
        seconds = {None: None, "1S": 1.0, "2S": 2.0, "30m": 0.03, "400u": 0.0004}
        assert found == pytest.approx(seconds[expected])


@given(st.lists(st.tuples(st.binary(min_size=1, max_size=300), st.binary(max_size=70_000)), max_size=4))
def test_blocks_of_answers_decode_to_what_they_were_made_of(headers):
    decoder = Decoder(max_header_list_size=2**20)
    assert [tuple(header) for header in decoder.decode(block(*headers), raw=True)] == headers
