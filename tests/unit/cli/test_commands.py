"""The commands that need no server, and the frame they run in."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import threading
from dataclasses import replace
from pathlib import Path

import pytest
import yaml

from flytelite import __version__, config
from flytelite.cli import application, serving
from flytelite.cli.exec import client_environment, handing_on_signals, run_command
from flytelite.cli.failure import Usage
from flytelite.server.data_directory import Running

RUNNING = Running(4711, 1, "localhost:4321", "/data")


def flytelite(*arguments: str, cwd: Path | None = None) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "flytelite", *arguments], capture_output=True, text=True, cwd=cwd, check=False
    )


def test_the_version_is_printed() -> None:
    done = flytelite("--version")
    assert (done.returncode, done.stdout) == (0, f"flytelite {__version__}\n")


@pytest.mark.parametrize("command", list(application.COMMANDS))
def test_every_command_explains_itself_and_knows_verbose(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert application.run([command, "--help"]) == 0
    assert "--verbose" in capsys.readouterr().out


@pytest.mark.parametrize("arguments", [["bogus"], ["up", "--bogus"], ["ls", "bogus"], ["run"], ["exec"]])
def test_bad_usage_is_2(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert application.run(arguments) == 2
    assert "Traceback" not in capsys.readouterr().err


@pytest.mark.parametrize(
    "arguments",
    [["up", "--data-dir", ""], ["up", "--data-dir="], ["status", "--data-dir", ""], ["secrets", "ls", "--data-dir="]],
)
def test_an_empty_data_directory_is_not_this_folder(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert application.run(arguments) == 2
    assert "--data-dir is empty" in capsys.readouterr().err


def test_of_up_an_option_that_cannot_work_is_usage_and_a_setting_is_not(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    assert application.run(["up", "--executor", "docker"]) == 2
    assert "one of fork, subprocess" in capsys.readouterr().err
    monkeypatch.setenv("FLYTELITE_EXECUTOR", "docker")
    assert application.run(["up"]) == 3


def test_a_failure_is_one_sentence_and_a_traceback_only_when_asked_for(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FLYTELITE_ENDPOINT", "nonsense")
    assert application.run(["ls"]) == 2
    plain = capsys.readouterr().err
    assert plain.startswith("flytelite: FLYTELITE_ENDPOINT says 'nonsense'")
    assert plain.count("\n") == 1
    assert application.run(["--verbose", "ls"]) == 2
    assert "Traceback" in capsys.readouterr().err


def test_a_missing_server_is_named_with_where_its_address_came_from(capsys: pytest.CaptureFixture[str]) -> None:
    assert application.run(["ls", "--endpoint", "localhost:1"]) == 1
    told = capsys.readouterr().err
    assert "localhost:1 (from --endpoint)" in told
    assert "flytelite up" in told


def test_ls_nodes_needs_an_execution(capsys: pytest.CaptureFixture[str]) -> None:
    assert application.run(["ls", "nodes"]) == 2
    assert "ls nodes EXECUTION" in capsys.readouterr().err


def test_what_the_machine_refuses_is_no_bug(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    directory = tmp_path / ("x" * 300)
    assert application.run(["clean", "--older-than", "1d", "--data-dir", str(directory)]) == 1
    assert re.fullmatch(r"flytelite: \S+ cannot be used: File name too long\n", capsys.readouterr().err)


@pytest.mark.parametrize("command", ["status", "up", "ls", "run x.py wf"])
def test_a_folder_that_is_gone_is_no_bug(tmp_path: Path, command: str) -> None:
    script = f"mkdir gone && cd gone && rmdir ../gone && exec {sys.executable} -m flytelite {command}"
    done = subprocess.run(["sh", "-c", script], capture_output=True, text=True, cwd=tmp_path, check=False)
    assert done.returncode != 0
    assert done.stderr == "flytelite: the folder that this was called in is gone; change to another one\n"


@pytest.mark.parametrize("arguments", [["ls", "--help"], ["up", "--help"], ["up", "--print-config"]])
def test_nobody_has_to_read_what_is_printed(tmp_path: Path, arguments: list[str]) -> None:
    reading, writing = os.pipe()
    os.close(reading)
    done = subprocess.run(
        [sys.executable, "-m", "flytelite", *arguments],
        stdout=writing,
        stderr=subprocess.PIPE,
        cwd=tmp_path,
        check=False,
    )
    os.close(writing)
    assert done.stderr == b""


def test_export_of_an_execution_needs_a_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    assert application.run(["export", "a496jxb7gnkk4qpzgfdw"]) == 2
    assert "`flytelite export a496jxb7gnkk4qpzgfdw a496jxb7gnkk4qpzgfdw.tar.gz`" in capsys.readouterr().err


def test_no_environments_are_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("FLYTELITE_ENVIRONMENTS", str(tmp_path))
    assert application.run(["environments"]) == 0
    assert f"no environment has been made in {tmp_path}" in capsys.readouterr().out


def test_up_imports_nothing_that_only_other_commands_need(tmp_path: Path) -> None:
    script = (
        "import sys\nfrom flytelite.cli.application import run\nrun(['up', '--print-config'])\n"
        "print([name for name in ('flytekit', 'rich', 'grpc', 'flytelite.cli.ls') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, cwd=tmp_path, check=True)
    assert done.stdout.splitlines()[-1] == "[]"


def test_up_prints_the_settings_that_it_would_use(tmp_path: Path) -> None:
    (tmp_path / "flytelite.yaml").write_text("max_parallelism: 7\n")
    done = flytelite("up", "--port", "4000", "--print-config", cwd=tmp_path)
    settings = yaml.safe_load(done.stdout)
    assert (settings["port"], settings["max_parallelism"]) == (4000, 7)
    assert settings["data_dir"] == str(tmp_path / ".flytelite")


def test_a_server_with_unusable_settings_never_started(tmp_path: Path) -> None:
    (tmp_path / "flytelite.yaml").write_text("prot: 7\n")
    done = flytelite("up", cwd=tmp_path)
    assert (done.returncode, done.stderr.count("\n")) == (3, 1)
    assert "prot" in done.stderr


def test_the_screen_has_all_one_needs(capsys: pytest.CaptureFixture[str]) -> None:
    settings = config.Settings(data_dir=Path("/my data"))
    serving.print_banner(RUNNING, settings, "Ctrl-C")
    screen = capsys.readouterr().out
    for needed in ("localhost:4321", "/my data", "kept", "export FLYTECTL_CONFIG='/my data/config.yaml'", "Ctrl-C"):
        assert needed in screen
    serving.print_banner(RUNNING, replace(settings, durability="relaxed"), "Ctrl-C")
    assert "power loss may cost the last second" in capsys.readouterr().out
    serving.print_banner(RUNNING, replace(settings, ephemeral=True), "Ctrl-C")
    assert "NOTHING IS KEPT" in capsys.readouterr().out


def test_an_ephemeral_server_takes_no_data_directory(tmp_path: Path) -> None:
    done = flytelite("up", "--ephemeral", "--data-dir", str(tmp_path / "data"), cwd=tmp_path)
    assert (done.returncode, done.stderr.count("\n")) == (2, 1)
    assert "leave out --data-dir" in done.stderr
    assert not (tmp_path / "data").exists()


def test_another_configuration_in_the_home_is_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    folder = tmp_path / ".flyte"
    folder.mkdir()
    (folder / "config.yaml").write_text("admin: {endpoint: mine}\n")
    serving.write_home_config(RUNNING)
    serving.write_home_config(RUNNING)
    assert sorted(path.name for path in folder.iterdir()) == ["config.yaml", "config.yaml.kept-1"]
    assert yaml.safe_load((folder / "config.yaml").read_text())["admin"]["endpoint"] == "dns:///localhost:4321"
    assert (folder / "config.yaml.kept-1").read_text() == "admin: {endpoint: mine}\n"


def test_init_copies_a_starter_and_overwrites_nothing(tmp_path: Path) -> None:
    assert flytelite("init", "hello", str(tmp_path / "new")).returncode == 0
    assert sorted(path.name for path in (tmp_path / "new").iterdir()) == ["README.md", "hello.py"]
    (tmp_path / "new" / "hello.py").write_text("# mine\n")
    again = flytelite("init", "hello", str(tmp_path / "new"))
    assert again.returncode == 2
    assert "not overwritten" in again.stderr
    assert (tmp_path / "new" / "hello.py").read_text() == "# mine\n"
    assert "there are: hello" in flytelite("init", "nothing").stderr


def test_the_starter_runs_in_plain_python() -> None:
    folder = Path(serving.__file__).parent.parent / "templates" / "hello"
    done = subprocess.run(
        [sys.executable, "-B", "-c", "import hello; print(hello.count_words(text='a b a'))"],
        capture_output=True,
        text=True,
        cwd=folder,
        check=True,
    )
    assert re.search(r"Summary\(words=3, distinct=2, longest='a', most_common=\['a', 'b'\]\)", done.stdout)


def test_down_and_status_without_a_server(tmp_path: Path) -> None:
    assert flytelite("status", cwd=tmp_path).returncode == 1
    assert "no server runs on" in flytelite("down", cwd=tmp_path).stdout


def test_exec_tells_every_flyte_client_where_the_server_is() -> None:
    assert client_environment(RUNNING, Path("/data"), "mine") == {
        "FLYTE_PLATFORM_URL": "localhost:4321",
        "FLYTE_PLATFORM_INSECURE": "true",
        "FLYTECTL_CONFIG": "/data/config.yaml",
        "FLYTELITE_ENDPOINT": "localhost:4321",
        "FLYTE_DEFAULT_PROJECT": "mine",
    }


def run(*command: str, **variables: str) -> int:
    with handing_on_signals() as signals:
        return run_command(list(command), {**os.environ, **variables}, signals)


def test_execs_exit_code_is_the_commands() -> None:
    assert run("sh", "-c", "exit 5") == 5
    assert run("sh", "-c", "kill -KILL $$") == 128 + signal.SIGKILL
    assert run("sh", "-c", '[ "$GREETING" = hello ]', GREETING="hello") == 0
    with pytest.raises(Usage, match="no command 'no-such-command'"):
        run("no-such-command")


def test_exec_hands_signals_on(tmp_path: Path) -> None:
    fifo = tmp_path / "ready"
    os.mkfifo(fifo)

    def terminate_once_it_runs() -> None:
        fifo.read_bytes()
        os.kill(os.getpid(), signal.SIGTERM)

    helper = threading.Thread(target=terminate_once_it_runs)
    helper.start()
    assert run("sh", "-c", f"trap 'exit 9' TERM; echo > {fifo}; while :; do sleep 0.05; done") == 9
    helper.join()


def test_a_signal_before_the_command_runs_ends_exec_in_order() -> None:
    with pytest.raises(SystemExit) as stopped, handing_on_signals():
        os.kill(os.getpid(), signal.SIGTERM)
    assert stopped.value.code == 128 + signal.SIGTERM


def test_json_output_of_a_refused_command_is_not_half_written(capsys: pytest.CaptureFixture[str]) -> None:
    assert application.run(["ls", "-o", "json", "--endpoint", "localhost:1"]) == 1
    assert capsys.readouterr().out == ""


@pytest.mark.parametrize(("arguments", "code"), [(["up"], 3), (["run", "x.py", "wf"], 1), (["--version"], 1)])
def test_a_python_that_flytekit_does_not_know_is_refused(tmp_path: Path, arguments: list[str], code: int) -> None:
    script = (
        f"import sys\nsys.argv[1:] = {arguments!r}\nsys.version_info = (3, 13, 0, 'final', 0)\n"
        "from flytelite.__main__ import main\nmain()"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, cwd=tmp_path, check=False)
    assert done.returncode == code
    assert re.fullmatch(r"flytelite: flytelite needs Python 3\.11 or 3\.12, .* is 3\.13; .*\n", done.stderr)


@pytest.mark.parametrize("arguments", [["ls", "-p", "\udcff"], ["abort", "\udcff"]])
def test_what_is_no_utf_8_is_bad_usage(arguments: list[str]) -> None:
    done = flytelite(*arguments, "--endpoint", "localhost:1")
    assert done.returncode == 2
    assert re.match(r"flytelite: '\\udcff' is no UTF-8, as names and inputs have to be;", done.stderr)


def test_what_ascii_does_not_have_is_printed_as_its_code(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "flytelite", "status", "--data-dir", str(tmp_path / "größe")],
        env={**os.environ, "PYTHONIOENCODING": "ascii"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stderr) == (1, "")
    assert r"gr\xf6\xdfe" in done.stdout
