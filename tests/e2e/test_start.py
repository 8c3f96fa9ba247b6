"""Starting, finding and stopping a server, and every way in which that can go wrong: one sentence, and what to do."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import socket
import ssl
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from flytelite.cli.child import LOG_BYTES

FORMAT_1 = Path(__file__).parents[1] / "unit" / "server" / "store" / "format_1"
NEVER_STARTED = 3
"""The exit code of a server that never answered."""


def test_up_prints_one_screen_and_writes_its_files(launch: Any, home: Path, tmp_path: Path, wait_until: Any) -> None:
    server = launch(tmp_path / "data")
    wait_until(lambda: "Ctrl-C" in server.printed(), "the screen")  # it answers before it has printed
    screen = server.printed()
    assert len(screen.splitlines()) <= 24
    assert server.endpoint in screen
    assert str(server.data_dir) in screen
    assert f"export FLYTECTL_CONFIG={server.config_file}" in screen
    assert "Ctrl-C" in screen
    admin = yaml.safe_load(server.config_file.read_text())["admin"]
    assert admin["endpoint"] == f"dns:///{server.endpoint}"
    assert admin["insecure"] is True
    assert (server.data_dir / ".gitignore").read_text() == "*\n"
    assert not (home / ".flyte" / "config.yaml").exists()


def test_the_data_directory_hides_itself_from_git(launch: Any, tmp_path: Path) -> None:
    git(tmp_path, "init", "--quiet")
    (tmp_path / "mine.py").touch()
    launch(tmp_path / "data")
    listed = git(tmp_path, "status", "--porcelain", "--untracked-files=all").splitlines()
    assert [line for line in listed if "data/" in line] == []


@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_signal_stops_in_order(launch: Any, tmp_path: Path, how: signal.Signals) -> None:
    if signal.getsignal(how) is signal.SIG_IGN:
        pytest.skip("whoever runs the tests has it ignored, so the server does")
    server = launch(tmp_path / "data")
    assert server.stop(how) == 0
    assert "Traceback" not in server.printed()
    assert not (server.data_dir / "server.json").exists()


def test_a_taken_port_is_one_sentence(launch: Any, server: Any, tmp_path: Path) -> None:
    second = launch(tmp_path / "data", port=server.port, wait=False)
    assert second.process.wait(20) == NEVER_STARTED
    sentence = one_sentence(second.printed())
    assert str(server.port) in sentence
    assert "--port" in sentence


def test_a_used_data_directory_is_one_sentence(launch: Any, tmp_path: Path) -> None:
    first = launch(tmp_path / "data")
    second = launch(tmp_path / "data", wait=False)
    assert second.process.wait(20) == NEVER_STARTED
    sentence = one_sentence(second.printed())
    assert str(first.data_dir) in sentence
    assert str(first.process.pid) in sentence
    # The refused one has not taken the first one's place.
    assert json.loads((first.data_dir / "server.json").read_text())["pid"] == first.process.pid


def test_a_server_that_is_there_already_is_told(launch: Any, tmp_path: Path) -> None:
    first = launch(tmp_path / "data")
    second = launch(tmp_path / "data", port=first.port, wait=False)
    assert second.process.wait(20) == NEVER_STARTED
    sentence = one_sentence(second.printed())
    assert f"already, at {first.endpoint}" in sentence
    assert "`flytelite down --data-dir data`" in sentence


def test_an_ephemeral_server_says_where_it_is_and_what_is_left(flytelite: Any) -> None:
    told = flytelite("up", "--detach", "--ephemeral", "--port", "0").stdout
    found = re.search(r"flytelite down --data-dir (\S+)", told)
    assert found is not None
    stopped = flytelite("down", "--data-dir", found[1]).stdout
    assert Path(found[1]).is_absolute()
    assert "its data is gone" in stopped


def test_an_unwritable_data_directory_is_one_sentence(launch: Any, tmp_path: Path) -> None:
    (tmp_path / "data").write_text("a file, not a directory")
    server = launch(tmp_path / "data", wait=False)
    assert server.process.wait(20) == NEVER_STARTED
    sentence = one_sentence(server.printed())
    assert str(tmp_path / "data") in sentence
    assert "--data-dir" in sentence


def test_another_programs_configuration_is_not_overwritten(launch: Any, tmp_path: Path) -> None:
    config = tmp_path / "project" / "config.yaml"
    config.parent.mkdir()
    config.write_text("mine: 1\n")
    refused = launch(config.parent, wait=False)
    assert refused.process.wait(20) == NEVER_STARTED
    sentence = one_sentence(refused.printed())
    assert str(config) in sentence
    assert "--data-dir" in sentence
    assert config.read_text() == "mine: 1\n"
    assert [path.name for path in config.parent.iterdir()] == ["config.yaml"]


def test_status_and_down_find_a_server_by_its_data_directory(launch: Any, flytelite: Any, tmp_path: Path) -> None:
    server = launch(tmp_path / "data")
    told = flytelite("status", "--data-dir", server.data_dir).stdout
    assert server.endpoint in told
    assert str(server.process.pid) in told
    flytelite("down", "--data-dir", server.data_dir)
    assert server.process.wait(5) == 0
    assert "no server" in flytelite("status", "--data-dir", server.data_dir, code=1).stdout
    assert "no server" in flytelite("down", "--data-dir", server.data_dir).stdout


def test_detach_returns_once_the_server_answers(flytelite: Any, tmp_path: Path) -> None:
    folder = tmp_path / "data"
    told = flytelite("up", "--detach", "--port", "0", "--data-dir", folder).stdout
    try:
        endpoint = json.loads((folder / "server.json").read_text())["endpoint"]
        assert endpoint in told
        assert "answers" in flytelite("status", "--data-dir", folder).stdout
    finally:
        flytelite("down", "--data-dir", folder)


def test_what_the_server_says_has_a_time_and_as_much_as_is_asked_for(launch: Any, tmp_path: Path) -> None:
    said = launch(tmp_path / "data")
    said.stop()
    assert re.search(r"^\d{4}-\d\d-\d\d \d\d:\d\d:\d\d INFO stopping: ", said.printed(), re.MULTILINE)
    (tmp_path / "flytelite.yaml").write_text("log_level: warning\n")
    silent = launch(tmp_path / "data")
    silent.stop()
    assert "stopping" not in silent.printed()
    told = launch(tmp_path / "data", "--verbose")
    told.stop()
    assert "stopping" in told.printed()


def test_a_store_that_becomes_another_is_told_in_the_foreground(flytelite: Any, tmp_path: Path) -> None:
    shutil.copytree(FORMAT_1, tmp_path / "data" / "store")
    told = flytelite("up", "--detach", "--port", "0", "--data-dir", tmp_path / "data").stdout
    flytelite("down", "--data-dir", tmp_path / "data")
    assert f"as it was, it is kept in {tmp_path / 'data' / 'store.format-1'}" in told
    again = flytelite("up", "--detach", "--port", "0", "--data-dir", tmp_path / "data").stdout
    flytelite("down", "--data-dir", tmp_path / "data")
    assert "as it was" not in again


def test_a_log_that_has_grown_is_put_aside(flytelite: Any, tmp_path: Path) -> None:
    log = tmp_path / "data" / "server.log"
    log.parent.mkdir()
    log.touch()
    os.truncate(log, LOG_BYTES + 1)
    flytelite("up", "--detach", "--port", "0", "--data-dir", log.parent)
    flytelite("down", "--data-dir", log.parent)
    assert log.with_name("server.log.1").stat().st_size == LOG_BYTES + 1
    assert log.stat().st_size < 1000


def test_a_server_whose_screen_nobody_reads_serves(environ: dict[str, str], flytelite: Any, tmp_path: Path) -> None:
    reading, writing = os.pipe()
    os.close(reading)
    command = [sys.executable, "-m", "flytelite", "up", "--detach", "--port", "0", "--data-dir", str(tmp_path / "data")]
    done = subprocess.run(command, stdout=writing, stderr=subprocess.PIPE, env=environ, cwd=tmp_path, check=False)
    os.close(writing)
    try:
        assert (done.returncode, done.stderr) == (0, b"")
        assert flytelite("status", "--data-dir", tmp_path / "data").returncode == 0
    finally:
        flytelite("down", "--data-dir", tmp_path / "data")


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
def test_a_server_whose_screen_is_a_file_on_a_full_disk_serves(
    environ: dict[str, str], flytelite: Any, tmp_path: Path
) -> None:
    def run(*words: str) -> tuple[int, str]:
        command = [sys.executable, "-m", "flytelite", *words, "--data-dir", str(tmp_path / "data")]
        with Path("/dev/full").open("w") as full:
            done = subprocess.run(
                command, stdout=full, stderr=subprocess.PIPE, env=environ, cwd=tmp_path, text=True, check=False
            )
        return done.returncode, done.stderr

    try:
        assert run("up", "--detach", "--port", "0") == (0, "")
        code, told = run("status")
        assert code == 1
        assert told == "flytelite: what is read or written cannot be used: No space left on device\n"
    finally:
        flytelite("down", "--data-dir", tmp_path / "data")


def test_streams_that_are_closed_are_nobodys_numbers(environ: dict[str, str], flytelite: Any, tmp_path: Path) -> None:
    """As under supervisors that start programs without any: who would be told of the start had the number of stderr."""

    def run(*words: str) -> int:
        closed = ["sh", "-c", 'exec "$@" <&- >&- 2>&-', "sh", sys.executable, "-m", "flytelite", *words]
        return subprocess.run(closed, env=environ, cwd=tmp_path, check=False, timeout=60).returncode

    try:
        assert run("up", "--detach", "--port", "0") == 0
        assert run("ls", "executions") == 0
        assert "answers" in flytelite("status", "--data-dir", tmp_path / ".flytelite").stdout
    finally:
        assert run("down") == 0


LIMIT = """
import resource
from flytekit import task

