"""Which workflow events are accepted, and what they leave."""

from __future__ import annotations

import pytest
from flyteidl.admin import event_pb2 as event_requests
from flyteidl.admin import execution_pb2, node_execution_pb2
from flyteidl.core import execution_pb2 as core_execution_pb2
from flyteidl.core import identifier_pb2
from flyteidl.event import event_pb2

from flytelite.errors import (
    AlreadyExists,
    FailedPrecondition,
    InvalidArgument,
    NotFound,
    ResourceExhausted,
)
from flytelite.server.admin.changes import ExecutionChanged

Phase = core_execution_pb2.WorkflowExecution
NodePhase = core_execution_pb2.NodeExecution
TaskPhase = core_execution_pb2.TaskExecution
ERROR = core_execution_pb2.ExecutionError(code="USER:X", message="m", kind=core_execution_pb2.ExecutionError.USER)


@pytest.fixture
def id(admin) -> identifier_pb2.WorkflowExecutionIdentifier:
    return admin.run("run-1")


def refused(admin, kind, id, phase: int, **fields):
    with pytest.raises(kind) as error:
        admin.workflow_event(id, phase, **fields)
    return error.value


def test_a_run_from_start_to_success(admin, id):
    admin.workflow_event(id, Phase.RUNNING, 10)
    admin.workflow_event(id, Phase.SUCCEEDING, 11)
    admin.workflow_event(id, Phase.SUCCEEDED, 12.5, output_uri="/a/outputs.pb")
    closure = admin.execution(id).closure
    assert closure.phase == Phase.SUCCEEDED
    assert closure.started_at == admin.at(10)
    assert closure.updated_at == admin.at(12.5)
    assert closure.duration.ToMilliseconds() == 2500
    assert closure.outputs.uri == "/a/outputs.pb"
    changes = [change for change in admin.published if isinstance(change, ExecutionChanged)]
    assert [change.terminal for change in changes] == [False, False, True]


def test_nothing_takes_less_than_no_time(admin, id):
    """The clock may be set back while something runs."""
    admin.workflow_event(id, Phase.RUNNING, 10)
    admin.node_event(id, "n0", NodePhase.RUNNING, 10)
    admin.task_event(id, "n0", TaskPhase.RUNNING, 10)
    admin.task_event(id, "n0", TaskPhase.SUCCEEDED, 6.5, output_uri="/a/outputs.pb")
    admin.node_event(id, "n0", NodePhase.SUCCEEDED, 6.5, output_uri="/a/outputs.pb")
    admin.workflow_event(id, Phase.SUCCEEDED, 6.5, output_uri="/a/outputs.pb")
    node = admin.nodes.get(node_execution_pb2.NodeExecutionGetRequest(id=admin.node_id(id, "n0")))
    (attempt,) = admin.attempts.of_node(node.id)
    for closure in (admin.execution(id).closure, node.closure, attempt.closure):
        assert closure.HasField("duration")
        assert closure.duration.ToMilliseconds() == 0
        assert closure.updated_at == admin.at(6.5)


def test_inline_outputs_are_kept_and_found_again(admin, id):
    admin.workflow_event(id, Phase.SUCCEEDED, output_data=admin.literal_map(o0=3))
    closure = admin.execution(id).closure
    assert not closure.HasField("duration")
    assert closure.outputs.uri
    data = admin.executions.data(execution_pb2.WorkflowExecutionGetDataRequest(id=id))
    assert data.full_outputs == admin.literal_map(o0=3)


def test_an_error_counts_from_failing_on(admin, id):
    admin.workflow_event(id, Phase.FAILING, error=ERROR)
    assert admin.execution(id).closure.error == ERROR
    admin.workflow_event(id, Phase.FAILED, 2)
    assert admin.execution(id).closure.error == ERROR


@pytest.mark.parametrize("phase", [Phase.RUNNING, Phase.SUCCEEDED])
def test_a_phase_is_recorded_once(admin, id, phase):
    admin.workflow_event(id, phase)
    error = refused(admin, AlreadyExists, id, phase)
    assert error.message.startswith(f"This phase {Phase.Phase.Name(phase)} was already recorded for workflow execution")


