"""Attempts whose output is masked, as processes."""

from __future__ import annotations

import asyncio
import os
import signal

import pytest

from flytelite.engine.executors.interface import Command
from flytelite.engine.executors.masking import LOCK, MaskingExecutor
from flytelite.engine.executors.subprocess import SubprocessExecutor


@pytest.fixture
def start(tmp_path):
    """Starts a shell script whose output is masked."""

    async def call(script: str):
        command = Command(
            ("/bin/sh", "-c", script),
            {"PATH": os.defpath},
            tmp_path,
            tmp_path / "task.log",
            secret_env={"TOKEN": "hunter2"},
            masked=("hunter2",),
        )
        return await MaskingExecutor(SubprocessExecutor()).start(tmp_path, "token", command)

    return call


def run(coroutine):
    return asyncio.run(asyncio.wait_for(coroutine, 60))


def test_both_streams_of_all_processes(start, tmp_path):
    async def main():
        outcome = await (await start('echo "1 $TOKEN"; (echo "2 $TOKEN" >&2); printf "3 hun"; printf ter2')).wait()
        assert outcome.exit_code == 0

    run(main())
    assert (tmp_path / "task.log").read_text() == "1 ***\n2 ***\n3 ***"
    assert "TOKEN" not in repr(Command((), {}, tmp_path, tmp_path, secret_env={"TOKEN": "x"}, masked=("x",)))


def test_it_is_over_although_somebody_holds_the_output(start, tmp_path):
    async def main():
        await (await start('setsid sleep 300 & echo $! > pid; echo "$TOKEN is here"')).wait()

    run(main())
    os.kill(int((tmp_path / "pid").read_text()), signal.SIGKILL)
    assert (tmp_path / "task.log").read_text() == "*** is here\n"


def test_whoever_adopts_it_waits_for_the_log(start, tmp_path):
    async def first():
        await start('sleep 1; echo "$TOKEN at last"')

    async def second():
        attempt = await MaskingExecutor(SubprocessExecutor()).adopt(tmp_path, "token")
        assert (await attempt.wait()).exit_code == 0

    run(first())
    assert (tmp_path / LOCK).read_text().isdigit()
    run(second())
    assert (tmp_path / "task.log").read_text() == "*** at last\n"
