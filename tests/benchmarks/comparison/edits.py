"""From saving a file to the new outputs on the screen, under ``flytelite run --watch``."""

from __future__ import annotations

import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

from comparison.flytelite import FLYTELITE, _server

FLOW = """
from flytekit import task, workflow

@task
def tell() -> str:
    return "edition {}"

@workflow
def told() -> str:
    return tell()
"""
SECONDS = 60.0


def measure(rounds: int) -> list[float]:
    """Seconds of each edit."""
    with tempfile.TemporaryDirectory(prefix="bench-") as place:
        file = Path(place) / "code" / "edited.py"
        file.parent.mkdir()
        file.write_text(FLOW.format(0))
        with _server(Path(place) / "server", "fork") as (_, client, _):
            command = [*FLYTELITE, "run", "--endpoint", client.endpoint, "--watch", str(file), "told"]
            process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
            try:
                screen = _Screen(process)
                screen.until("waiting for edits", 1)
                return [_edit(file, screen, number) for number in range(1, rounds + 1)]
            finally:
                process.terminate()
                process.wait()


def _edit(file: Path, screen: _Screen, number: int) -> float:
    time.sleep(0.3)  # as people do
    begin = time.perf_counter()
    file.write_text(FLOW.format(number))
    ended = screen.until(f"'edition {number}'", 1)
    screen.until("waiting for edits", number + 1)
    return ended - begin


class _Screen:
    """What a process prints, and when."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self._process = process
        self._lines: list[tuple[float, str]] = []
        self._more = threading.Condition()
        threading.Thread(target=self._read, daemon=True).start()

    def until(self, text: str, times: int) -> float:
        """When something was printed for so many times. Raises RuntimeError when it is not."""
        with self._more:
            deadline = time.perf_counter() + SECONDS
            while time.perf_counter() < deadline:
                found = [when for when, line in self._lines if text in line]
                if len(found) >= times:
                    return found[times - 1]
                self._more.wait(1)
        raise RuntimeError(f"{text!r} was not printed:\n{''.join(line for _, line in self._lines)}")

    def _read(self) -> None:
        for line in self._process.stdout or ():
            with self._more:
                self._lines.append((time.perf_counter(), line))
                self._more.notify_all()


if __name__ == "__main__":
    print([round(seconds, 3) for seconds in measure(int(sys.argv[1]))])