def test_what_has_ended_stays_ended(admin, id):
    admin.workflow_event(id, Phase.FAILED)
    error = refused(admin, FailedPrecondition, id, Phase.RUNNING)
    assert error.details[0].already_in_terminal_state.current_phase == "FAILED"


def test_nothing_goes_back_to_the_queue_but_the_queued(admin, id):
    admin.workflow_event(id, Phase.QUEUED)
    admin.workflow_event(id, Phase.QUEUED, producer_id="cluster-2")
    assert admin.execution(id).spec.metadata.system_metadata.execution_cluster == "cluster-2"
    admin.workflow_event(id, Phase.RUNNING, producer_id="cluster-2")
    error = refused(admin, FailedPrecondition, id, Phase.QUEUED)
    assert not error.details
    admin.workflow_event(id, Phase.FAILING)
    admin.workflow_event(id, Phase.RUNNING, 3)
    assert admin.execution(id).closure.started_at == admin.at(3)


def test_an_abort_ends_only_in_an_end_and_keeps_its_cause(admin, id):
    admin.executions.terminate(execution_pb2.ExecutionTerminateRequest(id=id, cause="enough"))
    for phase in (Phase.RUNNING, Phase.FAILING, Phase.SUCCEEDING):
        assert not refused(admin, FailedPrecondition, id, phase).details
    admin.workflow_event(id, Phase.ABORTED)
    closure = admin.execution(id).closure
    assert closure.phase == Phase.ABORTED
    assert closure.abort_metadata.cause == "enough"


def test_an_abort_with_an_error_still_shows_its_cause(admin, id):
    admin.executions.terminate(execution_pb2.ExecutionTerminateRequest(id=id, cause="enough"))
    admin.workflow_event(id, Phase.ABORTED, error=ERROR)
    assert admin.execution(id).closure.abort_metadata.cause == "enough"


def test_only_the_cluster_that_runs_it_may_tell(admin, id):
    admin.workflow_event(id, Phase.RUNNING, producer_id="propeller")
    error = refused(admin, FailedPrecondition, id, Phase.SUCCEEDED, producer_id="elsewhere")
    assert error.details[0].incompatible_cluster.cluster == "elsewhere"


def test_outputs_have_a_limit(admin, id, settings):
    error = refused(
        admin, ResourceExhausted, id, Phase.SUCCEEDED, output_data=admin.literal_map(o="x" * settings.max_inline_bytes)
    )
    assert error.message.startswith("Output data size exceeds platform configured threshold (")
    assert error.message.endswith(f" > {settings.max_inline_bytes})")
    assert admin.execution(id).closure.phase == Phase.UNDEFINED


def test_malformed_events_are_refused(admin, id):
    def send(**fields) -> None:
        event = event_pb2.WorkflowExecutionEvent(**fields)
        admin.events.create_workflow_event(event_requests.WorkflowExecutionEventRequest(event=event))

    with pytest.raises(InvalidArgument, match="without event"):
        send()
    with pytest.raises(InvalidArgument, match="doesn't have an execution id"):
        send(phase=Phase.RUNNING)
    with pytest.raises(InvalidArgument, match="occurred_at"):
        send(execution_id=id, phase=Phase.RUNNING)
    with pytest.raises(InvalidArgument, match="invalid value for phase"):
        send(execution_id=id, phase=99, occurred_at=admin.at(1))
    other = identifier_pb2.WorkflowExecutionIdentifier(project="p", domain="d", name="n")
    with pytest.raises(NotFound, match="missing entity of type execution with identifier"):
        send(execution_id=other, phase=Phase.RUNNING, occurred_at=admin.at(1))


def test_a_refused_event_changes_nothing(admin, id, store):
    admin.workflow_event(id, Phase.SUCCEEDED)
    before, position = admin.published.copy(), store.position
    refused(admin, FailedPrecondition, id, Phase.FAILED, output_data=admin.literal_map(o0=1))
    assert (admin.published, store.position) == (before, position)
