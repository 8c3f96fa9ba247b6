"""How forked attempts end when they are cancelled, or when one of the processes around them dies."""

from __future__ import annotations

import asyncio
import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from flytelite.engine.executors import shim
from flytelite.engine.executors.attempt import read_record
from flytelite.engine.executors.fork_executor import LESSON, ForkServerExecutor
from flytelite.engine.executors.fork_libraries import Libraries
from flytelite.engine.executors.subprocess import SubprocessExecutor

from .processes import alive, below, is_forked

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="fork servers are used on Linux only")


def test_cancel_is_heard_and_enforced(forks, workshop, until):
    async def main():
        polite, deaf = workshop.bench("hold", "never"), workshop.bench("ignore")
        executor = ForkServerExecutor(workshop.host, SubprocessExecutor(grace=0.2))
        executor._servers = forks.executor._servers
        attempts = [await executor.start(one.directory, "t", one.command) for one in (polite, deaf)]
        await until(lambda: all((one.work / "running").exists() for one in (polite, deaf)))
        for attempt in attempts:
            attempt.cancel()
        return [(await attempt.wait()).signal for attempt in attempts]

    assert forks.runner.run(main()) == [signal.SIGTERM, signal.SIGKILL]


@pytest.mark.parametrize("how", ["fork", "subprocess"])
def test_shared_memory_of_a_task_that_has_to_be_killed_ends_with_it(forks, workshop, until, how):
    async def main():
        bench = workshop.bench("share", "ignore")
        plain = SubprocessExecutor(grace=0.2)
        executor = ForkServerExecutor(workshop.host, plain)
        executor._servers = forks.executor._servers
        start = (executor if how == "fork" else plain).start
        attempt = await start(bench.directory, "t", bench.command)
        await until((bench.work / "running").exists)
        memory = Path("/dev/shm", re.search(r"shared (\w+)", bench.log)[1])
        assert memory.exists()
        attempt.cancel()
        assert (await attempt.wait()).signal == signal.SIGKILL
        await until(lambda: not memory.exists())

    forks.runner.run(main())


def test_cancel_before_the_task_runs(forks, workshop):
    async def main():
        bench = workshop.bench("hold", "never")
        attempt = await forks.executor.start(bench.directory, "t", bench.command)
        attempt.cancel()
        return await attempt.wait()

    assert forks.runner.run(main()).signal == signal.SIGTERM


def test_a_killed_waiter_is_a_lost_attempt_and_its_task_ends(forks, workshop, until):
    async def main():
        bench = workshop.bench("hold", "never")
        attempt = await forks.executor.start(bench.directory, "t", bench.command)
        await until((bench.work / "running").exists)
        record = read_record(bench.directory / shim.PROCESS)
        os.kill(int(record["pid"]), signal.SIGKILL)
        assert (await attempt.wait()).lost
        await until(lambda: not alive(int(record["task_pid"])))

    forks.runner.run(main())


@pytest.mark.parametrize("left", [True, False])
def test_an_end_that_cannot_be_written_costs_no_other_attempt(forks, workshop, until, left):
    """As on a full disk: then the record of the process becomes the exit record."""

    async def main():
        go = workshop.root / "go"
        full, other = workshop.bench("hold", str(go)), workshop.bench("hold", str(workshop.root / "later"))
        attempts = [await forks.executor.start(one.directory, "t", one.command) for one in (full, other)]
        await until(lambda: all((one.work / "running").exists() for one in (full, other)))
        pids = {read_record(one.directory / shim.PROCESS)["pid"] for one in (full, other)}
        assert len(pids) == 1
        (full.directory / f".{shim.EXIT}").mkdir()
        if not left:
            (full.directory / shim.PROCESS).unlink()
        go.touch()
        first = await attempts[0].wait()
        (workshop.root / "later").touch()
        second = await attempts[1].wait()
        return first.lost, first.exit_code, second.lost, second.exit_code

    lost, code, *other = forks.runner.run(main())
    assert other == [False, 0]
    assert (lost, code) == (False, 0) if left else lost


def test_an_attempt_whose_imports_cannot_be_written_down_is_no_worse_for_it(forks, workshop):
    executor = forks.executor
    executor._libraries = Libraries(executor._retire)  # which wants to hear of them from the first attempt
    bench = workshop.bench("describe")
    (bench.directory / LESSON).mkdir()

    async def main():
        attempt = await executor.start(bench.directory, "t", bench.command)
        return await attempt.wait()

    outcome = forks.runner.run(main())
    assert (outcome.exit_code, outcome.lost) == (0, False)
    assert (bench.directory / LESSON).is_dir()
    assert "Traceback" not in bench.log


