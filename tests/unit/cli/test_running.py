"""Finding and ending the process that a data directory names."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path

import pytest

from flytelite.cli.running import is_alive, read_running, stop
from flytelite.server.data_directory import Running, process_start_time

POLITE = "import signal; print(flush=True); signal.pause()"
DEAF = "import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN); print(flush=True); signal.pause()"


@pytest.fixture
def child(request: pytest.FixtureRequest) -> Iterator[subprocess.Popen[bytes]]:
    process = subprocess.Popen([sys.executable, "-c", request.param], stdout=subprocess.PIPE)
    assert process.stdout is not None
    process.stdout.readline()  # it has come so far that it waits for a signal
    yield process
    process.kill()
    process.wait()
    process.stdout.close()


def running(process: subprocess.Popen[bytes]) -> Running:
    return Running(process.pid, process_start_time(process.pid), "localhost:1", "/data")


@pytest.mark.parametrize("child", [POLITE], indirect=True)
def test_it_is_found_until_it_has_ended(child: subprocess.Popen[bytes], tmp_path: Path) -> None:
    server = running(child)
    (tmp_path / "server.json").write_text(json.dumps(asdict(server)))
    assert read_running(tmp_path) == server
    assert stop(server, 10)
    assert not is_alive(server)  # though nobody has waited for it yet
    assert read_running(tmp_path) is None
    assert stop(server, 10)


@pytest.mark.parametrize("child", [DEAF], indirect=True)
def test_one_that_does_not_listen_is_said_so(child: subprocess.Popen[bytes]) -> None:
    assert not stop(running(child), 0.2)
    assert child.poll() is None


AS_NOBODY = """
import json, os, sys
from flytelite.cli.failure import Failure
from flytelite.cli.running import is_alive, stop
from flytelite.server.data_directory import Running
server = Running(*json.loads(sys.argv[1]))
os.setuid(65534)
assert is_alive(server)
try:
    stop(server, 10)
except Failure as failure:
    print(failure.sentence)
"""


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can be somebody else")
@pytest.mark.parametrize("child", [POLITE], indirect=True)
def test_another_users_is_said_so(child: subprocess.Popen[bytes]) -> None:
    argument = json.dumps(list(asdict(running(child)).values()))
    asked = subprocess.run([sys.executable, "-c", AS_NOBODY, argument], capture_output=True, text=True, check=True)
    assert f"process {child.pid}) is another user's" in asked.stdout
    assert child.poll() is None


@pytest.mark.parametrize("child", [POLITE], indirect=True)
def test_another_process_with_the_same_pid_is_left_alone(child: subprocess.Popen[bytes]) -> None:
    impostor = Running(child.pid, 1, "localhost:1", "/data")
    assert not is_alive(impostor)
    assert stop(impostor, 10)
    assert child.poll() is None


@pytest.mark.parametrize("content", ["", "[]", "{}", '{"pid": 1}', "{"])
def test_a_file_that_says_nothing_is_no_server(tmp_path: Path, content: str) -> None:
    (tmp_path / "server.json").write_text(content)
    assert read_running(tmp_path) is None
