"""Code versions and attempts of them, for fork servers that import users' modules."""

from __future__ import annotations

import asyncio
import itertools
import textwrap
from pathlib import Path


class Versions:
    """Code versions, as the engine keeps them, and attempts of them."""

    def __init__(self, forks, workshop) -> None:
        self.executor = forks.executor
        self.workshop = workshop
        self.directory = workshop.root / "cache"
        self.numbers = itertools.count()

    def make(self, files: dict[str, str]) -> Path:
        directory = self.directory / f"version{next(self.numbers)}"
        for name, text in files.items():
            (directory / name).parent.mkdir(parents=True, exist_ok=True)
            (directory / name).write_text(textwrap.dedent(text))
        return directory

    async def attempt(self, code: Path, **options):
        bench = self.workshop.bench("tell", module=options.pop("module", "told"), code=code, **options)
        attempt = await self.executor.start(bench.directory, "t", bench.command)
        outcome = await attempt.wait()
        assert outcome.exit_code == 0, bench.log
        return bench

    def servers(self):
        return [entry.server for entry in self.executor._modules._branches._branches.values()]

    async def warm(self, code: Path, **options) -> str:
        """Attempts until there is a server that has the module; its refusal, or nothing."""
        modules, libraries = self.executor._modules, self.executor._libraries
        for _ in range(4):  # the libraries of the first attempt may have to be imported first
            await self.attempt(code, **options)
            for entry in [*libraries._branches._branches.values(), *modules._branches._branches.values()]:
                await asyncio.wait([entry.server._ready])
            await asyncio.sleep(0)
            key, refusal = next(reversed(modules._seen.items()))
            if refusal or key in modules._branches._branches:
                return refusal
        raise AssertionError("there is no server for the module")


def told(start: str = "", result: str = "'x'") -> dict[str, str]:
    """A module that does something when it is imported, and tells of it in its task."""
    task = f"""
        from flytekit import task
        @task
        def tell(text: str) -> str:
            return str(({result}))
    """
    return {"told.py": textwrap.dedent(start) + textwrap.dedent(task)}
