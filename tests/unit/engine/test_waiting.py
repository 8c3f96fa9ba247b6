from __future__ import annotations

import asyncio
import errno
import os
import shutil
import subprocess
import time
from pathlib import Path

import pytest
from flyteidl.core import execution_pb2

from flytelite.engine import attempts, waiting


def test_a_step_is_done_again_while_the_disk_refuses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(waiting, "SPACE_SECONDS", 0)
    errors = [errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EIO, errno.ENOSPC]

    async def step() -> str:
        if errors:
            number = errors.pop()
            raise OSError(number, os.strerror(number))
        return "written"

    assert asyncio.run(waiting.until_there_is_space(step)) == "written"
    assert not errors


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
def test_the_copy_of_a_directory_waits_for_the_disk_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(waiting, "SPACE_SECONDS", 0)
    source, target = tmp_path / "source", tmp_path / "target"
    for directory in (source / "sub", target / "sub"):
        directory.mkdir(parents=True)
    (source / "sub" / "file").write_text("content")
    (target / "sub" / "file").symlink_to("/dev/full")
    refusals: list[shutil.Error] = []

    async def step() -> None:
        try:
            shutil.copytree(source, target, dirs_exist_ok=True, copy_function=shutil.copyfile)
        except shutil.Error as error:
            refusals.append(error)
            (target / "sub" / "file").unlink()
            raise

    asyncio.run(waiting.until_there_is_space(step))
    assert len(refusals) == 1
    assert not waiting.is_refusal(shutil.SameFileError("a and b are the same file"))
    assert (target / "sub" / "file").read_text() == "content"


def test_the_copy_of_what_cannot_be_copied_does_not_wait(tmp_path: Path) -> None:
    (tmp_path / "source").mkdir()
    (tmp_path / "source" / "loop").symlink_to("loop")

    async def step() -> None:
        shutil.copytree(tmp_path / "source", tmp_path / "target")

    with pytest.raises(shutil.Error):
        asyncio.run(waiting.until_there_is_space(step))


def test_another_error_is_the_callers() -> None:
    async def step() -> None:
        raise PermissionError(errno.EACCES, "no")

    with pytest.raises(PermissionError):
        asyncio.run(waiting.until_there_is_space(step))


ONE = """
from flytekit import task, workflow

@task
def one() -> int:
    return 1

@workflow
def wf() -> int:
    return one()
"""


class Refusing:
    """A system that has no room for so many processes, one after the other."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, times: float) -> None:
        self.times = times
        self.asked = 0
        self._popen = subprocess.Popen
        monkeypatch.setattr(subprocess, "Popen", self.popen)
        monkeypatch.setattr(waiting, "SPACE_SECONDS", 0.001)

    def popen(self, *arguments, **options):
        self.asked += 1
        if self.asked <= self.times:
            raise BlockingIOError(errno.EAGAIN, os.strerror(errno.EAGAIN))
        return self._popen(*arguments, **options)


def test_an_attempt_waits_for_a_process(bench, monkeypatch: pytest.MonkeyPatch) -> None:
    system = Refusing(monkeypatch, 20)
    assert bench.run(ONE).phase == execution_pb2.WorkflowExecution.SUCCEEDED
    assert system.asked > 20
    assert not [line for line in bench.ledger.lines() if "TE1" in line]


def test_an_attempt_does_not_wait_for_ever_for_a_process(bench, monkeypatch: pytest.MonkeyPatch) -> None:
    Refusing(monkeypatch, float("inf"))
    found = bench.run(ONE)
    assert found.phase == execution_pb2.WorkflowExecution.FAILED
    assert "Resource temporarily unavailable" in found.error.message


def test_an_attempt_that_waits_for_a_process_is_aborted(bench, monkeypatch: pytest.MonkeyPatch) -> None:
    system = Refusing(monkeypatch, float("inf"))
    monkeypatch.setattr(attempts, "STARTS", 10**9)
    id = bench.id = bench.ledger.create("exec", bench.build(ONE), bench.literals())

    async def main():
        propeller = bench.engine()
        await propeller.start()
        while system.asked < 20:  # noqa: ASYNC110  nobody tells
            await asyncio.sleep(0.01)
        bench.ledger.terminate(id, "enough")
        propeller.abort(id, "enough")
        found = await asyncio.wait_for(bench.ledger.ended(id), 60)
        await propeller.stop()
        return found

    assert asyncio.run(main()).phase == execution_pb2.WorkflowExecution.ABORTED


IDLE = """
import time
from pathlib import Path
from flytekit import LaunchPlan, map_task, task, wait_for_input, workflow
from datetime import timedelta
import functools

@task
def hold(n: int, place: str) -> int:
    Path(place, f"begun{n}").touch()
    while not Path(place, "go").exists():
        time.sleep(0.01)
    return n

@workflow
def child(place: str) -> int:
    return hold(n=1, place=place)

plan = LaunchPlan.get_or_create(child, "plan")

@workflow
def wf(place: str) -> tuple[int, int, list[int], int]:
    number = wait_for_input("number", timeout=timedelta(hours=1), expected_type=int)
    mapped = map_task(functools.partial(hold, place=place))(n=[3, 4])
    return hold(n=2, place=place), plan(place=place), mapped, number
"""


def test_nothing_polls_while_an_execution_waits(bench):
    """It waits for a person, a child, a process and elements of a map: no timer is set, so each of them is heard of."""
    closure = bench.build(IDLE)
    for node in closure.primary.template.nodes:
        node.metadata.ClearField("timeout")
    id = bench.id = bench.ledger.create("exec", closure, bench.literals(place=str(bench.directory)))

    def all_wait():
        begun = [(bench.directory / f"begun{n}").exists() for n in (1, 2, 3, 4)]
        return all(begun) and bench.ledger.signals

    async def main():
        propeller = bench.engine()
        await propeller.start()
        await asyncio.to_thread(until, all_wait)
        await asyncio.to_thread(until, lambda: not timers(loop))
        (bench.directory / "go").touch()
        (signal,) = bench.ledger.signals.values()
        signal.value.CopyFrom(bench.literals(x=5).literals["x"])
        propeller.signal_set(signal.id)
        found = await asyncio.wait_for(bench.ledger.ended(id), 60)
        await propeller.stop()
        return found

    def timers(loop):
        soon = loop.time() + 5  # an idle process of the fork server has a timer of minutes
        return [handle for handle in loop._scheduled if not handle.cancelled() and handle.when() < soon]

    def until(condition):
        deadline = time.monotonic() + 60
        while not condition():
            assert time.monotonic() < deadline
            time.sleep(0.01)

    with asyncio.Runner() as runner:
        loop = runner.get_loop()
        assert runner.run(main()).phase == execution_pb2.WorkflowExecution.SUCCEEDED
