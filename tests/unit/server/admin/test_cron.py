from __future__ import annotations

import pytest

from flytelite.server.admin.cron import Cron, Every, Field, parse


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
