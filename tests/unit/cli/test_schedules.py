from __future__ import annotations

import pytest

from flytelite.cli import application
from flytelite.cli.schedules import schedule_text


@pytest.mark.parametrize(
    ("schedule", "text"),
    [
        ({"cron_schedule": {"schedule": "0 9 * * *"}}, "0 9 * * *"),
        ({"rate": {"value": 1}}, "every minute"),
        ({"rate": {"value": 12, "unit": "HOUR"}}, "every 12 hours"),
        ({"rate": {"value": 1, "unit": "DAY"}}, "every day"),
    ],
)
def test_schedules_in_a_few_words(schedule: dict, text: str) -> None:
    assert schedule_text(schedule) == text


def test_a_missing_server_is_named(capsys: pytest.CaptureFixture[str]) -> None:
    assert application.run(["ls", "schedules", "--endpoint", "localhost:1"]) == 1
    assert "localhost:1 (from --endpoint)" in capsys.readouterr().err
