"""Map tasks whose elements are jobs of a connector."""

from __future__ import annotations

import asyncio

from flyteidl.core import execution_pb2

from .jobs import SOURCE, Place, tasks

SUCCEEDED = execution_pb2.WorkflowExecution.SUCCEEDED
FAILED = execution_pb2.WorkflowExecution.FAILED


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
