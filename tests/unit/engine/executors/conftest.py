"""A workshop: attempts of real flytekit tasks, laid out as the engine lays them out, on any executor."""

from __future__ import annotations

import asyncio
import itertools
import os
import shutil
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from flyteidl.core import errors_pb2, literals_pb2

from flytelite.engine.executors.fork_executor import ForkServerExecutor
from flytelite.engine.executors.interface import Command, Outcome
from flytelite.engine.tasks.environment import from_host

SAMPLES = Path(__file__).parent / "samples"
RESOLVER = "flytekit.core.python_auto_container.default_task_resolver"


@dataclass
class Bench:
    """One attempt: its directory and its command."""

    directory: Path
    command: Command

    @property
    def work(self) -> Path:
        return self.directory / "work"

    @property
    def outputs(self) -> Path:
        return self.directory / "out"

    @property
    def log(self) -> str:
        return self.plain(self.command.log.read_text())

    @property
    def result(self) -> str:
        """The string that the task returned."""
        found = literals_pb2.LiteralMap.FromString((self.outputs / "outputs.pb").read_bytes())
        return self.plain(found.literals["o0"].scalar.primitive.string_value)

    @property
    def error(self) -> errors_pb2.ContainerError | None:
        path = self.outputs / "error.pb"
        return errors_pb2.ErrorDocument.FromString(path.read_bytes()).error if path.exists() else None

    def plain(self, text: str) -> str:
        """The text without what differs from attempt to attempt."""
        return text.replace(str(self.directory), "DIR")


class Workshop:
    """Makes attempts below one directory."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.host = from_host({**os.environ, "LANG": "C.UTF-8"})
        self.number = itertools.count()

    def bench(
        self,
        task: str,
        text: str = "",
        module: str = "actions",
        env: dict[str, str] | None = None,
        program: str = "pyflyte-execute",
        files: dict[str, str] | None = None,
        arguments: list[str] | None = None,
        code: Path | None = None,
    ) -> Bench:
        """An attempt of ``task(text)`` of a sample module, of ``files``, or of what is in the directory ``code``."""
        directory = self.root / f"attempt{next(self.number)}"
        work, outputs, temporary = (directory / name for name in ("work", "out", "tmp"))
        for place in (work, outputs, temporary):
            place.mkdir(parents=True)
        if code is not None:
            shutil.copytree(code, work, dirs_exist_ok=True)
        elif files is None:
            shutil.copy2(SAMPLES / f"{module}.py", work)
        for name, content in (files or {}).items():
            (work / name).write_text(content)
        inputs = literals_pb2.LiteralMap()
        inputs.literals["text"].scalar.primitive.string_value = text
        (directory / "inputs.pb").write_bytes(inputs.SerializeToString())
        found = shutil.which(program, path=self.host["PATH"])
        assert found is not None
        paths = ["--inputs", f"{directory}/inputs.pb", "--output-prefix", f"{outputs}"]
        paths += ["--raw-output-data-prefix", f"{directory}/raw", "--checkpoint-path", f"{directory}/raw/checkpoints"]
        paths += ["--prev-checkpoint", '""']
        if arguments is None:
            arguments = ["--resolver", RESOLVER, "--", "task-module", module, "task-name", task]
        variables = {
            **self.host,
            "FLYTE_INTERNAL_EXECUTION_ID": "a1",
            "TMPDIR": str(temporary),
            "PYTHONPATH": str(work),
            **(env or {}),
        }
        command = Command((found, *paths, *arguments), variables, work, directory / "task.log", code=code)
        return Bench(directory, command)


@pytest.fixture
def workshop(tmp_path: Path) -> Workshop:
    return Workshop(tmp_path)


@pytest.fixture(scope="module")
def module_workshop(tmp_path_factory: pytest.TempPathFactory) -> Workshop:
    return Workshop(tmp_path_factory.mktemp("workshop"))


class Forks:
    """A fork server executor on a loop of its own, and what tests do with it."""

    def __init__(self, host: dict[str, str]) -> None:
        self.runner = asyncio.Runner()
        self.executor = ForkServerExecutor(host)

    def run(self, *benches: Bench, executor: object = None) -> list[Outcome]:
        """Run attempts at the same time, to their ends."""

        async def one(bench: Bench) -> Outcome:
            attempt = await (executor or self.executor).start(bench.directory, bench.directory.name, bench.command)
            return await attempt.wait()

        async def all_of_them() -> list[Outcome]:
            return await asyncio.gather(*map(one, benches))

        return self.runner.run(all_of_them())

    def server_pid(self) -> int:
        """The process id of the one fork server."""
        (server,) = self.executor._servers.values()

        async def pid() -> int:
            await server._ready
            return (await server._process).pid

        return self.runner.run(pid())


@pytest.fixture(scope="module")
def forks() -> Iterator[Forks]:
    """The fork server that the tests of a module share."""
    assert sys.platform == "linux", "fork servers are used on Linux only"
    forks = Forks(from_host({**os.environ, "LANG": "C.UTF-8"}))
    yield forks
    forks.runner.run(forks.executor.close())
    forks.runner.close()


@pytest.fixture
def until() -> Callable[[Callable[[], object]], object]:
    """``await until(condition)``: poll what another process does."""

    async def holds(condition: Callable[[], object]) -> None:
        async with asyncio.timeout(60):
            while not condition():  # noqa: ASYNC110  the other side is a process
                await asyncio.sleep(0.01)

    return holds
