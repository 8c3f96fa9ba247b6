"""A machine that has no room for one more thread: real threads, of which each wants more memory than there is."""

from __future__ import annotations

import asyncio
import errno
import fcntl
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from flyteidl.core import literals_pb2

from flytelite.engine import threads, waiting
from flytelite.engine.executors.attempt import unlocked
from flytelite.engine.small_files import SmallFiles
from flytelite.engine.threads import Threads


@contextmanager
def no_room() -> Iterator[None]:
    before = threading.stack_size(2**46)
    try:
        yield
    finally:
        threading.stack_size(before)


@pytest.fixture
def waits(caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch) -> Callable[[], object]:
    """Whether something waits for the machine, which is tried again often."""
    monkeypatch.setattr(waiting, "SPACE_SECONDS", 0.001)
    return lambda: [one for one in caplog.messages if "the machine refuses" in one and threads._NO_ROOM in one]


async def until(condition: Callable[[], object]) -> None:
    async with asyncio.timeout(30):
        while not condition():  # noqa: ASYNC110  a thread that is not started tells nobody
            await asyncio.sleep(0)


def test_python_says_what_this_is_about():
    with no_room(), pytest.raises(RuntimeError, match=threads._NO_ROOM):
        threading.Thread(target=print).start()


def test_the_threads_that_there_are_do_it():
    with Threads(3) as pool:
        go = threading.Event()
        first = pool.submit(go.wait)
        with no_room():
            second = pool.submit(lambda: threading.current_thread().name)
        go.set()
        assert first.result(30)
        assert second.result(30)
        (only,) = [one.name for one in threading.enumerate() if one.name == second.result()]
        assert only


def test_what_is_refused_is_not_done_later():
    done = []
    with Threads(1) as pool:
        with no_room(), pytest.raises(OSError, match="can't start") as caught:
            pool.submit(done.append, 1)
        assert waiting.is_refusal(caught.value)
        assert caught.value.errno == errno.EAGAIN
        pool.submit(done.append, 2).result(30)
    assert done == [2]


def test_errors_of_the_call_are_the_callers():
    with Threads(1) as pool, pytest.raises(ZeroDivisionError):
        pool.submit(lambda: 1 // 0).result(30)


def test_a_cancelled_call_is_not_made():
    done = []
    with Threads(1) as pool:
        go = threading.Event()
        pool.submit(go.wait)
        assert pool.submit(done.append, 1).cancel()
        go.set()
    assert done == []


def test_files_are_written_once_there_is_a_thread(tmp_path: Path, waits: Callable[[], object]):
    async def main() -> None:
        files = SmallFiles()
        with no_room():
            writing = asyncio.ensure_future(files.write(tmp_path / "inputs.pb", literals_pb2.LiteralMap()))
            await until(waits)
        await asyncio.wait_for(writing, 30)
        files.close()

    asyncio.run(main())
    assert (tmp_path / "inputs.pb").exists()


def test_an_attempt_is_waited_for_once_there_is_a_thread(tmp_path: Path, waits: Callable[[], object]):
    async def main() -> None:
        with (tmp_path / "lock").open("ab") as held:
            fcntl.flock(held, fcntl.LOCK_EX)
            with no_room():
                free = asyncio.ensure_future(unlocked(tmp_path / "lock"))
                await until(waits)
            await until(lambda: any("waits for" in one.name for one in threading.enumerate()))
            assert not free.done()
        await asyncio.wait_for(free, 30)

    asyncio.run(main())
