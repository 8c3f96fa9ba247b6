"""Moments that are waited for, whatever becomes of the clock meanwhile."""

from __future__ import annotations

import asyncio
import time

import pytest

from flytelite.engine import alarm

HOURS = 9 * 3600.0


class Clock:
    """A machine's clock, which can be set; to set it forward is what a machine's sleep does."""

    def __init__(self) -> None:
        self.ahead = 0.0

    def __call__(self) -> float:
        return time.time() + self.ahead


async def rung_after(seconds: float, set_by: float) -> bool:
    """Whether an alarm rings within ten seconds when the clock is set after the first look at it."""
    clock, rung = Clock(), asyncio.Event()
    waiting = alarm.Alarm(seconds, rung.set, clock)
    await asyncio.sleep(0)
    clock.ahead = set_by
    try:
        async with asyncio.timeout(10):
            await rung.wait()
    except TimeoutError:
        waiting.cancel()
    return rung.is_set()


def test_a_machine_that_has_slept_finds_that_the_moment_has_passed(monkeypatch):
    monkeypatch.setattr(alarm, "LOOK_SECONDS", 0.01)
    assert asyncio.run(rung_after(HOURS - 1, HOURS))


def test_a_clock_that_was_set_back_makes_nobody_wait_longer():
    assert asyncio.run(rung_after(0.05, -HOURS))


def test_a_moment_that_has_passed_is_not_waited_for():
    asyncio.run(asyncio.wait_for(alarm.sleep(-1), 10))


def test_who_is_cancelled_leaves_no_alarm():
    async def main() -> None:
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(alarm.sleep(HOURS), 0.01)
        rung = asyncio.Event()
        alarm.Alarm(0, rung.set).cancel()
        await asyncio.sleep(0)
        assert not rung.is_set()

    asyncio.run(main())