def test_the_death_of_the_fork_server_harms_no_attempt_and_stops_no_new_one(forks, workshop, until):
    async def main(server):
        go = workshop.root / "go"
        benches = [workshop.bench("hold", str(go)) for _ in range(3)]
        attempts = [await forks.executor.start(one.directory, "t", one.command) for one in benches]
        await until(lambda: all((one.work / "running").exists() for one in benches))
        os.kill(server, signal.SIGKILL)
        after = workshop.bench("hold", str(go))
        attempts.append(await forks.executor.start(after.directory, "t", after.command))
        await until((after.work / "running").exists)
        assert is_forked(after)
        go.touch()
        return [(await attempt.wait()).exit_code for attempt in attempts]

    forks.run(workshop.bench("lucky"))
    server = forks.server_pid()
    assert forks.runner.run(main(server)) == [0, 0, 0, 0]
    assert forks.server_pid() != server


ENGINE = """
import asyncio, os, sys
from pathlib import Path
from flytelite.engine.executors.fork_executor import LESSON, ForkServerExecutor
from flytelite.engine.executors.fork_libraries import Libraries
from flytelite.engine.executors.interface import Command
async def main():
    directory, argv, env = Path(sys.argv[1]), sys.argv[2:], dict(os.environ)
    executor = ForkServerExecutor({name: value for name, value in env.items() if name not in ("TMPDIR", "PYTHONPATH")})
    command = Command(tuple(argv), env, directory / "work", directory / "task.log")
    await executor.start(directory, "t", command)
    (server,) = executor._servers.values()
    while not (directory / "work/running").exists():
        await asyncio.sleep(0.01)
    print((await server._process).pid, flush=True)
    os._exit(9)
asyncio.run(main())
"""


def test_an_attempt_outlives_its_engine_and_is_adopted_and_the_fork_server_does_not(forks, workshop, until):
    bench = workshop.bench("hold", "go")
    engine = subprocess.run(
        [sys.executable, "-c", ENGINE, str(bench.directory), *bench.command.argv],
        env=dict(bench.command.env), cwd=Path(__file__).parents[4], capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert engine.returncode == 9, engine.stderr

    async def main():
        await until(lambda: not alive(int(engine.stdout)))
        attempt = await SubprocessExecutor().adopt(bench.directory, "t")
        assert is_forked(bench)
        (bench.work / "go").touch()
        return await attempt.wait()

    outcome = forks.runner.run(main())
    assert (outcome.exit_code, outcome.lost) == (0, False)
    assert bench.result == "held"


def test_closing_ends_the_fork_server_and_no_attempt(workshop, until):
    async def main():
        executor = ForkServerExecutor(workshop.host)
        executor.warm()
        (server,) = executor._servers.values()
        bench = workshop.bench("hold", "go")
        attempt = await executor.start(bench.directory, "t", bench.command)
        await until((bench.work / "running").exists)
        await executor.close()
        assert not alive((await server._process).pid)
        (bench.work / "go").touch()
        return await attempt.wait()

    assert asyncio.run(main()).exit_code == 0


def test_a_killed_spare_is_replaced_and_none_is_left(workshop, until):
    def spares(server):
        return [pid for waiter in below(server) for pid in (waiter, *below(waiter))]

    async def main():
        executor = ForkServerExecutor(workshop.host)
        executor.warm()
        (server,) = executor._servers.values()
        await server._ready
        pid = (await server._process).pid
        await until(lambda: len(spares(pid)) == 2)
        for spare in spares(pid):
            os.kill(spare, signal.SIGKILL)
        await until(lambda: not spares(pid))
        bench = workshop.bench("lucky")
        attempt = await executor.start(bench.directory, "t", bench.command)
        assert (await attempt.wait()).exit_code == 0
        await until(lambda: len(spares(pid)) == 2)
        left = spares(pid)
        await executor.close()
        await until(lambda: not any(map(alive, left)))

    asyncio.run(main())


def test_closing_while_flytekit_is_imported(workshop):
    async def main():
        executor = ForkServerExecutor(workshop.host)
        executor.warm()
        (server,) = executor._servers.values()
        await executor.close()
        return (await server._process).pid

    assert not alive(asyncio.run(main()))
