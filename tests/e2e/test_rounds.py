"""`run --watch` and `register --watch`: real edits of real files."""

from __future__ import annotations

import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

INTERRUPTED = 130
WAITING = "waiting for edits"
FLOW = """
from flytekit import task, workflow
from words import word

@task
def greet(name: str) -> str:
    return f"{word()} {name}"

@workflow
def hello(name: str = "you") -> str:
    return greet(name=name)
"""
OTHER = """
from flytekit import task

@task
def other() -> int:
    return 1
"""


def says(text: str) -> str:
    return f"def word() -> str:\n    return {text!r}\n"


class Watching:
    """A command with ``--watch`` in a process of its own, and what it prints."""

    def __init__(self, arguments: list[str], screen: Path, environ: dict[str, str], wait_until: Callable[..., Any]):
        self.screen = screen
        self._wait_until = wait_until
        with screen.open("wb") as output:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "flytelite", *arguments],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                env=environ,
                start_new_session=True,
            )

    def printed(self) -> str:
        return self.screen.read_text()

    def until(self, *texts: str, rounds: int | None = None) -> str:
        """Wait until all of it is there; with ``rounds``, until so many have ended too."""

        def there() -> bool:
            assert self.process.poll() is None, self.printed()
            printed = self.printed()
            return all(text in printed for text in texts) and (rounds is None or printed.count(WAITING) >= rounds)

        self._wait_until(there, f"{texts} after {rounds} rounds in:\n{self.printed()}", 60)
        return self.printed()

    def end(self) -> int:
        self.process.send_signal(signal.SIGINT)
        return self.process.wait(20)


@pytest.fixture
def watching(
    server: Any, environ: dict[str, str], tmp_path: Path, wait_until: Callable[..., Any]
) -> Iterator[Callable[..., Watching]]:
    started: list[Watching] = []

    def start(*arguments: str | Path) -> Watching:
        command = [str(argument) for argument in arguments]
        command[1:1] = ["--endpoint", server.endpoint, "--watch"]
        started.append(Watching(command, tmp_path / f"screen-{len(started)}", environ, wait_until))
        return started[-1]

    yield start
    for one in started:
        one.process.kill()
        one.process.wait()


@pytest.fixture
def code(tmp_path: Path) -> Path:
    root = tmp_path / "code"
    root.mkdir()
    (root / "edited.py").write_text(FLOW)
    (root / "words.py").write_text(says("hello"))
    return root


def test_each_edit_is_run_again(watching: Callable[..., Watching], code: Path) -> None:
    run = watching("run", code / "edited.py", "hello", "--name", "ada")
    run.until("o0: str = 'hello ada'", rounds=1)

    (code / "edited.py").write_text(FLOW.replace("} {", "}, {"))
    run.until("o0: str = 'hello, ada'", rounds=2)

    (code / "words.py").write_text(says("good day"))  # a module that the file imports
    run.until("edited: words.py", "o0: str = 'good day, ada'", rounds=3)

    (code / "words.py").write_text("import nowhere\n")
    printed = run.until("No module named 'nowhere'", rounds=4)
    assert f'File "{code}/edited.py", line 3' in printed  # the user's own frames
    assert f'File "{code}/words.py", line 1' in printed
    assert "site-packages" not in printed
    assert "importlib" not in printed

    (code / "words.py").write_text("def word(:\n")
    run.until("SyntaxError", rounds=5)

    for number in range(20):  # a burst is one round, of what there is in the end; two where this process has to wait
        (code / "words.py").write_text(says(f"number {number}"))
    printed = run.until("o0: str = 'number 19, ada'", rounds=6)
    assert printed.count("o0: str = 'number") <= 2
    assert "Traceback" not in printed

    assert run.end() == INTERRUPTED
    assert "Traceback" not in run.printed()


SLOW = """
import pathlib, time
from flytekit import task, workflow

@task
def wait_for(path: str) -> str:
    while not pathlib.Path(path).exists():
        time.sleep(0.05)
    return "old"

@workflow
def slow(path: str) -> str:
    return wait_for(path=path)
"""


