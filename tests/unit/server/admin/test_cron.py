from __future__ import annotations

from datetime import UTC, datetime, timedelta
from itertools import pairwise
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from flytelite.server.admin.cron import Cron, Every, Field, parse

TOKYO, NEW_YORK = ZoneInfo("Asia/Tokyo"), ZoneInfo("America/New_York")


def fires(text: str) -> Cron:
    schedule = parse(text)
    assert isinstance(schedule, Cron)
    return schedule


def test_stars_and_question_marks():
    schedule = fires("* ? * ? *")
    assert schedule.minutes == Field(frozenset(range(60)), True)
    assert schedule.hours == Field(frozenset(range(24)), True)
    assert schedule.weekdays == Field(frozenset(range(7)), True)


@pytest.mark.parametrize(
    ("minutes", "values"),
    [
        ("5", {5}),
        ("1,3,5", {1, 3, 5}),
        ("1,,3", {1, 3}),
        ("10-12", {10, 11, 12}),
        ("*/20", {0, 20, 40}),
        ("50/4", {50, 54, 58}),
        ("0-10/5,30", {0, 5, 10, 30}),
    ],
)
def test_lists_ranges_and_steps(minutes, values):
    assert fires(f"{minutes} * * * *").minutes == Field(frozenset(values), False)


def test_names_in_any_case():
    schedule = fires("0 9 * JAN-mar Mon,fri")
    assert schedule.months.values == {1, 2, 3}
    assert schedule.weekdays.values == {1, 5}


def test_descriptors():
    assert parse("@daily") == parse("@midnight") == parse("0 0 * * *")
    assert parse("@annually") == parse("@yearly") == parse("0 0 1 1 *")
    assert parse("@weekly") == parse("0 0 * * 0")
    assert parse("@every 90m") == Every(5400)
    assert parse("@every 1.9s") == Every(1)
    assert parse("@every 1ms") == Every(1)


def test_time_zones():
    assert str(fires("TZ=Asia/Tokyo 0 6 * * *").timezone) == "Asia/Tokyo"
    assert str(fires("CRON_TZ=UTC @daily").timezone) == "UTC"
    assert fires("TZ=Local 0 6 * * *").timezone is None


@pytest.mark.parametrize(
    "text",
    [
        "* * * *",
        "* * * * * *",
        "",
        "60 * * * *",
        "* 24 * * *",
        "* * 0 * *",
        "* * * 13 *",
        "* * * * 7",
        "5-1 * * * *",
        "1-2-3 * * * *",
        "*/0 * * * *",
        "1/2/3 * * * *",
        "x * * * *",
        "-1 * * * *",
        "* * * foo *",
        "@Daily",
        "@hourly ",
        "hourly",
        "weeks",
        "@every",
        "@every soon",
        "TZ=Mars/Olympus 0 0 * * *",
        "TZ=UTC",
    ],
)
def test_expressions_that_do_not_parse(text):
    with pytest.raises(ValueError, match=r".+"):
        parse(text)


def utc(*parts: int) -> datetime:
    return datetime(*parts, tzinfo=UTC)


def times(text: str, after: datetime, number: int) -> list[datetime]:
    found = []
    for _ in range(number):
        after = parse(text).next_after(after)
        found.append(after)
    return found


@pytest.mark.parametrize(
    ("text", "after", "next"),
    [
        ("* * * * *", utc(2024, 1, 1, 10, 0), utc(2024, 1, 1, 10, 1)),
        ("* * * * *", utc(2024, 1, 1, 10, 0, 59), utc(2024, 1, 1, 10, 1)),
        ("*/15 * * * *", utc(2024, 1, 1, 10, 0, 1), utc(2024, 1, 1, 10, 15)),
        ("0 9 * * *", utc(2024, 1, 1, 9, 0), utc(2024, 1, 2, 9, 0)),
        ("@hourly", utc(2024, 12, 31, 23, 30), utc(2025, 1, 1)),
        ("@weekly", utc(2024, 1, 1), utc(2024, 1, 7)),
        ("@monthly", utc(2024, 1, 31), utc(2024, 2, 1)),
        ("@yearly", utc(2024, 1, 1), utc(2025, 1, 1)),
        ("0 0 29 2 *", utc(2024, 3, 1), utc(2028, 2, 29)),
        ("0 0 13 * 5", utc(2024, 1, 1), utc(2024, 1, 5)),  # a Friday or the 13th
        ("0 0 13 * *", utc(2024, 1, 1), utc(2024, 1, 13)),
        ("0 0 * * fri", utc(2024, 1, 6), utc(2024, 1, 12)),
        ("0 0 */2 * 1", utc(2024, 1, 1), utc(2024, 1, 3)),  # a step is no star: either day counts
        ("0 0 ? * 1", utc(2024, 1, 1), utc(2024, 1, 8)),
        ("0 0 31 2 *", utc(2024, 1, 1), None),
        (", * * * *", utc(2024, 1, 1), None),
        ("CRON_TZ=Asia/Tokyo 0 6 * * *", utc(2024, 1, 1), utc(2024, 1, 1, 21)),
        ("@every 90m", utc(2024, 1, 1, 10, 0, 0, 700_000), utc(2024, 1, 1, 11, 30)),
        ("@every 2540400h", utc(9990, 1, 1), None),
        ("0 0 1 1 *", utc(9999, 6, 1), None),
    ],
)
def test_next_times(text, after, next):
    assert parse(text).next_after(after) == next


