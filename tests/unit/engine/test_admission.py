"""What attempts may run together: pure bookkeeping, and real tasks on a machine of one core."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from fractions import Fraction

import pytest
from flyteidl.core import execution_pb2

from flytelite.engine.admission import Admission, Demand, Machine
from flytelite.engine.environments.choice import Environments
from flytelite.engine.machine import this_machine
from flytelite.engine.resources import Amount, EffectiveResources

GIB = 1024**3


def of(cpu=0, memory=0, gpu=0):
    amounts = (Amount(Fraction(one), Fraction(one)) for one in (cpu, memory, gpu))
    return EffectiveResources(*amounts)


@pytest.fixture
def admission():
    return Admission(Machine(Fraction(2), Fraction(8 * GIB), 2))


def test_who_asks_for_nothing_never_waits(admission):
    admission.insist(Demand(cpu=Fraction(5)))
    assert all(admission.enter(Demand()) for _ in range(1000))


def test_what_is_taken_comes_back(admission):
    demand = admission.demand(of(cpu=2, memory=GIB))
    ticket = admission.enter(demand)
    assert admission.enter(demand) is None
    admission.leave(ticket)
    assert admission.enter(demand)


def test_more_than_the_machine_has_runs_alone_and_says_so(admission):
    demand = admission.demand(of(cpu=64, memory=1000 * GIB, gpu=3))
    assert (demand.cpu, demand.memory, demand.gpu) == (2, 8 * GIB, 2)
    assert demand.remark == (
        "the task asks for more than this machine has: 64 cpu of 2, 1e+03 GiB of memory of 8, 3 gpu of 2"
    )
    assert admission.enter(demand)
    assert admission.enter(admission.demand(of(cpu=Fraction(1, 10)))) is None


def test_a_large_request_is_not_starved_by_small_ones(admission):
    async def main():
        small, large = admission.demand(of(cpu=1)), admission.demand(of(cpu=2))
        tickets = [admission.enter(small), admission.enter(small)]
        waiting = asyncio.create_task(admission.wait(large))
        await asyncio.sleep(0)
        admission.leave(tickets[0])
        assert admission.enter(small) is None, "a core is free, but it is kept for who came first"
        late = asyncio.create_task(admission.wait(small))
        await asyncio.sleep(0)
        admission.leave(tickets[1])
        ticket = await waiting
        assert not late.done()
        admission.leave(ticket)
        await late

    asyncio.run(main())


def test_who_wants_something_else_goes_ahead(admission):
    async def main():
        gpus = admission.enter(admission.demand(of(gpu=2)))
        waiting = asyncio.create_task(admission.wait(admission.demand(of(gpu=1, memory=GIB))))
        await asyncio.sleep(0)
        assert admission.enter(admission.demand(of(cpu=1)))
        assert admission.enter(admission.demand(of(memory=1))) is None
        assert "waiting for 1 gpu" in admission.shortage(admission.demand(of(gpu=1)))
        admission.leave(gpus)
        await waiting

    asyncio.run(main())


def test_devices_belong_to_one_attempt(admission):
    first, second = (admission.enter(admission.demand(of(gpu=1))) for _ in range(2))
    assert {first.gpus, second.gpus} == {(0,), (1,)}
    admission.leave(first)
    assert admission.enter(admission.demand(of(gpu=1))).gpus == (0,)


def test_who_stops_waiting_lets_others_pass(admission):
    async def main():
        ticket = admission.enter(admission.demand(of(cpu=1)))
        large = asyncio.create_task(admission.wait(admission.demand(of(cpu=2))))
        await asyncio.sleep(0)
        small = asyncio.create_task(admission.wait(admission.demand(of(cpu=1))))
        await asyncio.sleep(0)
        large.cancel()
        await small
        admission.leave(ticket)
        assert admission.enter(admission.demand(of(cpu=1)))

    asyncio.run(main())


def test_who_is_cancelled_in_its_turn_gives_back(admission):
    async def main():
        ticket = admission.enter(admission.demand(of(cpu=2)))
        waiting = asyncio.create_task(admission.wait(admission.demand(of(cpu=2))))
        await asyncio.sleep(0)
        admission.leave(ticket)
        waiting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiting
        assert admission.enter(admission.demand(of(cpu=2)))

    asyncio.run(main())


def test_the_machine_is_what_the_control_group_leaves_of_it(tmp_path):
    (tmp_path / "gpus/0000:01").mkdir(parents=True)
    (tmp_path / "cpu.max").write_text("50000 100000\n")
    (tmp_path / "memory.max").write_text(f"{GIB}\n")
    assert this_machine(tmp_path, tmp_path / "gpus") == Machine(Fraction(1, 2), Fraction(GIB), 1)
    (tmp_path / "cpu.max").write_text("max 100000\n")
    (tmp_path / "memory.max").write_text("max\n")
    whole = this_machine(tmp_path, tmp_path / "none")
    assert whole.cpu >= 1
    assert whole.memory > GIB / 4
    assert whole.gpu == 0
    assert whole.overridden(("cpu=1500m", "gpu=4")) == Machine(Fraction(3, 2), whole.memory, 4)


FLOW = """
import time
from pathlib import Path
from flytekit import Resources, task, workflow

