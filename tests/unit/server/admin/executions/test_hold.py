"""GetExecution that waits a moment for the end (flytelite/server/hold.py)."""

from __future__ import annotations

import asyncio

import pytest
from flyteidl.admin import execution_pb2
from flyteidl.core import execution_pb2 as core_execution_pb2

from flytelite.errors import NotFound
from flytelite.server.admin.changes import ServerStopping
from flytelite.server.hold import HeldExecutions

PHASE = core_execution_pb2.WorkflowExecution
FOR_EVER = 3600.0


def get(admin, id, seconds):
    request = execution_pb2.WorkflowExecutionGetRequest(id=id)
    return asyncio.ensure_future(HeldExecutions(admin.executions, admin.changes, seconds).get(request))


@pytest.fixture
def running(admin):
    return admin.run()


def test_the_end_is_the_answer(admin, running):
    async def scenario():
        listeners = len(admin.changes._listeners)
        answer = get(admin, running, FOR_EVER)
        await asyncio.sleep(0)  # its first step: it listens now
        assert len(admin.changes._listeners) > listeners
        admin.workflow_event(running, PHASE.RUNNING)
        await asyncio.sleep(0)
        assert not answer.done()
        admin.workflow_event(running, PHASE.SUCCEEDED)
        assert (await asyncio.wait_for(answer, 10)).closure.phase == PHASE.SUCCEEDED
        assert len(admin.changes._listeners) == listeners

    asyncio.run(scenario())


@pytest.mark.parametrize("seconds", [0.0, 0.01])
def test_a_run_that_goes_on_is_told_as_it_stands(admin, running, seconds):
    async def scenario():
        assert (await asyncio.wait_for(get(admin, running, seconds), 10)).closure.phase == PHASE.UNDEFINED

    asyncio.run(scenario())


def test_a_stopping_server_keeps_nobody(admin, running):
    async def scenario():
        listeners = len(admin.changes._listeners)
        answer = get(admin, running, FOR_EVER)
        await asyncio.sleep(0)  # its first step: it listens now
        assert len(admin.changes._listeners) > listeners
        admin.changes.publish(ServerStopping())
        assert (await asyncio.wait_for(answer, 10)).id == running

    asyncio.run(scenario())


def test_an_unknown_execution_is_not_waited_for(admin):
    async def scenario():
        unknown = execution_pb2.Execution().id
        unknown.project, unknown.domain, unknown.name = "flytesnacks", "development", "absent"
        with pytest.raises(NotFound):
            await get(admin, unknown, FOR_EVER)

    asyncio.run(scenario())
