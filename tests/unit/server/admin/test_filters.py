from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta

import pytest
from google.protobuf import duration_pb2, timestamp_pb2
from hypothesis import given
from hypothesis import strategies as st

from flytelite.errors import InvalidArgument
from flytelite.server.admin.filters import Filter, Kind, condition, duration_seconds, parse, timestamp_text
from flytelite.server.store.interface import Condition, Operator

GRAMMAR = re.compile(r"(.+)\((.+),[ \t\n\f\r]?(.+)\)")


def test_expressions_are_joined_by_plus():
    assert parse("value_in(execution.phase,FAILED;SUCCEEDED)+lt(duration, 200)") == [
        Filter("value_in", "execution", "phase", ("FAILED", "SUCCEEDED")),
        Filter("lt", None, "duration", ("200",)),
    ]


def test_no_filters():
    assert parse("") == []


@pytest.mark.parametrize("text", ["eq(a,b", "eq a,b)", "eq(a)", "(a,b)", "eq(,b)", "eq(a,)", "+", "eq(a,b)+", "x"])
def test_malformed_expressions(text):
    with pytest.raises(InvalidArgument, match=r"^invalid value for filters$"):
        parse(text)


def test_only_known_entities_are_prefixes():
    assert parse("eq(my.field,v)") == [Filter("eq", None, "my.field", ("v",))]
    assert parse("eq(task.a.b,v)") == [Filter("eq", "task", "a.b", ("v",))]


@given(st.text(alphabet="(), ;.ab\t", max_size=24))
def test_the_split_is_that_of_the_greedy_expression(text):
    match = GRAMMAR.search(text)
    if not text:
        return
    if match is None:
        with pytest.raises(InvalidArgument):
            parse(text)
    else:
        assert parse(text) == [Filter(match[1], None, match[2], tuple(match[3].split(";")))]


def test_a_hostile_expression_is_refused_at_once():
    with pytest.raises(InvalidArgument):
        parse("(,(," * 100_000)


@pytest.mark.parametrize("operator", list(Operator))
def test_every_function_is_an_operator(operator):
    found = condition(Filter(operator.value, None, "name", ("v",)), "column", Kind.TEXT)
    assert found == Condition("column", operator, ("v",))


def one(text: str, kind: Kind, function: str = "eq") -> object:
    return condition(Filter(function, None, "f", (text,)), "f", kind).values[0]


@pytest.mark.parametrize(
    ("text", "kept"),
    [
        ("2021-05-24T21:43:12Z", "2021-05-24T21:43:12.000000000Z"),
        ("2021-05-24T21:43:12.5Z", "2021-05-24T21:43:12.500000000Z"),
        ("2021-05-24T21:43:12.123456789Z", "2021-05-24T21:43:12.123456789Z"),
        ("2021-05-24T21:43:12.1234567891Z", "2021-05-24T21:43:12.123456789Z"),
        ("2021-05-24T23:43:12-02:00", "2021-05-25T01:43:12.000000000Z"),
        ("2021-05-24 21:43:12", "2021-05-24T21:43:12.000000000Z"),
        ("2021-05-24", "2021-05-24T00:00:00.000000000Z"),
        ("0001-01-01T00:00:00Z", "0001-01-01T00:00:00.000000000Z"),
    ],
)
def test_timestamps(text, kept):
    assert one(text, Kind.TIMESTAMP) == kept


@pytest.mark.parametrize("text", ["yesterday", "2021-13-01T00:00:00Z", "", "12", "0001-01-01T00:00:00-23:59x"])
def test_bad_timestamps_are_invalid(text):
    with pytest.raises(InvalidArgument, match=r"created_at: an RFC 3339 timestamp is needed"):
        condition(Filter("eq", None, "created_at", (text,)), "created_at", Kind.TIMESTAMP)


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("20", 20.0), ("0.5", 0.5), ("-1", -1.0), ("1h30m", 5400.0), ("250ms", 0.25), ("-1.5h", -5400.0), ("0", 0.0)],
)
def test_durations(text, seconds):
    assert one(text, Kind.DURATION) == pytest.approx(seconds)


@pytest.mark.parametrize("text", ["soon", "1h 30m", "nan", "inf", "1e30", "9999999h", "1_0", "s", "-"])
def test_bad_durations(text):
    with pytest.raises(InvalidArgument, match=rf"^Failed to parse duration \[{text}\]$"):
        one(text, Kind.DURATION)


@pytest.mark.parametrize("text", ["", "1.5", "x", "0x1", "1e3", "٣"])
def test_bad_integers(text):
    with pytest.raises(InvalidArgument, match=r"an integer is needed"):
        one(text, Kind.INTEGER)


def test_integers():
    assert one(" 7 ", Kind.INTEGER) == 7
    assert one("-7", Kind.INTEGER) == -7


def test_functions_are_checked_after_values():
    with pytest.raises(InvalidArgument, match=r"^unrecognized filter function: equals$"):
        one("1", Kind.TEXT, "equals")
    with pytest.raises(InvalidArgument, match=r"Failed to parse duration"):
        one("x", Kind.DURATION, "equals")


def test_functions_that_databases_refuse_are_invalid():
    with pytest.raises(InvalidArgument, match=r"takes one value, got 2"):
        condition(Filter("eq", None, "name", ("a", "b")), "name", Kind.TEXT)
    with pytest.raises(InvalidArgument, match=r"cannot be applied to duration"):
        condition(Filter("contains", None, "duration", ("1",)), "duration", Kind.DURATION)


moments = st.integers(min_value=-62135596800, max_value=253402300799)


@given(moments, st.integers(0, 999_999_999), moments, st.integers(0, 999_999_999))
def test_timestamps_sort_as_text(first, first_nanos, second, second_nanos):
    one_, two = (timestamp_pb2.Timestamp(seconds=s, nanos=n) for s, n in ((first, first_nanos), (second, second_nanos)))
    assert (timestamp_text(one_) < timestamp_text(two)) == ((first, first_nanos) < (second, second_nanos))


@given(moments, st.integers(0, 999_999_999))
def test_a_stamp_in_a_filter_equals_the_stamp_in_a_column(seconds, nanos):
    stamp = timestamp_pb2.Timestamp(seconds=seconds, nanos=nanos)
    whole = datetime(1970, 1, 1, tzinfo=UTC) + timedelta(seconds=seconds)
    assert timestamp_text(stamp)[:19] == whole.replace(tzinfo=None).isoformat()
    assert one(stamp.ToJsonString(), Kind.TIMESTAMP) == timestamp_text(stamp)


def test_durations_of_columns_are_seconds():
    assert duration_seconds(duration_pb2.Duration(seconds=3, nanos=250_000_000)) == 3.25
