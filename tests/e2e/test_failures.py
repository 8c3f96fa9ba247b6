"""What a person sees when a run fails: the phase, the code, the traceback, the log, the exit code."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

HALF_REGISTERED = """
from flytekit import task, workflow

from left_behind import VALUE


@task
def use(n: int) -> int:
    return n + VALUE


@workflow
def using(n: int) -> int:
    return use(n=n)
"""


@pytest.fixture(scope="module")
def divided(client: Any) -> Any:
    """An execution whose second node failed."""
    return client.run("faults.dividing", value=0, sync_nodes=True)


@pytest.fixture
def here(server: Any) -> dict[str, str]:
    return {"FLYTELITE_ENDPOINT": server.endpoint}


@pytest.fixture
def faults(projects: Path) -> Path:
    return projects / "faults" / "faults.py"


def test_an_exception_fails_the_execution_with_its_traceback(client: Any, divided: Any) -> None:
    assert client.phase(divided) == "FAILED"
    error = divided.closure.error
    assert error.code == "USER:RuntimeError"
    assert "ZeroDivisionError" in error.message
    assert "return 1 // value" in error.message
    assert "faults.py" in error.message
    assert {name: node.closure.phase for name, node in divided.node_executions.items() if name.startswith("n")} == {
        "n0": 3,  # SUCCEEDED
        "n1": 5,  # FAILED
    }
    assert divided.node_executions["n1"].closure.error.code == "USER:RuntimeError"


def test_an_exception_is_not_tried_again_and_leaves_its_log(client: Any, divided: Any) -> None:
    attempts = client.attempts(divided, "n1")
    assert len(attempts) == 1
    assert attempts[0].closure.error.code == "USER:RuntimeError"
    assert attempts[0].closure.error.kind == 1  # USER
    log = read_log(attempts[0])
    assert "dividing by 0" in log
    assert "a warning" in log


def test_outputs_of_a_failed_execution_are_refused(divided: Any) -> None:
    from flytekit.exceptions.user import FlyteAssertion

    with pytest.raises(FlyteAssertion):
        _ = divided.outputs


def test_a_module_missing_on_the_worker_is_named(client: Any, server: Any, pyflyte: Any, tmp_path: Path) -> None:
    (tmp_path / "half.py").write_text(HALF_REGISTERED)
    (tmp_path / "left_behind.py").write_text("VALUE = 1\n")
    (tmp_path / ".flyteignore").write_text("left_behind.py\n")
    pyflyte("register", "--version", "v1", "half.py", env=server.by_config_file, cwd=tmp_path)
    workflow = client.remote.fetch_workflow(name="half.using", version="v1")
    execution = client.wait(client.remote.execute(workflow, inputs={"n": 1}))
    assert client.phase(execution) == "FAILED"
    assert execution.closure.error.code == "USER:RuntimeError"
    assert "No module named 'left_behind'" in execution.closure.error.message


def test_run_prints_the_outputs_and_returns_0(flytelite: Any, here: dict[str, str], faults: Path) -> None:
    printed = flytelite("run", faults, "recovering", "--value", "0", env=here).stdout
    assert "ready after 0" in printed
    assert "SUCCEEDED" in printed.upper()


def test_run_of_a_failing_workflow_shows_node_traceback_and_log_and_returns_1(
    flytelite: Any, here: dict[str, str], faults: Path
) -> None:
    printed = flytelite("run", faults, "dividing", "--value", "0", env=here, code=1).stdout
    assert "n1" in printed
    assert "ZeroDivisionError" in printed
    assert "return 1 // value" in printed
    log = next(Path(word) for word in printed.split() if word.startswith("/") and word.endswith(".log"))
    assert "dividing by 0" in log.read_text()
    assert "\n  dividing by 0" in printed
    assert printed.endswith(f"again\n  flytelite run {faults} dividing --value 0\n")


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["dividing"], ["value", "int"]),
        (["dividing", "--value", "many"], ["value", "many", "int"]),
        (["dividing", "--value", "1", "--colour", "red"], ["colour"]),
        (["absent"], ["absent", "dividing"]),
    ],
    ids=["missing input", "wrong type", "unknown input", "unknown entity"],
)
def test_run_used_wrongly_says_what_and_returns_2(
    flytelite: Any, here: dict[str, str], faults: Path, arguments: list[str], told: list[str]
) -> None:
    printed = flytelite("run", faults, *arguments, env=here, code=2).stdout
    for word in told:
        assert word in printed
    assert "Traceback" not in printed


def test_run_without_a_server_names_the_address_it_tried(flytelite: Any, free_port: Any, faults: Path) -> None:
    endpoint = f"localhost:{free_port()}"
    printed = flytelite("run", faults, "dividing", "--value", "1", env={"FLYTELITE_ENDPOINT": endpoint}, code=None)
    assert printed.returncode not in (0, None)
    assert endpoint in printed.stdout
    assert "FLYTELITE_ENDPOINT" in printed.stdout
    assert "Traceback" not in printed.stdout


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("def broken(:\n", ["line 1"]),
        ("import nowhere_to_be_found\n", ["nowhere_to_be_found", "line 1"]),
        (
            "from flytekit import task, workflow\n@task\ndef t() -> int:\n    return 1\n"
            "@workflow\ndef wf() -> int:\n    return t(x=1)\n",
            ["unexpected keyword argument 'x'", "line 7"],
        ),
    ],
    ids=["bad Python", "import error", "workflow that cannot be compiled"],
)
@pytest.mark.parametrize("command", [["register", "broken.py"], ["run", "broken.py", "wf"]], ids=["register", "run"])
def test_a_broken_file_is_told_with_its_line_and_the_reason(
    flytelite: Any, here: dict[str, str], tmp_path: Path, command: list[str], text: str, told: list[str]
) -> None:
    (tmp_path / "broken.py").write_text(text)
    done = flytelite(*command, env=here, cwd=tmp_path, code=None)
    assert done.returncode != 0
    assert "bug in flytelite" not in done.stdout
    for word in ["broken.py", *told]:
        assert word in done.stdout


def read_log(attempt: Any) -> str:
    """The text of an attempt's log file, which its task execution names."""
    (uri,) = [log.uri for log in attempt.closure.logs if log.name == "log file"]
    return Path(uri.removeprefix("file://")).read_text()
