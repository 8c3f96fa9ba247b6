"""Tasks of real flytekit connector classes, served by `pyflyte serve connector` and by the engine itself."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import socket
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
from flyteidl.core import execution_pb2
from flyteidl.event import event_pb2

from flytelite.connector_settings import ConnectorSettings

HERE = Path(__file__).parent
SUCCEEDED = execution_pb2.WorkflowExecution.SUCCEEDED
FAILED = execution_pb2.WorkflowExecution.FAILED
ABORTED = execution_pb2.WorkflowExecution.ABORTED
USER = execution_pb2.ExecutionError.USER

SOURCE = """
from typing import Optional
from flytekit import map_task, task, workflow
from flytekit.core.base_task import PythonTask
from flytekit.core.interface import Interface
from flytekit.core.python_function_task import PythonFunctionTask
from flytekit.extend.backend.base_connector import AsyncConnectorExecutorMixin, SyncConnectorExecutorMixin

class FilingTask(AsyncConnectorExecutorMixin, PythonTask):
    pass

class DoublingTask(SyncConnectorExecutorMixin, PythonTask):
    pass

file = FilingTask("filing", "file", task_config=None, interface=Interface({"place": str}, {"o0": int}))
double = DoublingTask("doubling", "double", task_config=None, interface=Interface({"n": int}, {"o0": int}))
unheard = DoublingTask("unheard", "unheard", task_config=None, interface=Interface({"n": int}, {"o0": int}))

@task
def same(n: int) -> int:
    return n

@workflow
def wf(place: str) -> int:
    return double(n=file(place=place))

@workflow
def filed(place: str) -> int:
    return file(place=place)

@workflow
def doubled(n: int) -> int:
    return double(n=n)

@workflow
def unserved(n: int) -> int:
    return unheard(n=n)

class FilingFunction(AsyncConnectorExecutorMixin, PythonFunctionTask):
    def __init__(self, task_config, task_function, **kwargs):
        super().__init__(task_config, task_function, task_type="filing", **kwargs)

class DoublingFunction(SyncConnectorExecutorMixin, PythonFunctionTask):
    def __init__(self, task_config, task_function, **kwargs):
        super().__init__(task_config, task_function, task_type="doubling", **kwargs)

def file_one(place: str) -> int:
    return 1 // 0  # it is the connector's to do

def double_one(n: int) -> int:
    return 1 // 0  # it is the connector's to do

file_each = FilingFunction(None, file_one)
double_each = DoublingFunction(None, double_one)

@workflow
def all_filed(places: list[str]) -> list[int]:
    return map_task(file_each)(place=places)

@workflow
def all_doubled(numbers: list[int]) -> list[int]:
    return map_task(double_each)(n=numbers)

@workflow
def most_doubled(numbers: list[int]) -> list[Optional[int]]:
    return map_task(double_each, min_success_ratio=0.5)(n=numbers)
"""


@pytest.fixture(scope="module")
def service(tmp_path_factory):
    """The address of a real `pyflyte serve connector`."""
    ports = []
    for _ in range(2):
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            ports.append(probe.getsockname()[1])
    program = Path(sys.executable).with_name("pyflyte")
    screen = tmp_path_factory.mktemp("service") / "screen"
    with screen.open("wb") as output:
        process = subprocess.Popen(
            [
                program,
                "serve",
                "connector",
                "--modules",
                "filing",
                f"--port={ports[0]}",
                f"--prometheus_port={ports[1]}",
            ],
            env={**os.environ, "PYTHONPATH": str(HERE)},
            stdout=output,
            stderr=subprocess.STDOUT,
            cwd=HERE,
        )

    async def answers() -> None:
        from flytelite.engine.connectors.client import ServiceClient, ServiceFailed

        client = ServiceClient(ConnectorSettings(f"127.0.0.1:{ports[0]}", timeout=1))
        async with asyncio.timeout(60):
            while True:
                assert process.poll() is None, screen.read_text()
                try:
                    await client.agents()
                except ServiceFailed:
                    await asyncio.sleep(0.1)
                else:
                    break
        await client.close()

    asyncio.run(answers())
    yield f"127.0.0.1:{ports[0]}"
    process.terminate()
    process.wait(20)


@pytest.fixture
def served(bench, service):
    bench.settings = replace(bench.settings, connectors=(ConnectorSettings(service),))
    return bench


@pytest.fixture
def alone(bench, monkeypatch):
    """No service but the engine's own, which is started when it is needed."""
    monkeypatch.setenv("PYTHONPATH", str(HERE))
    bench.settings.data_dir.mkdir(parents=True, exist_ok=True)
    bench.settings = replace(bench.settings, connector_modules=("filing",))
    return bench


