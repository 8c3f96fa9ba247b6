from __future__ import annotations

from flyteidl.admin import execution_pb2 as admin
from flyteidl.core import execution_pb2

SUCCEEDED = execution_pb2.WorkflowExecution.SUCCEEDED
FAILED = execution_pb2.WorkflowExecution.FAILED

SOURCE = """
from pathlib import Path
from flytekit import current_context, dynamic, task, workflow
from flytekit.exceptions.user import FlyteRecoverableException

def ran(directory, what):
    with open(directory + "/ran", "a") as file:
        file.write(what + "\\n")

@task
def good(directory: str) -> int:
    ran(directory, "good")
    return 1

@task
def bad(directory: str, a: int) -> str:
    ran(directory, "bad")
    checkpoint = current_context().checkpoint
    before = checkpoint.read()
    if not Path(directory + "/go").exists():
        checkpoint.write(b"half")
        raise ValueError("no good")
    return f"{a} {before.decode()}"

@workflow
def inner(directory: str) -> int:
    return good(directory=directory)

@workflow
def wf(directory: str) -> str:
    return bad(directory=directory, a=inner(directory=directory))

@task
def note(directory: str, what: str) -> None:
    ran(directory, what)

@workflow
def clean_up(directory: str, a: int) -> int:
    note(directory=directory, what="cleaned")
    return a

@workflow(on_failure=clean_up)
def guarded(directory: str, a: int = 1) -> str:
    return bad(directory=directory, a=a)

@task
def element(directory: str, a: int) -> int:
    ran(directory, f"element{a}")
    if a == 1 and not Path(directory + "/go").exists():
        raise ValueError("no good")
    return a

@dynamic
def many(directory: str) -> list[int]:
    ran(directory, "many")
    first = element(directory=directory, a=0)
    second = element(directory=directory, a=1)
    first >> second
    return [first, second]

@workflow
def dyn(directory: str) -> list[int]:
    return many(directory=directory)

@workflow
def within(directory: str, a: int) -> int:
    return element(directory=directory, a=a)

@dynamic(retries=1)
def second_try(directory: str) -> list[int]:
    ran(directory, "second_try")
    if (Path(directory) / "ran").read_text().count("second_try") == 1:
        raise FlyteRecoverableException("not yet")
    first = within(directory=directory, a=0)
    second = element(directory=directory, a=1)
    first >> second
    return [first, second]

@workflow
def dyn_again(directory: str) -> list[int]:
    return second_try(directory=directory)
"""


def recover(bench, name, **more):
    old = bench.id
    metadata = admin.ExecutionMetadata(mode=admin.ExecutionMetadata.RECOVERED, reference_execution=old)
    inputs = bench.literals(directory=str(bench.directory), **more)
    bench.id = bench.ledger.create("again", bench.closures[f"flow.{name}"], inputs, metadata=metadata)
    return bench.go(bench.id)


def ran(bench) -> list[str]:
    return (bench.directory / "ran").read_text().split()


def test_finished_nodes_are_taken_over(bench):
    assert bench.run(SOURCE, inputs={"directory": str(bench.directory)}).phase == FAILED
    (bench.directory / "go").touch()
    closure = recover(bench, "wf")
    assert closure.phase == SUCCEEDED, closure
    assert bench.outputs() == {"o0": "1 half"}
    assert ran(bench) == ["good", "bad", "bad"]
    lines = bench.ledger.lines(bench.id)
    assert [line for line in lines if line.startswith("n0")] == ["n0 RECOVERED"]
    assert lines[1] == "start-node SUCCEEDED"
    base = bench.settings.bucket / "metadata/propeller/flytesnacks-development-again"
    assert (base / "n0/data/inputs.pb").is_file()
    assert (base / "n0/data/0/outputs.pb").is_file()


def test_a_recovered_execution_can_be_recovered(bench):
    assert bench.run(SOURCE, inputs={"directory": str(bench.directory)}).phase == FAILED
    assert recover(bench, "wf").phase == FAILED
    (bench.directory / "go").touch()
    old = bench.id
    metadata = admin.ExecutionMetadata(mode=admin.ExecutionMetadata.RECOVERED, reference_execution=old)
    inputs = bench.literals(directory=str(bench.directory))
    bench.id = bench.ledger.create("third", bench.closures["flow.wf"], inputs, metadata=metadata)
    assert bench.go(bench.id).phase == SUCCEEDED
    assert ran(bench) == ["good", "bad", "bad", "bad"]


def test_a_dynamic_task_is_not_asked_again(bench):
    assert bench.run(SOURCE, "dyn", inputs={"directory": str(bench.directory)}).phase == FAILED
    (bench.directory / "go").touch()
    closure = recover(bench, "dyn")
    assert closure.phase == SUCCEEDED, closure
    assert bench.outputs() == {"o0": "[0,1]"}
    assert ran(bench) == ["many", "element0", "element1", "element1"]
    lines = [line for line in bench.ledger.lines(bench.id) if line.startswith("n0")]
    assert lines[:2] == ["n0 RUNNING", "n0 DYNAMIC_RUNNING"]
    assert "n0-0-dn0 RECOVERED" in lines


def test_what_a_later_attempt_of_a_dynamic_task_asked_for_is_taken_over(bench):
    assert bench.run(SOURCE, "dyn_again", inputs={"directory": str(bench.directory)}).phase == FAILED
    lines = bench.ledger.lines(bench.id)
    assert "n0-1-dn0 SUCCEEDED" in [" ".join(line.split()[:2]) for line in lines]
    (bench.directory / "go").touch()
    closure = recover(bench, "dyn_again")
    assert closure.phase == SUCCEEDED, closure
    assert bench.outputs() == {"o0": "[0,1]"}
    assert ran(bench) == ["second_try", "second_try", "element0", "element1", "element1"]
    lines = bench.ledger.lines(bench.id)
    assert "n0-0-dn0 RECOVERED" in lines


def test_a_failure_is_handled_again(bench):
    assert bench.run(SOURCE, "guarded", inputs={"directory": str(bench.directory), "a": 1}).phase == FAILED
    assert recover(bench, "guarded", a=1).phase == FAILED
    assert ran(bench) == ["bad", "cleaned", "bad", "cleaned"]
    assert not [line for line in bench.ledger.lines(bench.id) if line.startswith("fn0") and "RECOVERED" in line]
