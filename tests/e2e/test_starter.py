"""The first five minutes: copy the starter, register it, run it; registering it again changes nothing and says so."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest


@pytest.fixture(scope="module")
def starter(flytelite: Any, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("starter") / "hello"
    flytelite("init", "hello", folder)
    return folder


def test_the_starter_runs_and_registers_only_once(flytelite: Any, server: Any, starter: Path) -> None:
    here = {"FLYTELITE_ENDPOINT": server.endpoint}
    arguments = ["--text", "to be or not to be", "--top", "2"]
    printed = flytelite("run", "hello.py", "count_words", *arguments, env=here, cwd=starter).stdout
    assert "SUCCEEDED" in printed
    assert "words: int = 6" in printed
    assert "'be', 'to'" in printed

    first = flytelite("register", ".", env=here, cwd=starter).stdout
    second = flytelite("register", ".", env=here, cwd=starter).stdout
    assert "hello.count_words" in first
    assert "hello.count_words" not in second
    assert "nothing changed" in second
    assert "hello.count_words" in flytelite("ls", "workflows", "-o", "name", env=here).stdout


@pytest.mark.parametrize("kind", ["executions", "workflows", "tasks", "launch-plans", "schedules", "projects"])
def test_a_filter_that_is_none_is_answered_with_an_example_that_is(flytelite: Any, server: Any, kind: str) -> None:
    here = {"FLYTELITE_ENDPOINT": server.endpoint}
    refused = flytelite("ls", kind, "--filter", "phase=FAILED", env=here, code=2)
    assert "--filter 'phase=FAILED': invalid value for filters" in refused.stdout
    example = refused.stdout.strip().rpartition("look like ")[2].strip("'")
    assert "(" in example
    flytelite("ls", kind, "--filter", example, env=here)


def test_init_does_not_write_over_a_folder_in_use(flytelite: Any, starter: Path) -> None:
    source = sorted(starter.rglob("*.py"))[0]
    source.write_text("# mine\n")
    printed = flytelite("init", "hello", starter, code=None)
    assert printed.returncode != 0
    assert str(starter) in printed.stdout
    assert source.read_text() == "# mine\n"
