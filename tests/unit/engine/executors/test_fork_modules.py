"""Fork servers that have imported users' modules: when there are any, and what attempts see of them."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
from dataclasses import replace
from types import SimpleNamespace

import pytest

from flytelite.engine.executors import fork_branches, fork_modules
from flytelite.engine.executors.attempt import read_record
from flytelite.engine.executors.fork_libraries import Libraries
from flytelite.engine.executors.fork_modules import Modules

from .processes import alive, below
from .versions import Versions, told

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="fork servers are used on Linux only")


@pytest.fixture
def run(forks, workshop):
    """``run(test)``: call ``test(versions)`` with an executor that has seen nothing yet."""
    executor = forks.executor
    executor._libraries = Libraries(executor._retire)
    executor._modules = Modules(executor._retire)
    yield lambda test: forks.runner.run(test(Versions(forks, workshop)))

    async def close():
        executor._modules.close()
        executor._libraries.close()

    forks.runner.run(close())


def test_attempts_begin_where_one_import_ended(run):
    async def test(versions):
        # Objects are where they were when the module was imported: only a fork can tell that.
        result = "id(MADE), 'pandas.core' in sys.modules, LIST.append(1) or LIST"
        code = versions.make(told("import sys; MADE = object()", result))
        (code / "told.py").write_text("LIST = []\n" + (code / "told.py").read_text())
        assert await versions.warm(code) == ""
        benches = [await versions.attempt(code) for _ in range(3)]
        return {bench.result for bench in benches}

    (result,) = run(test)
    assert result.endswith("False, [1])")  # nor was anything imported that is imported when it is needed


def test_what_users_make_ends_when_nobody_refers_to_it(run):
    start = """
        import weakref
        class Made:
            ends = 0
            def __del__(self):
                Made.ends += 1
        MADE = Made()
        SEEN = weakref.ref(MADE)
        def give_up():
            global MADE
            MADE = None
            return SEEN()
    """

    async def test(versions):
        code = versions.make(told(start, "give_up(), Made.ends"))
        assert await versions.warm(code) == ""
        return (await versions.attempt(code)).result

    assert run(test) == "(None, 1)"


PACKAGE = {
    "told.py": """
        import pathlib, os, sys, inspect
        from importlib import resources
        from flytekit import task
        import parts.one
        import spaces.two
        HERE = pathlib.Path(__file__).resolve().parent
        PLACES = {"here": os.path.dirname(__file__), "list": [__file__]}
        TEXT = (HERE / "data.txt").read_text()
        class Kept:
            PLACE = HERE / "data.txt"
            def __init__(self):
                self.place = str(HERE)
        KEPT = Kept()
        @task
        def tell(text: str) -> str:
            import json, pkgutil, late, spaces.late
            own = sys.modules[__name__]
            places = [__file__, __spec__.origin, __spec__.cached, __loader__.path, HERE, *PLACES.values(), Kept.PLACE,
                      KEPT.place, tell._module_file, parts.__path__, parts.one.__file__, list(spaces.__path__),
                      spaces.two.__file__, late.__file__, spaces.late.__file__,
                      inspect.getsourcefile(tell.task_function),
                      parts.one.function.__code__.co_filename, inspect.getfile(Kept), sys.path[1]]
            found = {
                "places": [str(place) for place in places],
                "source": inspect.getsource(parts.one.function) + inspect.getsource(Kept),
                "modules": sorted(one.name for one in pkgutil.iter_modules(parts.__path__)),
                "resource": resources.files("parts").joinpath("note.txt").read_text(),
                "text": [TEXT, Kept.PLACE.read_text()],
                "there": all(os.path.exists(place) for place in places[:1] + places[4:5]),
            }
            (HERE / "data.txt").write_text("changed")
            (pathlib.Path(parts.one.__file__).parent / "note.txt").write_text("changed")
            try:
                parts.one.fail()
            except ValueError as error:
                frame = error.__traceback__.tb_next
                found["places"].append(frame.tb_frame.f_code.co_filename)
            return json.dumps(found)
    """,
    "data.txt": "data",
    "late.py": "",
    "parts/__init__.py": "",
    "parts/one.py": "def function():\n    return 1\ndef fail():\n    raise ValueError\n",
    "parts/note.txt": "note",
    "spaces/two.py": "",
    "spaces/late.py": "",
}


def test_modules_are_in_the_attempts_own_copy_which_is_as_it_was_registered(run):
    async def test(versions):
        code = versions.make(PACKAGE)
        before = await versions.attempt(code)
        assert await versions.warm(code) == ""
        (server,) = versions.servers()
        later = [await versions.attempt(code) for _ in range(2)]
        assert server.served
        left = sorted(path.name for path in versions.directory.iterdir())
        return [json.loads(bench.result) for bench in (before, *later)], left

    found, left = run(test)
    assert found[0] == found[1] == found[2]
    assert found[0]["text"] == ["data", "data"]
    assert found[0]["resource"] == "note"
    assert all("DIR/work" in place for place in found[0]["places"])
    assert left == ["version0"]  # the copy that was imported is gone


def test_a_module_that_cannot_be_shared_runs_as_ever_and_is_not_tried_again(run):
    async def test(versions):
        code = versions.make(told("import uuid; ID = uuid.uuid4()", "ID"))
        assert "posix.urandom" in await versions.warm(code)
        found = [(await versions.attempt(code)).result for _ in range(2)]
        return found, versions.servers()

    found, servers = run(test)
    assert len(set(found)) == 2
    assert servers == []


def test_an_import_that_kills_its_process_is_not_tried_again_and_leaves_nothing(run, until):
    async def test(versions):
        start = "import os, signal\nif os.getcwd().rpartition('/')[2] != 'work': os.kill(os.getpid(), signal.SIGKILL)"
        code = versions.make(told(start))
        assert "ended" in await versions.warm(code)
        await versions.attempt(code)
        await until(lambda: [path.name for path in versions.directory.iterdir()] == [code.name])
        return versions.servers()

    assert run(test) == []


def test_a_module_that_fails_fails_in_the_attempt_with_its_own_words(run):
    async def test(versions):
        code = versions.make({"told.py": "1 / 0"})
        benches = []
        for _ in range(3):
            bench = versions.workshop.bench("tell", module="told", code=code)
            attempt = await versions.executor.start(bench.directory, "t", bench.command)
            await attempt.wait()
            benches.append(bench)
            for server in versions.servers():
                await asyncio.wait([server._ready])
        return benches

    for bench in run(test):
        assert "ZeroDivisionError" in bench.error.message or "ZeroDivisionError" in bench.log
        assert "told.py" in bench.log + bench.error.message


def test_each_attempt_has_random_numbers_of_its_own(run):
    async def test(versions):
        start = "import random, ssl, uuid, numpy"
        code = versions.make(told(start, "random.random(), ssl.RAND_bytes(4), uuid.uuid4(), numpy.random.random()"))
        assert await versions.warm(code) == ""
        return [(await versions.attempt(code)).result for _ in range(3)], versions.servers()

    found, servers = run(test)
    assert servers[0].served
    assert all(len(set(column)) == 3 for column in zip(*(text.strip("()").split(", ") for text in found), strict=True))


def test_the_first_attempt_makes_no_process(run):
    async def test(versions):
        await versions.attempt(versions.make(told()))
        return versions.servers()

    assert run(test) == []


def test_what_is_not_only_a_known_code_version_begins_by_itself(run):
    async def test(versions):
        code = versions.make(told())
        others = [
            {"env": {"PYTHONPATH": "/elsewhere"}},
            {"arguments": ["--resolver", "told.resolver", "--", "task-module", "told", "task-name", "tell"]},
        ]
        for options in others:
            bench = versions.workshop.bench("tell", module="told", code=code, **options)
            assert fork_modules._key(SimpleNamespace(interpreter="p"), bench.command) is None
        bench = versions.workshop.bench("tell", module="told", code=code)
        key = fork_modules._key(SimpleNamespace(interpreter="p"), bench.command)
        for change in ({"code": None}, {"secret_env": {"_FSEC_A": "1"}}, {"masked": ("secret",)}):
            command = replace(bench.command, **change)
            assert fork_modules._key(SimpleNamespace(interpreter="p"), command) is None
        return key.module

    assert run(test) == "told"


def test_another_environment_or_code_version_has_its_own(run):
    async def test(versions):
        one, two = versions.make(told("TEXT = 'one'", "TEXT")), versions.make(told("TEXT = 'two'", "TEXT"))
        assert await versions.warm(one) == ""
        (first,) = versions.servers()
        assert await versions.warm(one, env={"MINE": "1"}) == ""
        assert len(versions.servers()) == 2
        assert await versions.warm(two) == ""
        # A new version ends the servers of the old one.
        (last,) = versions.servers()
        return first is last, [(await versions.attempt(code)).result for code in (one, two)]

    assert run(test) == (False, ["one", "two"])


def test_servers_end_when_they_are_idle_or_too_many(run, monkeypatch):
    async def test(versions):
        monkeypatch.setattr(fork_branches, "MOST", 1)
        one, two = versions.make(told()), versions.make(told("OTHER = 1"))
        await versions.warm(one)
        (first,) = versions.servers()
        await versions.warm(two)
        (second,) = versions.servers()
        assert first is not second
        monkeypatch.setattr(versions.executor._modules._branches, "idle_seconds", 0.01)
        await versions.attempt(two)
        async with asyncio.timeout(30):
            while versions.servers() or versions.executor._ending:  # noqa: ASYNC110
                await asyncio.sleep(0.01)
        return [server._control.fileno() for server in (first, second)]

    assert run(test) == [-1, -1]


HOLDING = {
    "told.py": """
        import time
        from pathlib import Path
        from flytekit import task
        @task
        def tell(text: str) -> str:
            Path("running").touch()
            while not Path(text).exists():
                time.sleep(0.01)
            return "held"
    """
}


def is_server(pid: int) -> bool:
    """Whether it is a waiter's parent rather than a waiter: it has grandchildren."""
    return any(map(below, below(pid)))