@task
def soft() -> int:
    return resource.getrlimit(resource.RLIMIT_NOFILE)[0]
"""


@pytest.mark.skipif(not Path("/proc").exists(), reason="reads the server's limit in /proc")
@pytest.mark.parametrize("executor", ["fork", "subprocess"])
def test_a_server_opens_more_files_than_its_tasks_may(
    environ: dict[str, str], flytelite: Any, tmp_path: Path, executor: str
) -> None:
    (tmp_path / "limits.py").write_text(LIMIT)
    command = [sys.executable, "-m", "flytelite", "up", "--detach", "--port", "0", "--executor", executor]
    limited = ["sh", "-c", 'ulimit -S -n 123 && exec "$@"', "sh", *command, "--data-dir", str(tmp_path / "data")]
    subprocess.run(limited, env=environ, cwd=tmp_path, check=True)
    try:
        running = json.loads((tmp_path / "data" / "server.json").read_text())
        limits = Path(f"/proc/{running['pid']}/limits").read_text()
        assert int(re.search(r"Max open files +(\d+)", limits)[1]) > 123  # type: ignore[index]
        ran = flytelite("run", "--endpoint", running["endpoint"], tmp_path / "limits.py", "soft")
        assert "= 123" in ran.stdout
    finally:
        flytelite("down", "--data-dir", tmp_path / "data")


def test_exec_runs_a_command_against_a_server_of_its_own(flytelite: Any, tmp_path: Path) -> None:
    script = tmp_path / "probe.py"
    script.write_text(
        "import json, os, sys, urllib.request\n"
        "endpoint = os.environ['FLYTELITE_ENDPOINT']\n"
        "assert os.environ['FLYTE_PLATFORM_URL'] == endpoint\n"
        "assert os.environ['FLYTE_PLATFORM_INSECURE'] == 'true'\n"
        "assert endpoint in open(os.environ['FLYTECTL_CONFIG']).read()\n"
        "with urllib.request.urlopen(f'http://{endpoint}/api/v1/projects', timeout=10) as answer:\n"
        "    print('projects:', [project['id'] for project in json.load(answer)['projects']])\n"
        "print('config:', os.environ['FLYTECTL_CONFIG'])\n"
        "sys.exit(7)\n"
    )
    printed = flytelite("exec", "--", sys.executable, script, code=7, cwd=tmp_path).stdout
    assert "projects: ['flytesnacks']" in printed
    config = Path(next(line.split()[1] for line in printed.splitlines() if line.startswith("config:")))
    assert not config.exists()  # the data directory was temporary
    assert sorted(path.name for path in tmp_path.iterdir()) == ["probe.py"]


def test_a_second_port_speaks_grpc_too(launch: Any, free_port: Any, tmp_path: Path) -> None:
    import grpc
    from flyteidl.admin.version_pb2 import GetVersionRequest
    from flyteidl.service.admin_pb2_grpc import AdminServiceStub

    port = free_port()
    server = launch(tmp_path / "data", "--grpc-port", str(port))
    for endpoint in (f"localhost:{port}", server.endpoint):
        with grpc.insecure_channel(endpoint) as channel:
            answer = AdminServiceStub(channel).GetVersion(GetVersionRequest(), timeout=10)
        assert answer.control_plane_version.Version


def test_a_tls_client_is_turned_away_and_not_left_waiting(server: Any) -> None:
    context = ssl.create_default_context()
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    with (
        socket.create_connection(("127.0.0.1", server.port), timeout=10) as connection,
        pytest.raises((ssl.SSLError, ConnectionError)),
    ):
        context.wrap_socket(connection, server_hostname="localhost")


def one_sentence(printed: str) -> str:
    """The only line that a refused command leaves."""
    told = printed.strip().splitlines()
    assert len(told) == 1, printed
    assert told[0].startswith("flytelite: ")
    return told[0]


def git(folder: Path, *arguments: str) -> str:
    return subprocess.run(["git", "-C", str(folder), *arguments], capture_output=True, text=True, check=True).stdout
