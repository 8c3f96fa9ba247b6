"""Tasks of real flytekit connector classes, served by `pyflyte serve connector` and by the engine itself."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import socket
from dataclasses import replace

import pytest
from flyteidl.core import execution_pb2

from flytelite.connector_settings import ConnectorSettings
from flytelite.engine.connectors import job, registry

from .jobs import SOURCE, tasks

SUCCEEDED = execution_pb2.WorkflowExecution.SUCCEEDED
FAILED = execution_pb2.WorkflowExecution.FAILED
ABORTED = execution_pb2.WorkflowExecution.ABORTED
USER = execution_pb2.ExecutionError.USER


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
        ("ABORTED", "TaskFailedWithError", "failed to run the job with aborted phase. no such table"),
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


def leave(served, place, hours: float) -> None:
    """Stop the engine while a job with a timeout of an hour runs, and let time pass."""
    closure = served.build(SOURCE, "filed")
    node = next(node for node in closure.primary.template.nodes if node.id == "n0")
    node.metadata.timeout.seconds = 3600
    served.id = served.ledger.create("exec", closure, served.literals(place=str(place.path)))
    asyncio.run(served.stop_when(served.id, lambda: "n0 TE0 RUNNING" in served.ledger.lines()))
    (note,) = (note for note in served.ledger.notes.values() if "started_at" in note)
    note |= {name: note[name] - hours * 3600 for name in ("queued_at", "started_at", "at")}


def test_a_job_that_ended_while_no_engine_ran_has_ended_in_time(served, place):
    leave(served, place, hours=5)
    place.state("SUCCEEDED", outputs={"o0": 5})
    assert served.go(served.id).phase == SUCCEEDED
    assert place.calls == ["create n0 flytesnacks-development"]


def test_a_job_that_still_runs_is_late(served, place):
    leave(served, place, hours=1.5)
    closure = served.go(served.id)
    assert closure.error.code == "RetriesExhausted|TimeoutExpired"
    assert place.calls == ["create n0 flytesnacks-development", "delete"]


def test_a_job_goes_on_when_its_service_is_there_later_than_the_engine(served, place, service, monkeypatch, caplog):
    monkeypatch.setattr(registry, "LISTED_SECONDS", 0.0)
    monkeypatch.setattr(job, "FAILURE_PAUSE", 0.5)
    leave(served, place, hours=0)
    place.state("SUCCEEDED", outputs={"o0": 5})
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    served.settings = replace(served.settings, connectors=(ConnectorSettings(f"127.0.0.1:{port}", timeout=1),))

    async def pass_on(reader, writer):
        host, _, number = service.rpartition(":")
        there, back = await asyncio.open_connection(host, int(number))
        with contextlib.suppress(ConnectionError):
            await asyncio.gather(copy(reader, back), copy(there, writer))

    async def copy(source, target):
        while data := await source.read(65536):
            target.write(data)
            await target.drain()
        target.close()

    async def main():
        propeller = served.engine()
        await propeller.start()
        async with asyncio.timeout(60):
            while not any(one.name == registry.__name__ for one in caplog.records):  # noqa: ASYNC110  it is only logged
                await asyncio.sleep(0.01)
            server = await asyncio.start_server(pass_on, "127.0.0.1", port)
            found = await served.ledger.ended(served.id)
            await propeller.stop()
            server.close()
        return found

    closure = asyncio.run(main())
    assert closure.phase == SUCCEEDED, closure
    assert place.calls == ["create n0 flytesnacks-development"]


def test_a_synchronous_connector_says_no(served):
    closure = served.run(SOURCE, "doubled", {"n": -1})
    assert (closure.phase, closure.error.code) == (FAILED, "TaskFailedWithError")
    assert closure.error.message == "failed to run the job: n is negative"


def test_a_type_that_nobody_serves(alone):
    closure = alone.run(SOURCE, "unserved", {"n": 1})
    assert (closure.phase, closure.error.code, closure.error.kind) == (FAILED, "BadTaskFormat", USER)
    for word in ("[unheard]", "of this machine serves", "doubling", "`connectors: [HOST:PORT]`"):
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


def test_what_connectors_print_is_in_the_log_however_much_it_is(alone, place):
    place.state("SUCCEEDED", outputs={"o0": 4}, prints="chatter " * 50_000)
    closure = alone.run(SOURCE, "wf", {"place": str(place.path)})
    assert closure.phase == SUCCEEDED, closure
    (log,) = alone.settings.data_dir.rglob("connectors.log")
    assert log.read_text().count("chatter ") == 50_000


def test_a_service_that_does_not_start_is_explained(alone):
    alone.settings = replace(alone.settings, connector_modules=("no_such_module",))
    closure = alone.run(SOURCE, "doubled", {"n": 1})
    assert closure.error.code == "BadTaskFormat"
    assert "No module named 'no_such_module'" in closure.error.message
    assert "connectors.log" in closure.error.message
