"""The constructs of the language: what runs gives the results of plain Python, and all of them register."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest


@pytest.mark.parametrize(
    ("name", "n", "result"),
    [
        ("sub_workflow", 3, 18),
        ("branch", 6, 37),
        ("branch", 2, 7),
    ],
)
def test_a_construct_gives_the_result_of_plain_python(client: Any, name: str, n: int, result: int) -> None:
    assert getattr(client.load("constructs"), name)(n=n) == result
    assert client.outputs(f"constructs.{name}", n=n) == {"o0": result}


@pytest.mark.parametrize("name", ["mapped", "dynamically", "child", "cached", "gated", "nested"])
def test_a_construct_registers_and_is_fetched_whole(client: Any, name: str) -> None:
    registered = client.register(f"constructs.{name}")
    fetched = client.remote.fetch_workflow(name=f"constructs.{name}", version=registered.id.version)
    assert len(fetched.flyte_nodes) == len(getattr(client.load("constructs"), name).nodes)
    assert set(fetched.interface.outputs) == {"o0"}


def test_a_branch_that_ends_in_fail_fails_with_its_text(client: Any) -> None:
    execution = client.run("constructs.branch", n=0)
    assert client.phase(execution) == "FAILED"
    assert execution.closure.error.code == "UserProvidedError"
    assert "n is too small" in execution.closure.error.message


def test_a_failure_node_hears_what_failed(client: Any, tmp_path: Path) -> None:
    ledger = tmp_path / "ledger"
    execution = client.run("constructs.cleaned_up", n=0, ledger=str(ledger))
    assert client.phase(execution) == "FAILED"
    assert execution.closure.error.code == "USER:RuntimeError"
    assert "ZeroDivisionError" in execution.closure.error.message
    number, node, message = ledger.read_text().split(" ", 2)
    assert (number, node) == ("0", "fn0")
    assert "division" in message
