"""A fork server for each Python environment, for as long as somebody uses it."""

from __future__ import annotations

import asyncio
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from flytelite.engine.executors.fork_executor import ForkServerExecutor

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="fork servers are used on Linux only")

WHERE = {
    "where.py": "import sys\nfrom flytekit import task\n\n@task\ndef where(text: str) -> str:\n    return sys.prefix\n"
}


def borrow(place: Path) -> Path:
    """Another environment, with what this one has; its program that executes tasks."""
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", place], check=True)
    packages = next((place / "lib").glob("python*")) / "site-packages"
    (packages / "borrowed.pth").write_text(f"import site; site.addsitedir({str(Path(pytest.__file__).parents[1])!r})\n")
    own = Path(shutil.which("pyflyte-execute", path=str(Path(sys.executable).parent)) or "")
    script = place / "bin" / "pyflyte-execute"
    script.write_text(f"#!{place}/bin/python\n" + own.read_text().partition("\n")[2])
    script.chmod(0o755)
    return script


def test_each_environment_has_its_own_until_nobody_uses_it(forks, workshop, tmp_path: Path) -> None:
    executor = ForkServerExecutor(workshop.host)
    script = borrow(tmp_path / "other")
    interpreter = f"{tmp_path}/other/bin/python"
    own, other = (workshop.bench("where", module="where", files=WHERE) for _ in range(2))
    other.command = replace(other.command, argv=(str(script), *other.command.argv[1:]))

    async def main() -> None:
        for bench in (own, other):
            attempt = await executor.start(bench.directory, "t", bench.command)
            assert (await attempt.wait()).exit_code == 0
        server = executor._servers[interpreter]
        assert len(executor._servers) == 2
        process = await server._process
        executor.idle_seconds = 0.0
        executor._keep(interpreter)  # as when it is asked for an attempt
        await asyncio.wait_for(asyncio.to_thread(process.wait), 30)
        assert interpreter not in executor._servers
        assert len(executor._servers) == 1
        await executor.close()

    forks.runner.run(main())
    assert own.result == sys.prefix
    assert other.result == f"{tmp_path}/other"
