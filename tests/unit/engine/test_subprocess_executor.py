from __future__ import annotations

import asyncio
import os
import signal
import sys
import time
from pathlib import Path

import pytest

from flytelite.engine.executors import shim
from flytelite.engine.executors.attempt import read_record
from flytelite.engine.executors.interface import Command
from flytelite.engine.executors.subprocess import SubprocessExecutor

ENV = {"PATH": os.environ["PATH"]}


def command(directory: Path, *argv: str) -> Command:
    return Command(argv=argv, env=ENV, cwd=directory, log=directory / "task.log")


def python(directory: Path, code: str) -> Command:
    return command(directory, sys.executable, "-I", "-S", "-c", code)


async def until(path: Path) -> None:
    """Wait for a file that another process writes."""
    await holds(path.exists)


async def holds(condition) -> None:
    while not condition():  # noqa: ASYNC110  the other side is a process
        await asyncio.sleep(0.01)


def run(coroutine):
    return asyncio.run(coroutine)


def test_outcome_and_log(tmp_path):
    async def main():
        executor = SubprocessExecutor()
        before = time.time()
        attempt = await executor.start(tmp_path, "t1", python(tmp_path, "import sys; print('hi'); sys.exit(3)"))
        outcome = await attempt.wait()
        assert (outcome.exit_code, outcome.signal, outcome.lost) == (3, 0, False)
        assert before - 1 <= outcome.started_at <= outcome.ended_at
        assert outcome.peak_memory > 1_000_000
        assert outcome.cpu_time > 0
        assert (tmp_path / "task.log").read_text() == "hi\n"
        assert await attempt.wait() is outcome

    run(main())


def test_a_program_that_does_not_exist(tmp_path):
    async def main():
        attempt = await SubprocessExecutor().start(tmp_path, "t1", command(tmp_path, "no-such-program"))
        assert (await attempt.wait()).exit_code == shim.CANNOT_EXECUTE
        assert "cannot execute no-such-program" in (tmp_path / "task.log").read_text()

    run(main())


def test_cancel_gives_the_task_time_to_clean_up(tmp_path):
    code = (
        "import signal, sys, time, pathlib\n"
        "def end(*_): print('cleaning'); sys.exit(7)\n"
        "signal.signal(signal.SIGTERM, end)\n"
        "pathlib.Path('ready').touch()\n"
        "time.sleep(60)\n"
    )

    async def main():
        attempt = await SubprocessExecutor(grace=30).start(tmp_path, "t1", python(tmp_path, code))
        await until(tmp_path / "ready")
        attempt.cancel()
        outcome = await attempt.wait()
        assert outcome.exit_code == 7
        assert (tmp_path / "task.log").read_text() == "cleaning\n"

    run(main())


def test_cancel_kills_what_does_not_listen_and_its_children(tmp_path):
    code = (
        "import os, pathlib, signal, time\n"
        "signal.signal(signal.SIGTERM, signal.SIG_IGN)\n"
        "child = os.fork()\n"
        "if child: pathlib.Path('child.tmp').write_text(str(child)); os.rename('child.tmp', 'child')\n"
        "time.sleep(60)\n"
    )

    async def main():
        attempt = await SubprocessExecutor(grace=0.1).start(tmp_path, "t1", python(tmp_path, code))
        await until(tmp_path / "child")
        attempt.cancel()
        outcome = await attempt.wait()
        assert (outcome.exit_code, outcome.signal) == (137, signal.SIGKILL)
        child = int((tmp_path / "child").read_text())
        await holds(lambda: not alive(child))

    run(main())


def test_cancel_before_the_shim_is_up(tmp_path):
    async def main():
        attempt = await SubprocessExecutor(grace=5).start(
            tmp_path, "t1", python(tmp_path, "import time; time.sleep(60)")
        )
        attempt.cancel()
        outcome = await attempt.wait()
        # The signal may come before the shim listens: then it dies and nothing was ever run.
        assert outcome.lost or outcome.signal == signal.SIGTERM

    run(main())


