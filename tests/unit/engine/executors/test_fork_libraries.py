"""Fork servers that have imported what tasks import."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from pathlib import Path

import pytest

from flytelite.engine.executors import fork_branches
from flytelite.engine.executors.fork_client import Refused, branched, spawned
from flytelite.engine.executors.fork_commands import interpreter_of
from flytelite.engine.executors.fork_libraries import Libraries

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="fork servers are used on Linux only")


@pytest.fixture
def run(forks):
    """``run(test)``: call ``test(executor)`` with an executor that has learned nothing yet."""
    executor = forks.executor
    executor._libraries = Libraries(executor._retire)
    yield lambda test: forks.runner.run(test(executor))

    async def close():
        executor._libraries.close()

    forks.runner.run(close())


async def result(executor, bench) -> list[str]:
    attempt = await executor.start(bench.directory, "t", bench.command)
    assert (await attempt.wait()).exit_code == 0, bench.log
    return bench.result.split()


def entries(executor):
    return list(executor._libraries._branches._branches.values())


async def ended(server) -> None:
    """Return when the server's control is closed at its other end."""
    await asyncio.get_running_loop().sock_recv(server._control, 1)


def test_the_second_attempt_finds_the_libraries_of_the_first(run, workshop):
    async def test(executor):
        first = await result(executor, workshop.bench("frame", module="frames"))
        (entry,) = entries(executor)
        await entry.server.until_ready()
        later = [await result(executor, workshop.bench("frame", module="frames")) for _ in range(2)]
        return [first, *later]

    found = run(test)
    assert [words[:3] for words in found] == [["False", "300", "3"], ["True", "300", "3"], ["True", "300", "3"]]
    assert len({words[3] for words in found}) == 3


def test_new_code_of_the_same_module_finds_them_too_and_runs_as_it_is(run, workshop):
    edited = Path(__file__).parent / "samples/frames.py"
    files = {"frames.py": edited.read_text().replace("{total}", "edited")}

    async def test(executor):
        await result(executor, workshop.bench("frame", module="frames"))
        await entries(executor)[0].server.until_ready()
        return await result(executor, workshop.bench("frame", module="frames", files=files))

    assert run(test)[:3] == ["True", "300", "edited"]


def test_another_environment_has_its_own(run, workshop):
    async def test(executor):
        await result(executor, workshop.bench("frame", module="frames"))
        await entries(executor)[0].server.until_ready()
        other = await result(executor, workshop.bench("frame", module="frames", env={"HF_HOME": "/elsewhere"}))
        return other[0], len(entries(executor))

    assert run(test) == ("False", 2)


def test_few_imports_are_not_worth_a_process(run, workshop):
    async def test(executor):
        await result(executor, workshop.bench("lucky"))
        return entries(executor)

    assert run(test) == []


def test_the_death_of_a_server_with_libraries_stops_nothing(run, workshop):
    async def test(executor):
        await result(executor, workshop.bench("frame", module="frames"))
        (entry,) = entries(executor)
        await entry.server.until_ready()
        (root,) = executor._servers.values()
        root_pid = (await root._process).pid
        for child in Path(f"/proc/{root_pid}/task/{root_pid}/children").read_text().split():
            os.kill(int(child), signal.SIGKILL)
        await ended(entry.server)
        after = await result(executor, workshop.bench("frame", module="frames"))
        return after[:3]

    assert run(test) == ["False", "300", "3"]


def test_idle_servers_end(run, workshop, monkeypatch):
    async def test(executor):
        await result(executor, workshop.bench("frame", module="frames"))
        (entry,) = entries(executor)
        await entry.server.until_ready()
        monkeypatch.setattr(executor._libraries._branches, "idle_seconds", 0.01)
        assert (await result(executor, workshop.bench("frame", module="frames")))[0] == "True"
        async with asyncio.timeout(30):
            while entries(executor) or executor._ending:  # noqa: ASYNC110
                await asyncio.sleep(0.01)
        assert entry.server._control.fileno() == -1

    run(test)


def test_only_the_latest_are_kept(run, workshop, monkeypatch):
    monkeypatch.setattr(fork_branches, "MOST", 1)

    async def test(executor):
        await result(executor, workshop.bench("frame", module="frames"))
        (first,) = entries(executor)
        await result(executor, workshop.bench("frame", module="frames", env={"HF_HOME": "/elsewhere"}))
        (second,) = entries(executor)
        return first.server is second.server

    assert run(test) is False


@pytest.mark.parametrize(
    ("name", "source", "reason"),
    [
        (
            "threaded",
            "import threading\nthreading.Thread(target=threading.Event().wait, daemon=True).start()",
            "thread",
        ),
        ("connected", "import socket\nPAIR = socket.socketpair()", "2 files or connections open"),
        ("torch", "", "torch would not survive a fork"),
        ("broken", "1 / 0", "ZeroDivisionError"),
        ("leaving", "raise SystemExit(1)", "SystemExit"),
    ],
)
def test_imports_that_no_fork_survives_are_refused(workshop, tmp_path, name, source, reason):
    place = tmp_path / "site"
    place.mkdir()
    (place / f"{name}.py").write_text(source)
    interpreter = interpreter_of(Path(workshop.bench("lucky").command.argv[0]))

    async def main():
        root = spawned(interpreter, {**workshop.host, "PYTHONPATH": str(place)})
        branch = branched(root, [name], workshop.host)
        try:
            await branch.until_ready()
        finally:
            assert not branch.ready()
            await branch.close()
            await root.close()

    with pytest.raises(Refused, match=reason):
        asyncio.run(main())
