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
        ("dynamically", 4, 14),
        ("child", 3, 13),
    ],
)
def test_a_construct_gives_the_result_of_plain_python(client: Any, name: str, n: int, result: int) -> None:
    assert getattr(client.load("constructs"), name)(n=n) == result
    assert client.outputs(f"constructs.{name}", n=n) == {"o0": result}


@pytest.mark.parametrize("name", ["mapped", "cached", "nested"])
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


def test_gates_open_on_a_signal(client: Any, wait_until: Any) -> None:
    remote = client.remote
    execution = client.start("constructs.gated", n=2)
    name = execution.id.name

    def signals() -> set[str]:
        return {signal.id.signal_id for signal in remote.list_signals(name)}

    wait_until(lambda: "extra" in signals(), "the execution to ask for its input")
    remote.set_input("extra", name, 5, python_type=int)
    wait_until(lambda: "fine" in signals(), "the execution to ask for the approval")
    remote.approve("fine", name)
    done = client.wait(execution)
    assert client.phase(done) == "SUCCEEDED", done.closure.error
    assert done.outputs["o0"] == 81


def test_a_rejected_gate_fails_the_execution(client: Any, wait_until: Any) -> None:
    remote = client.remote
    execution = client.start("constructs.gated", n=2)
    name = execution.id.name
    wait_until(lambda: remote.list_signals(name), "the execution to ask for its input")
    remote.set_input("extra", name, 1, python_type=int)
    wait_until(lambda: len(remote.list_signals(name)) == 2, "the execution to ask for the approval")
    remote.reject("fine", name)
    done = client.wait(execution)
    assert client.phase(done) == "FAILED"
    assert done.closure.error.code == "ReceivedRejectSignal"