@task(requests=Resources(cpu="8"), limits=Resources(cpu="8"))
def alone(place: str) -> int:
    path = Path(place, "here")
    path.touch(exist_ok=False)
    time.sleep(0.1)
    path.unlink()
    return 1

@workflow
def wf(place: str) -> None:
    alone(place=place)
    alone(place=place)
"""


def test_tasks_wait_for_each_other_and_say_why(bench, tmp_path):
    closure = bench.run(FLOW, inputs={"place": str(tmp_path)})
    assert closure.phase == execution_pb2.WorkflowExecution.SUCCEEDED, closure
    tasks = [event for event in bench.ledger.events if hasattr(event, "retry_attempt")]
    phase = execution_pb2.TaskExecution.Phase
    names = [phase.Name(event.phase) for event in tasks]
    assert names.count("WAITING_FOR_RESOURCES") == 1
    (waiting,) = [event for event in tasks if event.phase == phase.WAITING_FOR_RESOURCES]
    assert waiting.reason.startswith("waiting for ")
    ends = [event for event in tasks if event.phase == phase.SUCCEEDED]
    assert len(ends) == 2
    for event in ends:
        assert event.custom_info["peak_memory_bytes"] > 10_000_000
        assert event.custom_info["cpu_seconds"] > 0
    remarks = [reason.reason for event in tasks for reason in event.reasons]
    assert sum("more than this machine has" in remark for remark in remarks) == 1


BUILDING = """
from flytekit import Resources, task, workflow

@task(requests=Resources(cpu="8"), limits=Resources(cpu="8"), container_image="example.com/large:1")
def built() -> int:
    return 1

@task(requests=Resources(cpu="8"), limits=Resources(cpu="8"))
def there() -> int:
    return 2

@workflow
def wf() -> tuple[int, int]:
    return built(), there()
"""


def test_who_builds_its_environment_keeps_nobody_from_running(bench, monkeypatch):
    choose = Environments.choose

    async def choose_late(self, image, *rest):
        if image == "example.com/large:1":
            await asyncio.wait_for(bench.ledger.until(lambda: "n1 SUCCEEDED" in bench.ledger.lines()), 60)
        return await choose(self, image, *rest)

    monkeypatch.setattr(Environments, "choose", choose_late)
    closure = bench.run(BUILDING)
    assert closure.phase == execution_pb2.WorkflowExecution.SUCCEEDED, closure


EATER = """
from flytekit import Resources, task, workflow

@task(limits=Resources(mem="400Mi"))
def eat() -> int:
    return len(bytearray(2 * 1024**3))

@workflow
def wf() -> int:
    return eat()
"""


@pytest.mark.parametrize("enforced", [True, False])
def test_a_memory_limit_holds_only_where_it_is_enforced(bench, enforced):
    bench.settings = replace(bench.settings, enforce_limits=enforced)
    closure = bench.run(EATER)
    expected = "FAILED" if enforced else "SUCCEEDED"
    assert execution_pb2.WorkflowExecution.Phase.Name(closure.phase) == expected, closure
    assert ("MemoryError" in closure.error.message) == enforced