def test_a_moment_of_another_zone():
    after = datetime(2024, 1, 1, 12, 30, tzinfo=TOKYO)
    assert parse("@hourly").next_after(after) == utc(2024, 1, 1, 4)


def test_clocks_set_forward_leave_a_time_out_and_clocks_set_back_repeat_it():
    spring = times("TZ=America/New_York 30 2 * * *", datetime(2024, 3, 9, 12, tzinfo=NEW_YORK), 1)
    assert spring == [datetime(2024, 3, 11, 2, 30, tzinfo=NEW_YORK).astimezone(UTC)]
    autumn = times("TZ=America/New_York 30 1 * * *", datetime(2024, 11, 2, 12, tzinfo=NEW_YORK), 2)
    assert autumn == [utc(2024, 11, 3, 5, 30), utc(2024, 11, 3, 6, 30)]


def test_midnights_that_do_not_exist():
    """In Cairo the clocks go from 24:00 to 01:00 in the last night before a Friday of April."""
    assert times("TZ=Africa/Cairo 0 0 * * *", utc(2024, 4, 25, 12), 1) == [utc(2024, 4, 26, 21)]
    assert times("TZ=Africa/Cairo 0 1 26 4 *", utc(2024, 4, 25, 12), 1) == [utc(2024, 4, 25, 22)]


def field(low: int, high: int) -> st.SearchStrategy[str]:
    number = st.integers(low, high)
    ranges = st.tuples(number, number).map(lambda ends: f"{min(ends)}-{max(ends)}")
    spans = st.one_of(st.just("*"), number.map(str), ranges)
    steps = st.tuples(spans, st.integers(1, 9)).map(lambda pair: f"{pair[0]}/{pair[1]}")
    return st.lists(st.one_of(spans, steps), min_size=1, max_size=2).map(",".join)


def allowed(text: str, low: int, high: int) -> set[int]:
    found: set[int] = set()
    for part in text.split(","):
        span, _, step = part.partition("/")
        first, _, last = span.partition("-")
        if span == "*":
            first, last = str(low), str(high)
        elif not last:
            last = str(high) if step else first
        found |= {value for value in range(int(first), int(last) + 1) if (value - int(first)) % int(step or 1) == 0}
    return found


def is_star(text: str) -> bool:
    return any(part in ("*", "*/1") for part in text.split(","))


def first_match(fields: list[str], after: datetime, zone: ZoneInfo) -> datetime | None:
    """The first minute whose wall clock the fields agree on, by looking at each minute of each day that counts."""
    minutes, hours, days, months, weekdays = fields
    moment = after.replace(second=0, microsecond=0) + timedelta(minutes=1)
    while moment < after + timedelta(days=400):
        local = moment.astimezone(zone)
        of_month, of_week = local.day in allowed(days, 1, 31), local.isoweekday() % 7 in allowed(weekdays, 0, 6)
        both = is_star(days) or is_star(weekdays)
        if local.month not in allowed(months, 1, 12) or not (of_month and of_week if both else of_month or of_week):
            moment += timedelta(minutes=60 - local.minute)
        elif local.hour in allowed(hours, 0, 23) and local.minute in allowed(minutes, 0, 59):
            return moment
        else:
            moment += timedelta(minutes=1)
    return None


@settings(max_examples=60, deadline=None)
@given(
    fields=st.tuples(field(0, 59), field(0, 23), field(1, 31), field(1, 12), field(0, 6)),
    # Anywhere, and around the days on which the clocks of New York and of Lord Howe are set.
    seconds=st.one_of(
        st.integers(0, 2**31),
        st.tuples(
            st.sampled_from([1_710_000_000, 1_730_600_000, 1_712_400_000, 1_728_100_000]), st.integers(-(10**5), 10**5)
        ).map(sum),
    ),
    zone=st.sampled_from(["UTC", "America/New_York", "Asia/Kolkata", "Australia/Lord_Howe"]),
)
def test_next_times_are_those_of_looking_at_every_minute(fields, seconds, zone):
    after = datetime.fromtimestamp(seconds, UTC)
    expected = first_match(list(fields), after, ZoneInfo(zone))
    found = parse(f"TZ={zone} {' '.join(fields)}").next_after(after)
    if expected is None:
        assert found is None or found >= after + timedelta(days=400)
    else:
        assert found == expected


def test_times_follow_each_other():
    found = times("*/7 * * * *", utc(2024, 1, 1), 500)
    assert all(0 < (later - earlier).total_seconds() <= 420 for earlier, later in pairwise(found))
    assert {moment.minute for moment in found} == {0, 7, 14, 21, 28, 35, 42, 49, 56}