@pytest.mark.parametrize("abort", [False, True])
def test_an_edit_during_a_run(
    watching: Callable[..., Watching], code: Path, tmp_path: Path, abort: bool, client: Any, wait_until: Any
) -> None:
    file = code / f"slow_{abort}.py".lower()
    file.write_text(SLOW)
    options = ["--abort-outdated"] if abort else []
    gate = tmp_path / "gate"
    run = watching("run", *options, file, "slow", "--path", gate)
    first = run.until("RUNNING").partition(" as version")[2].split()[3]
    file.write_text(SLOW.replace("not pathlib.Path(path).exists()", "False").replace("old", "new"))
    printed = run.until("o0: str = 'new'", rounds=1)
    assert (f"aborted {first}" if abort else f"{first} goes on") in printed
    gate.touch()
    execution = client.remote.fetch_execution(name=first)
    wait_until(lambda: client.remote.sync(execution, sync_nodes=False).is_done, "the first execution to end")
    assert client.phase(execution) == ("ABORTED" if abort else "SUCCEEDED")
    assert run.end() == INTERRUPTED


def test_files_that_tasks_read_travel_when_they_are_asked_for(
    watching: Callable[..., Watching], code: Path, flytelite: Any, server: Any
) -> None:
    reading = FLOW.replace("{word()}", "{open('word.txt').read()}")
    (code / "edited.py").write_text(reading)
    (code / "word.txt").write_text("hi")
    here = {"FLYTELITE_ENDPOINT": server.endpoint}
    without = flytelite("run", code / "edited.py", "hello", env=here, code=1).stdout
    assert "word.txt is not in the registered code" in without
    assert "--copy-all" in without

    run = watching("run", "--copy-all", code / "edited.py", "hello")
    run.until("o0: str = 'hi you'", rounds=1)
    (code / "word.txt").write_text("good day")
    run.until("o0: str = 'good day you'", rounds=2)
    assert run.end() == INTERRUPTED


def test_ctrl_c_leaves_the_execution_running(watching: Callable[..., Watching], code: Path, tmp_path: Path) -> None:
    (code / "waits.py").write_text(SLOW)
    run = watching("run", code / "waits.py", "slow", "--path", tmp_path / "gate")
    run.until("RUNNING")
    assert run.end() == INTERRUPTED
    assert "no longer watching" in run.printed()
    assert "Traceback" not in run.printed()
    (tmp_path / "gate").touch()


def test_only_what_an_edit_changes_is_registered_again(watching: Callable[..., Watching], code: Path) -> None:
    (code / "unlike.py").write_text(OTHER)
    register = watching("register", code)
    printed = register.until("registered 2 tasks, 1 workflow, 1 launch plan", rounds=1)
    assert "unlike.other" in printed

    (code / "unlike.py").write_text(OTHER.replace("return 1", "return 2"))
    register.until("registered 1 task as version", rounds=2)

    (code / "words.py").write_text(says("hi"))
    register.until("registered 1 task, 1 workflow, 1 launch plan as version", rounds=3)

    (code / "unlike.py").write_text("import nowhere, flytekit")
    register.until("No module named 'nowhere'", rounds=4)
    (code / "fresh.py").write_text(OTHER.replace("other", "newest"))
    register.until(rounds=5)  # what failed is tried again with the next edit, and still fails
    (code / "unlike.py").write_text(OTHER)
    printed = register.until("fresh.newest", "registered 2 tasks as version", rounds=6)
    assert register.end() == INTERRUPTED
    assert "Traceback" not in printed


def test_a_watch_needs_a_server_and_no_version(flytelite: Any, code: Path, free_port: Callable[[], int]) -> None:
    nobody = f"localhost:{free_port()}"
    done = flytelite("run", "--watch", "--endpoint", nobody, code / "edited.py", "hello", code=1)
    assert f"no server answers at {nobody}" in done.stdout
    done = flytelite("run", "--watch", "--version", "1", code / "edited.py", "hello", code=2)
    assert "leave out --version" in done.stdout
    done = flytelite("register", "--watch", code / "missing.py", code=2)
    assert "does not exist" in done.stdout
