from __future__ import annotations

import asyncio
import threading
import time
from time import monotonic

from flytelite.server.pace import STEP_SECONDS, Pace

STEPS = 200


def work(seconds: float) -> None:
    until = monotonic() + seconds
    while monotonic() < until:
        pass


def test_a_pause_is_as_long_as_the_work_before_it() -> None:
    async def scenario() -> float:
        pace = Pace()
        work(10 * STEP_SECONDS)
        began = monotonic()
        await pace.pause()
        return monotonic() - began

    assert asyncio.run(scenario()) > 9 * STEP_SECONDS
    pace = Pace()
    work(10 * STEP_SECONDS)
    began = monotonic()
    pace.rest()
    assert monotonic() - began > 9 * STEP_SECONDS


def test_threads_get_on_while_the_event_loop_works_in_short_steps() -> None:
    done = threading.Event()
    turns: list[float] = []

    def other() -> None:
        while not done.is_set():
            time.sleep(STEP_SECONDS / 10)
            turns.append(monotonic())

    async def scenario() -> None:
        pace = Pace()
        for _ in range(STEPS):
            work(STEP_SECONDS / 4)
            await pace.pause()

    thread = threading.Thread(target=other)
    thread.start()
    asyncio.run(scenario())
    done.set()
    thread.join()
    assert len(turns) > STEPS / 10


def test_work_that_is_hurried_gives_others_their_turn_only() -> None:
    turns: list[bool] = []

    async def scenario() -> None:
        pace = Pace(hurried=lambda: True)
        asyncio.get_running_loop().call_soon(turns.append, True)
        work(2 * STEP_SECONDS)
        await pace.pause()

    asyncio.run(scenario())
    assert turns
