"""What waits for a person is seen on the command line, and answered there."""

from __future__ import annotations

import re
import shlex
import subprocess
import time
from pathlib import Path
from typing import Any

import pytest

from flytelite.config import MAX_HOLD


@pytest.fixture
def here(server: Any) -> dict[str, str]:
    return {"FLYTELITE_ENDPOINT": server.endpoint}


def waiting_lines(flytelite: Any, here: dict[str, str], execution: Any, wait_until: Any, number: int = 1) -> list[str]:
    """The lines of `flytelite signal EXECUTION`, once so many nodes wait."""

    def lines() -> list[str]:
        printed = flytelite("signal", execution.id.name, env=here).stdout.splitlines()
        waiting = [line for line in printed if "waits for" in line and "waits for no signal" not in line]
        return printed if len(waiting) == number else []

    found: list[str] = wait_until(lines, f"{number} nodes to wait")
    return found


@pytest.mark.parametrize("name", ["approved", "nested", "branched", "generated", "child"])
def test_a_gate_is_shown_and_answered_at_every_level(
    client: Any, flytelite: Any, here: dict[str, str], wait_until: Any, name: str
) -> None:
    execution = client.start(f"gates.{name}", n=2)
    node, command = waiting_lines(flytelite, here, execution, wait_until)
    assert node.endswith("waits for approval all right (bool)")
    shown = flytelite("ls", "nodes", execution.id.name, env=here).stdout
    assert re.search(r"\n *d?n1 +approval all right \(bool\) +RUNNING ", shown), shown
    assert f"{node}: {command.strip()}" in shown

    program, *words, last = shlex.split(command)
    assert (program, words[0], last) == ("flytelite", "signal", "VALUE")
    assert flytelite(*words, "true", env=here).stdout == f"all right of {words[1]} is True\n"
    done = client.wait(execution)
    assert (client.phase(done), done.outputs["o0"]) == ("SUCCEEDED", 2)
    ended = flytelite("signal", *words[1:], "true", env=here, code=2).stdout
    assert ended == f"flytelite: all right of {words[1]} was answered before: it is True\n"
    assert "waits for no signal" in flytelite("signal", words[1], env=here).stdout


def test_values_are_written_as_inputs_are(client: Any, flytelite: Any, here: dict[str, str], wait_until: Any) -> None:
    execution = client.start("gates.asking")
    name = execution.id.name
    lines = waiting_lines(flytelite, here, execution, wait_until, number=3)
    assert [line.partition(" waits for ")[2] for line in lines[::2]] == [
        "signal points (list[int])",
        "signal point (Point)",
        "signal colour (one of red, blue)",
    ]
    for words, told in (
        (["points", '["a"]'], ["'points' needs JSON of list[int]", "'[\"a\"]'"]),
        (["colour", "green"], ["'colour' needs one of red, blue", "'green'"]),
        (["colour"], ["'colour' needs a value: one of red, blue"]),
        (
            ["other", "1"],
            ["waits for no signal 'other'", "points (list[int]), point (Point), colour (one of red, blue)"],
        ),
    ):
        refused = flytelite("signal", name, *words, env=here, code=2).stdout
        assert refused.count("\n") == 1
        for part in told:
            assert part in refused
    for signal, value in (("points", "[-1, 2]"), ("point", '{"x": 3, "name": "p"}'), ("colour", "red")):
        flytelite("signal", name, signal, value, env=here)
    done = client.wait(execution)
    assert done.outputs["o0"] == "[-1, 2] 3 p red"
    assert "has ended" in flytelite("signal", name, "other", "1", env=here, code=2).stdout


def test_a_sleep_is_shown_and_cannot_be_answered(
    client: Any, flytelite: Any, here: dict[str, str], wait_until: Any
) -> None:
    execution = client.start("gates.resting")
    assert waiting_lines(flytelite, here, execution, wait_until) == ["n0 waits for sleep 0:10:00"]
    client.remote.terminate(execution, "seen")


def test_an_execution_that_is_not_there(flytelite: Any, here: dict[str, str]) -> None:
    for words in (["absent"], ["absent", "extra", "1"]):
        refused = flytelite("signal", *words, env=here, code=2).stdout
        assert refused.startswith("flytelite: there is no execution 'absent' in project flytesnacks")
        assert refused.count("\n") == 1


def test_run_says_what_it_waits_for_and_how_to_answer(
    flytelite: Any, server: Any, projects: Path, environ: dict[str, str], tmp_path: Path, wait_until: Any
) -> None:
    """The first signal is a negative number, which looks like an option."""
    screen = tmp_path / "screen"
    command = [*flytelite.command, "run", "--endpoint", server.endpoint, projects / "constructs/constructs.py"]
    with screen.open("wb") as output:
        process = subprocess.Popen([*command, "gated", "--n", "2"], stdout=output, stderr=output, env=environ)
    try:
        for asked, value in (("signal extra (int)", "-5"), ("approval fine (bool)", "true")):
            found = wait_until(
                lambda asked=asked: re.search(
                    rf"{re.escape(asked)} +RUNNING.*\n +answer it: (.*)\n", screen.read_text()
                ),
                asked,
            )
            words = shlex.split(found[1])
            assert words[-2:] == ["--endpoint", server.endpoint]
            flytelite(*(value if word == "VALUE" else word for word in words[1:]), cwd=tmp_path)
        assert process.wait(60) == 0
    finally:
        process.kill()
        process.wait()
    printed = screen.read_text()
    assert re.search(r"approval fine \(bool\) +SUCCEEDED", printed), printed
    assert f"o0: int = {(4 - 5) ** 2}" in printed


def test_an_execution_is_aborted_with_what_it_has_started(
    client: Any, flytelite: Any, here: dict[str, str], wait_until: Any
) -> None:
    execution = client.start("gates.child", n=2)
    name = execution.id.name
    waiting_lines(flytelite, here, execution, wait_until)
    child = flytelite("signal", name, env=here).stdout.split("flytelite signal ")[1].split()[0]
    assert child != name
    assert flytelite("abort", name, "--cause", "no longer needed", env=here).stdout == f"{name} has ended as ABORTED\n"
    assert client.phase(client.remote.fetch_execution(name=child)) == "ABORTED"
    ended = client.remote.fetch_execution(name=name)
    assert ended.closure.abort_metadata.cause == "no longer needed"
    again = flytelite("abort", name, env=here, code=2).stdout
    assert again == f"flytelite: {name} has ended already, as ABORTED\n"
    unknown = flytelite("abort", "nope", env=here, code=2).stdout
    assert unknown.startswith("flytelite: there is no execution 'nope' in project flytesnacks, domain development;")


def test_nobody_waits_for_the_end_of_what_waits_for_a_person(
    launch: Any,
    flytelite: Any,
    environ: dict[str, str],
    projects: Path,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    monkeypatch.setitem(environ, "FLYTELITE_HOLD", str(MAX_HOLD))
    here = {"FLYTELITE_ENDPOINT": launch(tmp_path / "data").endpoint}
    started = flytelite("run", "--no-wait", str(projects / "gates/gates.py"), "approved", "--n", "2", env=here).stdout
    name = started.partition("started ")[2].split()[0]
    for words in (("signal", name), ("ls", "nodes", name), ("abort", name)):
        begin = time.monotonic()
        flytelite(*words, env=here)
        assert time.monotonic() - begin < MAX_HOLD
    unknown = flytelite("ls", "nodes", "nope", env=here, code=2).stdout
    assert unknown.startswith("flytelite: there is no execution 'nope' in project flytesnacks, domain development;")
