"""`flytelite secrets`: names are shown, values never."""

from __future__ import annotations

import io
import os
import signal
import subprocess
import sys

import pytest

from flytelite.cli.application import run


@pytest.fixture
def secrets(tmp_path, monkeypatch, capsys):
    """Runs a command in an empty folder; its exit code and what it printed."""
    monkeypatch.chdir(tmp_path)

    def call(*arguments: str, stdin: str | io.TextIOBase = "") -> tuple[int, str]:
        monkeypatch.setattr("sys.stdin", io.StringIO(stdin) if isinstance(stdin, str) else stdin)
        code = run(["secrets", *arguments])
        printed = capsys.readouterr()
        return code, printed.out + printed.err

    return call


def test_set_list_and_remove(secrets, tmp_path):
    assert secrets("ls")[0] == 0
    assert secrets("set", "db", "password", stdin="hunter2\n") == (0, "set DB_PASSWORD for all projects\n")
    assert secrets("set", "db", "password", "-p", "mine", "-d", "staging", stdin="other\n")[0] == 0
    assert (tmp_path / ".flytelite/secrets/.env").read_text() == "DB_PASSWORD='hunter2'\n"
    code, printed = secrets("ls")
    assert (code, printed.splitlines()) == (
        0,
        ["DB_PASSWORD  all projects", "DB_PASSWORD  project mine, domain staging"],
    )
    assert secrets("rm", "db", "password") == (0, "removed DB_PASSWORD for all projects\n")
    code, printed = secrets("rm", "db", "password")
    assert code == 1
    assert "flytelite secrets ls" in printed


@pytest.mark.parametrize("arguments", [("set", "db", "password"), ("set", "db", "password", "-d", "staging")])
def test_used_wrongly(secrets, arguments):
    code, printed = secrets(*arguments)
    assert code == 2
    assert printed.count("\n") == 1


@pytest.mark.parametrize("errors", ["strict", "surrogateescape"])
def test_a_value_that_is_no_text(secrets, tmp_path, errors):
    stdin = io.TextIOWrapper(io.BytesIO(b"\xff\xfe"), encoding="utf-8", errors=errors)
    code, printed = secrets("set", "db", "password", stdin=stdin)
    assert code == 2
    assert "the value is no UTF-8 text" in printed
    assert not (tmp_path / ".flytelite").exists()


def test_a_file_that_others_can_read(secrets, tmp_path):
    secrets("set", "db", "password", stdin="hunter2")
    (tmp_path / ".flytelite/secrets/.env").chmod(0o644)
    code, printed = secrets("ls")
    assert code == 1
    assert "chmod 600" in printed


def test_an_interrupt_at_the_prompt_is_one(tmp_path):
    command = [sys.executable, "-m", "flytelite", "secrets", "set", "db", "--data-dir", str(tmp_path / "data")]
    terminal, screen = os.openpty()
    process = subprocess.Popen(command, stdin=screen, stdout=screen, stderr=screen, start_new_session=True)
    os.close(screen)
    printed = b""
    while b"value" not in printed:
        printed += os.read(terminal, 1024)
    process.send_signal(signal.SIGINT)
    assert process.wait() == 130
    os.close(terminal)
    assert not (tmp_path / "data").exists()