class Place:
    """The directory that is a job."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def state(self, phase: str, **more) -> None:
        temporary = self.path / "new"
        temporary.write_text(json.dumps({"phase": phase, **more}))
        temporary.replace(self.path / "state")

    @property
    def calls(self) -> list[str]:
        path = self.path / "calls"
        return path.read_text().splitlines() if path.exists() else []


@pytest.fixture
def place(tmp_path):
    (tmp_path / "job").mkdir()
    found = Place(tmp_path / "job")
    found.state("RUNNING")
    return found


def tasks(bench, node="n0"):
    return [one for one in bench.ledger.of(node) if isinstance(one, event_pb2.TaskExecutionEvent)]


def told(bench, node="n0"):
    name = execution_pb2.TaskExecution.Phase.Name
    return [(name(event.phase), event.phase_version) for event in tasks(bench, node)]


def follow(bench, place, steps, name="wf"):
    """Run a workflow; ``steps`` are awaited one after the other once it has begun."""
    closure = bench.build(SOURCE, name)
    bench.id = bench.ledger.create("exec", closure, bench.literals(place=str(place.path)))

    async def main():
        await bench.engine().start()
        for seen, then in steps:
            await asyncio.wait_for(bench.ledger.until(lambda seen=seen: seen(told(bench))), 60)
            then()
        found = await asyncio.wait_for(bench.ledger.ended(bench.id), 60)
        await bench.propeller.stop()
        return found

    return asyncio.run(main())


def test_a_job_is_started_watched_and_told_of(served, place):
    place.state("INITIALIZING", message="waiting for a machine")
    closure = follow(
        served,
        place,
        [
            (
                lambda told: ("INITIALIZING", 0) in told,
                lambda: place.state("RUNNING", logs=["http://there/1"], info={"step": 1}),
            ),
            (lambda told: ("RUNNING", 0) in told, lambda: place.state("RUNNING", message="half", info={"step": 2})),
            (lambda told: ("RUNNING", 1) in told, lambda: place.state("SUCCEEDED", outputs={"o0": 21}, info={"n": 3})),
        ],
    )
    assert closure.phase == SUCCEEDED, closure
    assert served.outputs() == {"o0": "42"}
    assert told(served) == [("QUEUED", 2), ("INITIALIZING", 0), ("RUNNING", 0), ("RUNNING", 1), ("SUCCEEDED", 0)]
    first, waiting, running, half, last = tasks(served)
    assert {event.metadata.plugin_identifier for event in tasks(served)} == {"connector-service"}
    assert first.reason == "launched"
    assert waiting.reason == "waiting for a machine"
    assert [(log.name, log.uri) for log in running.logs] == [("there", "http://there/1")]
    assert (half.reason, half.custom_info["step"]) == ("half", 2)
    assert last.custom_info["n"] == 3
    assert not last.logs
    assert place.calls == ["create n0 flytesnacks-development"]
    assert told(served, "n1") == [("SUCCEEDED", 0)]
    assert tasks(served, "n1")[0].metadata.plugin_identifier == "connector-service"
    assert served.ledger.phases("n0")[:2] == ["QUEUED", "TE0 QUEUED"]


@pytest.mark.parametrize(
    ("phase", "code", "message"),
    [
        ("FAILED", "TaskFailedWithError", "failed to run the job: no such table"),
        ("ABORTED", "TaskFailedWithError", "failed to run the job with aborted phase."),
        ("RETRYABLE_FAILED", "RetriesExhausted|TaskFailedWithError", "failed to run the job: no such table"),
    ],
)
def test_a_job_that_fails(served, place, phase, code, message):
    place.state(phase, message="no such table")
    closure = follow(served, place, [])
    assert (closure.phase, closure.error.code, closure.error.kind) == (FAILED, code, USER)
    assert message in closure.error.message


def test_a_job_that_is_not_started(served, place):
    (place.path / "refuse").touch()
    closure = follow(served, place, [])
    assert closure.error.code == "RetriesExhausted|TaskFailedWithError"
    assert "no jobs today" in closure.error.message


def test_a_job_without_outputs_where_some_are_declared(served, place):
    place.state("SUCCEEDED")
    closure = follow(served, place, [])
    assert closure.error.code == "RetriesExhausted|OutputsNotFound"


def test_an_aborted_job_is_deleted(served, place):
    def terminate():
        served.ledger.terminate(served.id)
        served.propeller.abort(served.id, "enough")

    closure = follow(served, place, [(lambda told: ("RUNNING", 0) in told, terminate)])
    assert closure.phase == ABORTED
    assert place.calls[-1] == "delete"
    assert told(served)[-1] == ("ABORTED", 0)


def test_a_clean_stop_leaves_the_job_to_the_next_engine(served, place):
    closure = served.build(SOURCE, "filed")
    served.id = served.ledger.create("exec", closure, served.literals(place=str(place.path)))
    asyncio.run(served.stop_when(served.id, lambda: "n0 TE0 RUNNING" in served.ledger.lines()))
    place.state("SUCCEEDED", outputs={"o0": 5})
    assert served.go(served.id).phase == SUCCEEDED
    assert place.calls == ["create n0 flytesnacks-development"]


def test_a_job_aborted_while_no_engine_ran_is_deleted(served, place):
    closure = served.build(SOURCE, "filed")
    served.id = served.ledger.create("exec", closure, served.literals(place=str(place.path)))
    asyncio.run(served.stop_when(served.id, lambda: "n0 TE0 RUNNING" in served.ledger.lines()))
    served.ledger.terminate(served.id)
    assert served.go(served.id).phase == ABORTED
    assert place.calls == ["create n0 flytesnacks-development", "delete"]


def test_a_synchronous_connector_says_no(served):
    closure = served.run(SOURCE, "doubled", {"n": -1})
    assert (closure.phase, closure.error.code) == (FAILED, "TaskFailedWithError")
    assert closure.error.message == "failed to run the job: n is negative"


def test_a_type_that_nobody_serves(alone):
    closure = alone.run(SOURCE, "unserved", {"n": 1})
    assert (closure.phase, closure.error.code, closure.error.kind) == (FAILED, "BadTaskFormat", USER)
    for word in ("[unheard]", "of this machine serves", "doubling", "docs/connectors.md"):
        assert word in closure.error.message


def test_a_service_of_one_s_own_is_started_when_needed_and_again_when_it_dies(alone, place):
    pids = []

    def kill():
        process = alone.propeller._services.connectors._local._process
        pids.append(process.pid)
        os.kill(process.pid, signal.SIGKILL)
        place.state("RUNNING", message="still there")

    closure = follow(
        alone,
        place,
        [
            (lambda told: ("RUNNING", 0) in told, kill),
            (lambda told: ("RUNNING", 1) in told, lambda: place.state("SUCCEEDED", outputs={"o0": 4})),
        ],
    )
    assert closure.phase == SUCCEEDED, closure
    assert alone.outputs() == {"o0": "8"}
    assert place.calls == ["create n0 flytesnacks-development"]
    assert pids
    assert alone.propeller._services.connectors._local._process is None


def test_a_service_that_does_not_start_is_explained(alone):
    alone.settings = replace(alone.settings, connector_modules=("no_such_module",))
    closure = alone.run(SOURCE, "doubled", {"n": 1})
    assert closure.error.code == "BadTaskFormat"
    assert "No module named 'no_such_module'" in closure.error.message
    assert "connectors.log" in closure.error.message


def places(tmp_path, count):
    found = [Place(tmp_path / str(number)) for number in range(count)]
    for place in found:
        place.path.mkdir()
        place.state("RUNNING")
    return found


def resources(bench):
    """The last that was told of each element's attempt: its phase and its logs."""
    phase = execution_pb2.TaskExecution.Phase.Name
    found = {}
    for event in tasks(bench):
        for one in event.metadata.external_resources:
            found[one.index, one.retry_attempt] = (phase(one.phase), [log.uri for log in one.logs])
    return found