def test_an_end_that_cannot_be_written_takes_the_place_of_the_processs_record(tmp_path):
    """As on a full disk, which refuses what is new."""
    code = "import pathlib, time\nwhile not pathlib.Path('go').exists(): time.sleep(0.01)\nraise SystemExit(3)"

    async def main():
        attempt = await SubprocessExecutor().start(tmp_path, "t1", python(tmp_path, code))
        await holds(lambda: "task_pid" in read_record(tmp_path / shim.PROCESS))
        (tmp_path / f".{shim.EXIT}").mkdir()
        (tmp_path / "go").touch()
        outcome = await attempt.wait()
        assert (outcome.exit_code, outcome.lost) == (3, False)
        assert (tmp_path / "task.log").read_text() == ""

    run(main())


def test_another_engine_adopts_a_running_attempt(tmp_path):
    code = "import pathlib, time\nwhile not pathlib.Path('go').exists(): time.sleep(0.01)\n"

    async def first():
        await SubprocessExecutor().start(tmp_path, "t1", python(tmp_path, code))
        await until(tmp_path / shim.PROCESS)

    async def second():
        attempt = await SubprocessExecutor().adopt(tmp_path, "t1")
        (tmp_path / "go").touch()
        outcome = await attempt.wait()
        assert (outcome.exit_code, outcome.lost) == (0, False)

    run(first())
    run(second())


def test_an_adopted_attempt_can_be_cancelled(tmp_path):
    async def first():
        await SubprocessExecutor(grace=5).start(tmp_path, "t1", python(tmp_path, "import time; time.sleep(60)"))

    async def second():
        attempt = await SubprocessExecutor().adopt(tmp_path, "t1")
        attempt.cancel()
        assert (await attempt.wait()).signal == signal.SIGTERM

    run(first())
    run(second())


def test_adopting_settles_from_the_exit_record(tmp_path):
    async def main():
        attempt = await SubprocessExecutor().start(tmp_path, "t1", python(tmp_path, "raise SystemExit(4)"))
        await attempt.wait()
        again = await SubprocessExecutor().adopt(tmp_path, "t1")
        assert (await again.wait()).exit_code == 4
        other = await SubprocessExecutor().adopt(tmp_path, "another token")
        assert (await other.wait()).lost
        never = await SubprocessExecutor().adopt(tmp_path / "never", "t1")
        assert (await never.wait()).lost

    run(main())


def test_after_a_reboot_nobody_is_taken_for_the_attempt(tmp_path):
    """The process has the number and the start time that were written down, but those were another boot's."""

    async def main():
        own = [("token", "t1"), ("pid", os.getpid()), ("start_time", shim.start_time(os.getpid()))]
        task = [("task_pid", os.getpid()), ("task_start_time", shim.start_time(os.getpid()))]
        lines = [*own, ("boot_id", "another"), *task]
        (tmp_path / shim.PROCESS).write_text("".join(f"{name} {value}\n" for name, value in lines))
        attempt = await SubprocessExecutor().adopt(tmp_path, "t1")
        attempt.cancel()
        assert (await attempt.wait()).lost

    run(main())


@pytest.mark.skipif(not Path("/proc").exists(), reason="needs /proc to find the orphan")
def test_a_killed_shim_is_a_lost_attempt_and_its_task_ends(tmp_path):
    async def main():
        attempt = await SubprocessExecutor().start(tmp_path, "t1", python(tmp_path, "import time; time.sleep(60)"))
        await holds(lambda: "task_pid" in read_record(tmp_path / shim.PROCESS))
        record = read_record(tmp_path / shim.PROCESS)
        os.kill(int(record["pid"]), signal.SIGKILL)
        assert (await attempt.wait()).lost
        task = int(record["task_pid"])
        await holds(lambda: not alive(task))

    run(main())


def alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False
