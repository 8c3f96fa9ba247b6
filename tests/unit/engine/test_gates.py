from __future__ import annotations

import asyncio

import pytest
from flyteidl.core import execution_pb2, identifier_pb2

SUCCEEDED = execution_pb2.WorkflowExecution.SUCCEEDED
FAILED = execution_pb2.WorkflowExecution.FAILED

HEAD = """
from datetime import timedelta
from flytekit import approve, sleep, task, wait_for_input, workflow

@task
def one() -> int:
    return 1

@task
def add(a: int, b: int) -> int:
    return a + b

"""
SIGNAL = (
    HEAD
    + """
@workflow
def wf() -> int:
    return add(a=one(), b=wait_for_input("number", timeout=timedelta(hours=1), expected_type=int))
"""
)
APPROVE = (
    HEAD
    + """
@workflow
def wf() -> int:
    return approve(one(), "sure", timeout=timedelta(hours=1))
"""
)


def answer(bench, signal_id, value, beforehand=False):
    closure = bench.closure
    id = bench.id = bench.ledger.create("exec", closure)
    signal = identifier_pb2.SignalIdentifier(signal_id=signal_id, execution_id=id)

    def set_signal():
        found = bench.ledger.signal(signal, None)
        found.value.CopyFrom(bench.literals(x=value).literals["x"])

    async def main():
        propeller = bench.engine()
        if beforehand:
            set_signal()
        await propeller.start()
        if not beforehand:
            await bench.ledger.until(lambda: any(line == "n1 RUNNING" for line in bench.ledger.lines()))
            set_signal()
            propeller.signal_set(signal)
        found = await asyncio.wait_for(bench.ledger.ended(id), 60)
        await propeller.stop()
        return found

    return asyncio.run(main())


@pytest.mark.parametrize("beforehand", [False, True])
def test_a_signal_becomes_an_output(bench, beforehand):
    bench.closure = bench.build(SIGNAL)
    closure = answer(bench, "number", 41, beforehand)
    assert closure.phase == SUCCEEDED, closure
    assert bench.outputs() == {"o0": "42"}
    assert bench.ledger.phases("n1") == ["QUEUED", "RUNNING", "SUCCEEDED"]


def test_an_approval_passes_its_inputs_on(bench):
    bench.closure = bench.build(APPROVE)
    closure = answer(bench, "sure", True)
    assert closure.phase == SUCCEEDED, closure
    assert bench.outputs() == {"o0": "1"}


def test_a_rejection(bench):
    bench.closure = bench.build(APPROVE)
    closure = answer(bench, "sure", False)
    assert closure.phase == FAILED
    assert closure.error.code == "ReceivedRejectSignal"
    assert closure.error.message == "received a reject signal to disapprove the node input values"


def test_a_gate_times_out(bench):
    closure = bench.run(SIGNAL.replace("hours=1", "seconds=0.5"))
    assert closure.phase == FAILED
    assert closure.error.code == "RetriesExhausted|TimeoutExpired"
    assert "[500ms]" in closure.error.message


def test_sleep(bench):
    source = (
        HEAD
        + """
@workflow
def wf():
    one() >> sleep(timedelta(seconds=0.3))
"""
    )
    closure = bench.run(source)
    assert closure.phase == SUCCEEDED, closure
    _, running, succeeded = bench.ledger.of("n1")
    waited = succeeded.occurred_at.ToMicroseconds() - running.occurred_at.ToMicroseconds()
    assert waited >= 299_000
    assert not succeeded.output_uri
