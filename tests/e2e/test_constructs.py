"""The constructs of the language give the results of plain Python."""

from __future__ import annotations

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
        ("mapped", 4, 14),
        ("mapped", 0, 0),
    ],
)
def test_a_construct_gives_the_result_of_plain_python(client: Any, name: str, n: int, result: int) -> None:
    assert getattr(client.load("constructs"), name)(n=n) == result
    assert client.outputs(f"constructs.{name}", n=n) == {"o0": result}


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