def all_run(bench):
    return {phase for phase, _ in resources(bench).values()} == {"RUNNING"}


def test_a_map_over_jobs(served, tmp_path):
    jobs = places(tmp_path, 3)
    closure = served.build(SOURCE, "all_filed")
    served.id = served.ledger.create("exec", closure, served.literals(places=[str(job.path) for job in jobs]))

    async def main():
        await served.engine().start()
        await asyncio.wait_for(served.ledger.until(lambda: all_run(served)), 60)
        for number, job in enumerate(jobs):
            job.state("SUCCEEDED", outputs={"o0": 10 * number}, logs=[f"http://there/{number}"])
        found = await asyncio.wait_for(served.ledger.ended(served.id), 60)
        await served.propeller.stop()
        return found

    found = asyncio.run(main())
    assert found.phase == SUCCEEDED, found
    assert served.outputs() == {"o0": "[0,10,20]"}
    assert resources(served) == {(number, 0): ("SUCCEEDED", [f"http://there/{number}"]) for number in range(3)}
    for number, job in enumerate(jobs):
        assert job.calls == [f"create n0-0-n{number} flytesnacks-development"]


def test_a_failed_job_ends_the_others_of_its_map(served, tmp_path):
    jobs = places(tmp_path, 2)
    jobs[1].state("FAILED", message="no such table")
    closure = served.run(SOURCE, "all_filed", inputs={"places": [str(job.path) for job in jobs]})
    assert closure.phase == FAILED
    assert "[1]: failed to run the job: no such table" in closure.error.message
    assert jobs[0].calls in ([], ["create n0-0-n0 flytesnacks-development", "delete"])


