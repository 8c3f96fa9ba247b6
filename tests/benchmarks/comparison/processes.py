"""Servers as trees of processes: started, timed, weighed and stopped."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

START_SECONDS = 120.0
STOP_SECONDS = 20.0


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def listens(port: int) -> bool:
    with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1):
        return True
    return False


def answers(url: str) -> bool:
    try:
        with urllib.request.urlopen(url, timeout=2) as response:
            return bool(response.status == 200)
    except (urllib.error.URLError, OSError):
        return False


class Tree:
    """A command and all that it starts. A context manager; leaving it ends them."""

    def __init__(self, argv: Sequence[str], directory: Path, env: Mapping[str, str] | None = None) -> None:
        directory.mkdir(parents=True, exist_ok=True)
        self.log = directory / f"{Path(argv[0]).name}-{time.monotonic_ns()}.log"
        self.began = time.perf_counter()
        with self.log.open("wb") as output:
            self.process = subprocess.Popen(
                argv,
                cwd=directory,
                env={**os.environ, "HOME": str(directory), "DO_NOT_TRACK": "1", **(env or {})},
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                start_new_session=True,
            )

    def __enter__(self) -> Tree:
        return self

    def __exit__(self, *exception: object) -> None:
        everyone = self.pids()
        self.process.send_signal(signal.SIGINT)
        try:
            self.process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        for pid in everyone:  # what its first process did not end
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.kill(pid, signal.SIGKILL)

    def until(self, ready: Callable[[], bool], every: float = 0.005) -> float:
        """Seconds from the start until something is so. Raises RuntimeError when it never is."""
        while time.perf_counter() - self.began < START_SECONDS:
            if ready():
                return time.perf_counter() - self.began
            if self.process.poll() is not None:
                break
            time.sleep(every)
        raise RuntimeError(f"it never answered: {self.log.read_text(errors='replace')[-2000:]}")

    def pids(self) -> list[int]:
        """The processes of the tree that live."""
        parents: dict[int, int] = {}
        for entry in Path("/proc").iterdir():
            if entry.name.isdigit():
                with contextlib.suppress(OSError):
                    parents[int(entry.name)] = int((entry / "stat").read_text().rpartition(")")[2].split()[1])
        found = [self.process.pid]
        for pid in found:
            found += [child for child, parent in parents.items() if parent == pid and child not in found]
        return found

    def memory(self) -> float:
        """MiB that the tree takes from the machine: what processes share counts once."""
        total = 0
        for pid in self.pids():
            with contextlib.suppress(OSError):
                lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
                total += sum(int(line.split()[1]) for line in lines if line.startswith("Pss:"))
        return total / 1024
