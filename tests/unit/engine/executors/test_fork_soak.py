"""Many attempts in a row leave nothing behind."""

from __future__ import annotations

import asyncio
import os
import shutil
import sys
from pathlib import Path

import pytest

pytestmark = [
    pytest.mark.skipif(sys.platform != "linux", reason="fork servers are used on Linux only"),
    pytest.mark.soak,
    pytest.mark.timeout(3600),
]

ATTEMPTS = int(os.environ.get("SOAK_ATTEMPTS", "10000"))
AT_ONCE = 8


def open_files(pid: int | str) -> int:
    return len(os.listdir(f"/proc/{pid}/fd"))


def memory(pid: int | str) -> int:
    """Proportional set size in KiB."""
    lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("Pss:"))


def children(pid: int) -> list[int]:
    return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def test_nothing_grows(forks, workshop, until):
    async def batch(count: int) -> None:
        async def one() -> None:
            async with places:
                bench = workshop.bench("lucky")
                attempt = await forks.executor.start(bench.directory, "t", bench.command)
                assert (await attempt.wait()).exit_code == 0
                await asyncio.to_thread(shutil.rmtree, bench.directory)

        places = asyncio.Semaphore(AT_ONCE)
        await asyncio.gather(*(one() for _ in range(count)))

    def state() -> tuple[int, int, int]:
        forks.runner.run(until(lambda: len(children(server)) == 1))
        return open_files("self"), open_files(server), len(asyncio.all_tasks(forks.runner.get_loop()))

    forks.runner.run(batch(100))
    server = forks.server_pid()
    before, size, own = state(), memory(server), memory("self")
    forks.runner.run(batch(ATTEMPTS))
    assert forks.server_pid() == server
    assert state() == before
    assert memory(server) <= size * 1.05
    assert memory("self") <= own * 1.05