def test_the_jobs_of_a_map_are_watched_on_by_the_next_engine(served, tmp_path):
    jobs = places(tmp_path, 2)
    closure = served.build(SOURCE, "all_filed")
    served.id = served.ledger.create("exec", closure, served.literals(places=[str(job.path) for job in jobs]))
    served.crash(all_run)
    for number, job in enumerate(jobs):
        job.state("SUCCEEDED", outputs={"o0": number})
    assert served.go(served.id).phase == SUCCEEDED
    assert served.outputs() == {"o0": "[0,1]"}
    assert all(len(job.calls) == 1 for job in jobs)


def test_a_map_over_a_synchronous_connector(served):
    closure = served.run(SOURCE, "all_doubled", inputs={"numbers": [1, 2, 3]})
    assert closure.phase == SUCCEEDED, closure
    assert served.outputs() == {"o0": "[2,4,6]"}
    assert {phase for phase, _ in resources(served).values()} == {"SUCCEEDED"}


def test_a_synchronous_connector_refuses_some_elements(served):
    closure = served.run(SOURCE, "most_doubled", inputs={"numbers": [1, -2, 3]})
    assert closure.phase == SUCCEEDED, closure
    assert resources(served) == {(0, 0): ("SUCCEEDED", []), (1, 0): ("FAILED", []), (2, 0): ("SUCCEEDED", [])}
