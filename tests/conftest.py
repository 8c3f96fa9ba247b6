"""What every test that needs a real server shares: `flytelite up` in a process of its own, on a free port.

A server gets a data directory of its own and an environment that holds an empty home and no venv on its PATH, as a
server started by absolute path in a fresh login would.
"""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import hypothesis
import pytest

hypothesis.settings.register_profile("flytelite", deadline=None)  # machines that run tests stall now and then
hypothesis.settings.load_profile("flytelite")

START_DEADLINE = 20.0
STOP_DEADLINE = 20.0
FLYTELITE = [sys.executable, "-m", "flytelite"]


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def wait_until(condition: Callable[[], Any], what: str, seconds: float = 60.0) -> Any:
    """Ask ``condition`` until it answers something true, and return that; fail, naming ``what``, after ``seconds``."""
    pause = threading.Event()
    for _ in range(int(seconds / 0.02)):
        if answer := condition():
            return answer
        pause.wait(0.02)
    pytest.fail(f"waited {seconds:.0f} s in vain: {what}")


def is_alive(process: int) -> bool:
    """Whether a process still runs; one that has ended but that nobody has waited for does not."""
    try:
        os.kill(process, 0)
        stat = Path(f"/proc/{process}/stat")
        return not stat.exists() or stat.read_text().rpartition(")")[2].split()[0] != "Z"
    except (ProcessLookupError, FileNotFoundError):
        return False


@dataclass
class Server:
    """A ``flytelite up`` that answers."""

    process: subprocess.Popen[bytes]
    data_dir: Path
    screen: Path
    endpoint: str = ""

    @property
    def port(self) -> int:
        return int(self.endpoint.rpartition(":")[2])

    @property
    def url(self) -> str:
        return f"http://{self.endpoint}"

    @property
    def config_file(self) -> Path:
        return self.data_dir / "config.yaml"

    @property
    def by_config_file(self) -> dict[str, str]:
        """The variable that points Flyte's clients here by the file that the server wrote."""
        return {"FLYTECTL_CONFIG": str(self.config_file)}

    @property
    def by_address(self) -> dict[str, str]:
        """The variables that point Flyte's clients here without a file."""
        return {"FLYTE_PLATFORM_URL": self.endpoint, "FLYTE_PLATFORM_INSECURE": "true"}

    def ready(self) -> bool:
        """Whether this very process has said where it listens; it says so once it answers."""
        try:
            running = json.loads((self.data_dir / "server.json").read_text())
        except (OSError, ValueError):
            return False
        if running["pid"] != self.process.pid:
            return False
        self.endpoint = running["endpoint"]
        return True

    def stop(self, how: signal.Signals = signal.SIGTERM) -> int:
        """Send a signal and wait for the end; the exit code, negative for a death by signal."""
        if self.process.poll() is None:
            self.process.send_signal(how)
        try:
            return self.process.wait(STOP_DEADLINE)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait(STOP_DEADLINE)
            pytest.fail(f"the server did not stop within {STOP_DEADLINE:.0f} s of {how.name}\n{self.printed()}")

    def printed(self) -> str:
        return self.screen.read_text(errors="replace")


@dataclass
class Launcher:
    """Starts servers, and stops at the end what the test left running."""

    environ: Mapping[str, str]
    started: list[Server] = field(default_factory=list)

    def __call__(self, data_dir: Path, *options: str, port: int = 0, wait: bool = True) -> Server:
        """Start one and wait until it answers; with ``wait=False`` it may also end at once."""
        screen = data_dir.parent / f"{data_dir.name}.screen-{len(self.started)}"
        command = [*FLYTELITE, "up", "--host", "127.0.0.1", "--port", str(port), "--data-dir", str(data_dir), *options]
        with screen.open("wb") as output:
            process = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                env=dict(self.environ),
                cwd=data_dir.parent,
                start_new_session=True,
            )
        server = Server(process, data_dir, screen)
        self.started.append(server)
        if wait:
            wait_until(lambda: process.poll() is not None or server.ready(), "the server to answer", START_DEADLINE)
            if process.poll() is not None:
                pytest.fail(f"`{' '.join(command)}` ended with {process.returncode}\n{server.printed()}")
        return server

    def stop_all(self) -> None:
        for server in self.started:
            if server.process.poll() is None:
                server.stop()


@pytest.fixture(scope="session")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An empty home directory."""
    return tmp_path_factory.mktemp("home")


@pytest.fixture(scope="session")
def environ(home: Path) -> dict[str, str]:
    """The whole environment of the processes under test: nothing of the developer's own settings gets in."""
    kept = {name: os.environ[name] for name in ("TMPDIR", "SYSTEMROOT") if name in os.environ}
    return kept | {
        "PATH": os.defpath,
        "HOME": str(home),
        "LANG": "C.UTF-8",
        "TZ": "UTC",
        "COLUMNS": "200",
        "NO_COLOR": "1",
        "TERM": "dumb",
    }


@pytest.fixture(scope="session")
def shared_launcher(environ: dict[str, str]) -> Iterator[Launcher]:
    launcher = Launcher(environ)
    yield launcher
    launcher.stop_all()


@pytest.fixture
def launch(environ: dict[str, str]) -> Iterator[Launcher]:
    """Start servers that this test alone uses: ``launch(data_dir)``."""
    launcher = Launcher(environ)
    yield launcher
    launcher.stop_all()


@pytest.fixture(scope="session")
def server(shared_launcher: Launcher, tmp_path_factory: pytest.TempPathFactory) -> Server:
    """The server that all tests of this worker share. Do not stop it."""
    return shared_launcher(tmp_path_factory.mktemp("server") / "data")


@pytest.fixture(scope="session", name="wait_until")
def wait_until_fixture() -> Callable[..., Any]:
    """``wait_until(condition, what, seconds)``: poll with a deadline."""
    return wait_until


@pytest.fixture(scope="session", name="free_port")
def free_port_fixture() -> Callable[[], int]:
    return free_port


@pytest.fixture(scope="session", name="is_alive")
def is_alive_fixture() -> Callable[[int], bool]:
    return is_alive
