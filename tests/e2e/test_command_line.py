"""What the commands say of servers and projects that are not as somebody thinks."""

from __future__ import annotations

import json
import os
import shutil
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import flytelite as package


@pytest.fixture
def suspended(launch: Any, tmp_path: Path) -> Iterator[Any]:
    """A server that somebody has stopped in its tracks."""
    server = launch(tmp_path / "data")
    server.process.send_signal(signal.SIGSTOP)
    os.waitid(os.P_PID, server.process.pid, os.WSTOPPED | os.WNOWAIT)
    yield server
    server.process.send_signal(signal.SIGCONT)


def test_a_suspended_server_is_told(suspended: Any, flytelite: Any) -> None:
    told = flytelite("status", "--data-dir", suspended.data_dir, code=1, timeout=15).stdout
    assert "does not answer" in told
    assert f"`kill -CONT {suspended.process.pid}`" in told
    assert "flytelite up" not in told  # it would be refused


def test_commands_know_of_a_suspended_server(suspended: Any, flytelite: Any) -> None:
    told = flytelite("ls", env=suspended.by_config_file, code=1).stdout
    assert f"`kill -CONT {suspended.process.pid}`" in told
    assert "flytelite up" not in told


def test_down_ends_a_suspended_server(suspended: Any, flytelite: Any) -> None:
    assert "stopped" in flytelite("down", "--data-dir", suspended.data_dir).stdout
    assert suspended.process.wait(5) == 0


def test_a_server_of_another_version_is_told(launch: Any, flytelite: Any, tmp_path: Path) -> None:
    server = launch(tmp_path / "data")
    file = server.data_dir / "server.json"
    # As one of a later version may write it, with what this one does not know.
    file.write_text(json.dumps({**json.loads(file.read_text()), "version": "7.0", "console": True}))
    told = flytelite("ls", "projects", env=server.by_config_file).stdout
    assert "the server is flytelite 7.0" in told
    assert f"`flytelite down --data-dir {server.data_dir}`" in told
    assert "flytesnacks" in told
    assert "the server is flytelite 7.0" in flytelite("status", "--data-dir", server.data_dir).stdout
    assert "stopped" in flytelite("down", "--data-dir", server.data_dir).stdout


def test_tasks_of_a_server_that_was_uninstalled_say_so(environ: dict[str, str], flytelite: Any, tmp_path: Path) -> None:
    installed = tmp_path / "site" / "flytelite"
    shutil.copytree(Path(package.__file__).parent, installed, ignore=shutil.ignore_patterns("__pycache__"))
    there = {"PYTHONPATH": str(installed.parent)}
    up = ("up", "--detach", "--port", "0", "--data-dir", tmp_path / "data", "--executor", "subprocess")
    flytelite(*up, cwd=tmp_path, env=there)
    try:
        (tmp_path / "x.py").write_text("from flytekit import task\n\n\n@task\ndef t() -> int:\n    return 1\n")
        here = {"FLYTECTL_CONFIG": str(tmp_path / "data" / "config.yaml")}
        flytelite("run", "x.py", "t", cwd=tmp_path, env=here)  # the server has loaded what it needs
        installed.rename(tmp_path / "uninstalled")
        told = flytelite("run", "x.py", "t", cwd=tmp_path, env=here, code=1).stdout
        assert "flytelite was uninstalled while its server runs" in told
    finally:
        flytelite("down", "--data-dir", tmp_path / "data")


@pytest.mark.parametrize("kind", ["executions", "workflows", "tasks", "launch-plans", "schedules"])
def test_a_list_of_what_is_not_there_is_no_empty_list(server: Any, flytelite: Any, kind: str) -> None:
    here = ("ls", kind, "--endpoint", server.endpoint)
    told = flytelite(*here, "-p", "flytesnaks", code=2).stdout
    assert "there is no project 'flytesnaks'" in told
    assert "`flytelite ls projects`" in told
    told = flytelite(*here, "-d", "prod", "-o", "json", code=2).stdout
    assert "has no domain 'prod', but development, staging, production" in told
    assert flytelite(*here, "-d", "production", "-o", "name").stdout == ""


def test_an_input_that_is_no_utf_8_is_bad_usage(server: Any, flytelite: Any, tmp_path: Path) -> None:
    (tmp_path / "x.py").write_text("from flytekit import task\n\n\n@task\ndef t(a: str) -> str:\n    return a\n")
    told = flytelite("run", "--endpoint", server.endpoint, "x.py", "t", "--a", "\udcff", cwd=tmp_path, code=2).stdout
    assert r"flytelite: '\udcff' is no UTF-8" in told