def test_whoever_is_killed_attempts_end_as_they_would(run, until):
    """The waiter's parent, its parent, and the task itself, each while an attempt of a shared module runs."""

    async def test(versions):
        code = versions.make(HOLDING)
        go = versions.workshop.root / "go"
        go.touch()
        assert await versions.warm(code, text=str(go)) == ""
        (server,) = versions.servers()
        (root,) = versions.executor._servers.values()
        root_pid = (await root._process).pid
        await until(lambda: any(is_server(pid) for pid in below(root_pid)))
        (shared,) = [pid for pid in below(root_pid) if is_server(pid)]
        go.unlink()
        benches = [versions.workshop.bench("tell", str(go), module="told", code=code) for _ in range(3)]
        attempts = [await versions.executor.start(one.directory, "t", one.command) for one in benches]
        assert server.served
        await until(lambda: all((one.work / "running").exists() for one in benches))
        records = [read_record(one.directory / "process") for one in benches]
        os.kill(int(records[2]["task_pid"]), signal.SIGKILL)
        assert (await attempts[2].wait()).signal == signal.SIGKILL
        os.kill(root_pid, signal.SIGKILL)
        await until(lambda: not alive(shared))  # it ends with the one that it was forked from
        after = versions.workshop.bench("tell", str(go), module="told", code=code)
        attempts.append(await versions.executor.start(after.directory, "t", after.command))
        go.touch()
        outcomes = [await attempts[number].wait() for number in (0, 1, 3)]
        return [(outcome.exit_code, outcome.lost) for outcome in outcomes]

    assert run(test) == [(0, False)] * 3
