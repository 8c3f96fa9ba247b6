"""Many attempts in a row leave nothing behind."""

from __future__ import annotations

import asyncio
import os
import shutil
import sys
import time
from pathlib import Path

import pytest

pytestmark = [
    pytest.mark.skipif(sys.platform != "linux", reason="fork servers are used on Linux only"),
    pytest.mark.soak,
    pytest.mark.timeout(600),
]

ATTEMPTS = int(os.environ.get("SOAK_ATTEMPTS", "10000"))
SECONDS = float(os.environ.get("SOAK_SECONDS", "90"))
"""On a slow machine fewer attempts have to do."""
WARM_UP = 100
LEAST = 50
AT_ONCE = 8


def open_files(pid: int | str) -> int:
    return len(os.listdir(f"/proc/{pid}/fd"))


def memory(pid: int | str) -> int:
    """KiB of memory that is the process's own, whether it shares it with its forks or not."""
    lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("Anonymous:"))


def children(pid: int) -> list[int]:
    return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def test_nothing_grows(forks, workshop, until):
    async def batch(count: int, seconds: float) -> int:
        deadline = time.monotonic() + seconds
        done = 0

        async def lane() -> None:
            nonlocal done
            while done < count and time.monotonic() < deadline:
                done += 1
                bench = workshop.bench("lucky")
                attempt = await forks.executor.start(bench.directory, "t", bench.command)
                assert (await attempt.wait()).exit_code == 0
                await asyncio.to_thread(shutil.rmtree, bench.directory)

        await asyncio.gather(*(lane() for _ in range(AT_ONCE)))
        return done

    def state() -> tuple[int, int, int]:
        # The waiter of the next attempt, and the task process that it has forked ahead.
        forks.runner.run(until(lambda: len(children(server)) == 1 and len(children(children(server)[0])) == 1))
        return open_files("self"), open_files(server), len(asyncio.all_tasks(forks.runner.get_loop()))

    forks.runner.run(batch(WARM_UP, 300))
    server = forks.server_pid()
    before, size, own = state(), memory(server), memory("self")
    assert forks.runner.run(batch(ATTEMPTS, SECONDS)) >= LEAST
    assert forks.server_pid() == server
    assert state() == before
    assert memory(server) <= size * 1.05
    assert memory("self") <= own * 1.05
