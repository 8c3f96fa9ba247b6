"""The event RPCs."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from flytelite.errors import Code

from .executions import EMPTY, GET_RUN
from .rows import Call, Row, changed, edited, fails, refused, succeeds
from .words import (
    ATTEMPT,
    HAVE_ABORTING,
    HAVE_ATTEMPT,
    HAVE_EXECUTION,
    HAVE_NODE,
    HAVE_SUCCEEDED,
    NODE,
    OUTPUTS,
    RUN,
    at,
    named,
    node_event,
    task_event,
    terminal,
    workflow_event,
)

WORKFLOW_EVENT, NODE_EVENT, TASK_EVENT = (f"AdminService/Create{kind}Event" for kind in ("Workflow", "Node", "Task"))
GET_NODE = Call("AdminService/GetNodeExecution", {"id": NODE})
GET_ATTEMPT = Call("AdminService/GetTaskExecution", {"id": ATTEMPT})
FOREIGN = {
    "@type": "type.googleapis.com/flyteidl.admin.EventFailureReason",
    "incompatible_cluster": {"cluster": "elsewhere"},
}
ERROR = {"kind": "USER", "code": "Boom", "message": "it broke"}
SMALL = {"max_inline_bytes": 4}
EXCEEDS = "Output data size exceeds platform configured threshold ("


def rows() -> Iterator[Row]:
    yield from _workflow_events()
    yield from _workflow_event_errors()
    yield from _node_events()
    yield from _node_event_errors()
    yield from _task_events()
    yield from _task_event_errors()


def _event(call: Call, title: str, *, given: Any, then: list[tuple[Call, Any]] | None = None) -> Row:
    return succeeds(call.method, title, call.request, given=given, then=then or [])


def _workflow_events() -> Iterator[Row]:
    def closure(**expected: Any) -> list[tuple[Call, Any]]:
        return [(GET_RUN, {"closure": expected})]

    then = closure(phase="RUNNING", started_at=at(5), updated_at=at(5))
    yield _event(workflow_event("RUNNING", 5), "RUNNING", given=HAVE_EXECUTION, then=then)
    running = (*HAVE_EXECUTION, workflow_event("RUNNING", 5))
    ended = workflow_event("SUCCEEDED", 7.5, output_uri="s3://outputs")
    then = closure(phase="SUCCEEDED", duration="2.500s", outputs={"uri": "s3://outputs"})
    yield _event(ended, "SUCCEEDED", given=running, then=then)
    inline = workflow_event("SUCCEEDED", 7, output_data=OUTPUTS)
    then = [(Call("AdminService/GetExecutionData", {"id": RUN}), {"full_outputs": OUTPUTS})]
    yield _event(inline, "SUCCEEDED with inline outputs", given=running, then=then)
    failing = workflow_event("FAILING", 6, error=ERROR)
    yield _event(failing, "FAILING", given=running, then=closure(phase="FAILING", error=ERROR))
    late = workflow_event("ABORTED", 9)
    then = closure(phase="ABORTED", abort_metadata={"cause": "enough"})
    yield _event(late, "ABORTED keeps the cause", given=HAVE_ABORTING, then=then)
    yield _event(workflow_event("FAILED", 9, error=ERROR), "FAILED while aborting", given=HAVE_ABORTING)
    queued = workflow_event("QUEUED", 1)
    yield _event(queued, "QUEUED again", given=(*HAVE_EXECUTION, queued), then=closure(phase="QUEUED"))
    propeller = workflow_event("RUNNING", 1, producer_id="propeller")
    yield _event(propeller, "of propeller", given=HAVE_EXECUTION)


def _workflow_event_errors() -> Iterator[Row]:
    method, running = WORKFLOW_EVENT, (*HAVE_EXECUTION, workflow_event("RUNNING"))
    event = workflow_event("RUNNING", 2).request
    yield refused(method, "no event", {}, "without event")
    yield refused(method, "no execution id", changed(event, event__execution_id=None), "doesn't have an execution id")
    unknown = workflow_event("RUNNING", execution_id=named("nobody")).request
    yield fails(method, "an unknown execution", unknown, Code.NOT_FOUND, EMPTY, given=HAVE_EXECUTION)
    large = workflow_event("SUCCEEDED", 2, output_data=OUTPUTS).request
    more = {"given": running, "settings": SMALL}
    yield fails(method, "large outputs", large, Code.RESOURCE_EXHAUSTED, EXCEEDS, **more)
    words = "This phase RUNNING was already recorded for workflow execution "
    yield fails(method, "a phase twice", event, Code.ALREADY_EXISTS, words, given=running)
    foreign = changed(event, event__producer_id="elsewhere")
    words = "Cluster/producer from event [elsewhere] does not match existing workflow execution cluster: []"
    more = {"details": [FOREIGN], "given": HAVE_EXECUTION}
    yield fails(method, "another producer", foreign, Code.FAILED_PRECONDITION, words, **more)
    words = "Invalid phase change from SUCCEEDED to RUNNING for workflow execution "
    more = {"details": [terminal("SUCCEEDED")], "given": HAVE_SUCCEEDED}
    yield fails(method, "after the end", event, Code.FAILED_PRECONDITION, words, **more)
    queued = workflow_event("QUEUED", 2).request
    words = "Cannot go from RUNNING to QUEUED for workflow execution "
    yield fails(method, "back to QUEUED", queued, Code.FAILED_PRECONDITION, words, given=running)
    for phase in ("RUNNING", "FAILING", "SUCCEEDING"):
        request = workflow_event(phase, 9).request
        words = f"Invalid phase change from aborting to {phase} for workflow execution "
        yield fails(method, f"{phase} while aborting", request, Code.FAILED_PRECONDITION, words, given=HAVE_ABORTING)
    yield from _time_errors(method, event, HAVE_EXECUTION)


def _time_errors(method: str, request: dict[str, Any], given: Any) -> Iterator[Row]:
    untimed = changed(request, event__occurred_at=None)
    yield refused(method, "no time", untimed, "occurred_at", given=given)
    row = refused(method, "a time beyond all years", request, "timestamp of 999999999999 seconds", given=given)
    yield edited(row, _beyond_all_years)
    numbered = changed(request, event__phase=77)
    yield refused(method, "another phase", numbered, "invalid value for phase", given=given)


def _beyond_all_years(request: Any) -> None:
    request.event.occurred_at.seconds = 999_999_999_999


def _node_events() -> Iterator[Row]:
    def node(**expected: Any) -> list[tuple[Call, Any]]:
        return [(GET_NODE, expected)]

    first = node_event("QUEUED", 2, retry_group="0", is_parent=True)
    metadata = {"retry_group": "0", "spec_node_id": "n0", "is_parent_node": True}
    then = node(closure={"phase": "QUEUED", "created_at": at(2), "updated_at": at(2)}, metadata=metadata)
    yield _event(first, "the first", given=HAVE_EXECUTION, then=then)
    ended = node_event("SUCCEEDED", 7, output_uri="s3://o", deck_uri="s3://d", reported_at=at(8))
    closure = {"duration": "5s", "output_uri": "s3://o", "deck_uri": "s3://d", "updated_at": at(8)}
    yield _event(ended, "SUCCEEDED", given=HAVE_NODE, then=node(closure=closure))
    failed = node_event("FAILED", 7, error=ERROR)
    yield _event(failed, "FAILED", given=HAVE_NODE, then=node(closure={"phase": "FAILED", "error": ERROR}))
    cached = {"catalog_key": {"dataset_id": {"name": "d"}}, "cache_status": "CACHE_HIT", "checkpoint_uri": "s3://c"}
    hit = node_event("SUCCEEDED", 7, task_node_metadata=cached)
    yield _event(hit, "a cache hit", given=HAVE_NODE, then=node(closure={"task_node_metadata": cached}))
    child = node_event("QUEUED", 4, id={**NODE, "node_id": "n0-0-n1"}, parent_node_metadata={"node_id": "n0"})
    below = Call(
        "AdminService/ListNodeExecutions", {"workflow_execution_id": RUN, "limit": 9, "unique_parent_id": "n0"}
    )
    then = [(below, {"node_executions": [{"id": {"node_id": "n0-0-n1"}}]})]
    yield _event(child, "below a node", given=HAVE_NODE, then=then)
    launched = node_event("SUCCEEDED", 7, workflow_node_metadata={"execution_id": RUN})
    then = node(closure={"workflow_node_metadata": {"executionId": RUN}})
    yield _event(launched, "of a launched execution", given=HAVE_NODE, then=then)
    late = (*HAVE_NODE, workflow_event("FAILED", 4))
    yield _event(node_event("ABORTED", 5), "after the execution's end", given=late)


def _node_event_errors() -> Iterator[Row]:
    method, event = NODE_EVENT, node_event("SUCCEEDED", 4).request
    yield refused(method, "no event", {}, "missing event")
    yield refused(method, "no node id", changed(event, event__id__node_id=None), "missing node_id")
    words = "Failed to get existing execution id: ["
    unknown = changed(event, event__id={"execution_id": named("nobody"), "node_id": "n0"})
    yield fails(method, "an unknown execution", unknown, Code.NOT_FOUND, words, given=HAVE_EXECUTION)
    foreign = changed(event, event__producer_id="elsewhere")
    words = "Cluster/producer from event [elsewhere] does not match existing workflow execution cluster: []"
    more = {"details": [FOREIGN], "given": HAVE_NODE}
    yield fails(method, "another producer", foreign, Code.FAILED_PRECONDITION, words, **more)
    again = node_event("RUNNING", 4).request
    words = "This phase was already recorded RUNNING for "
    yield fails(method, "a phase twice", again, Code.ALREADY_EXISTS, words, given=HAVE_NODE)
    words = "Invalid phase change from SUCCEEDED to RUNNING for node execution "
    more = {"details": [terminal("RUNNING")], "given": HAVE_SUCCEEDED}
    yield fails(method, "after the end", again, Code.FAILED_PRECONDITION, words, **more)
    stray = changed(event, event__workflow_node_metadata={"execution_id": named("nobody")})
    yield fails(method, "of an unknown launched execution", stray, Code.NOT_FOUND, EMPTY, given=HAVE_NODE)
    child = changed(event, event__id__node_id="n1", event__parent_node_metadata={"node_id": "n9"})
    words = "missing entity of type node execution with identifier "
    yield fails(method, "below an unknown node", child, Code.NOT_FOUND, words, given=HAVE_NODE)
    child = changed(event, event__id__node_id="n1", event__parent_task_metadata={"id": {**ATTEMPT, "retry_attempt": 9}})
    words = "missing entity of type task execution with identifier "
    yield fails(method, "below an unknown attempt", child, Code.NOT_FOUND, words, given=HAVE_ATTEMPT)
    yield from _time_errors(method, event, HAVE_EXECUTION)


def _task_events() -> Iterator[Row]:
    def attempt(**expected: Any) -> list[tuple[Call, Any]]:
        return [(GET_ATTEMPT, {"id": {"node_execution_id": NODE}, **expected})]

    first = task_event("QUEUED", 3, task_type="python-task", reason="queued", custom_info={"a": 1, "b": 2})
    closure = {"phase": "QUEUED", "created_at": at(3), "task_type": "python-task", "reason": "queued"}
    reasons = [{"occurred_at": at(3), "message": "queued"}]
    yield _event(first, "the first", given=HAVE_NODE, then=attempt(closure={**closure, "reasons": reasons}))
    patch = task_event("RUNNING", 4, custom_info={"a": None, "c": 3}, logs=[{"uri": "u", "name": "n"}])
    closure = {"started_at": at(4), "custom_info": {"a": None, "b": 2, "c": 3}, "logs": [{"uri": "u", "name": "n"}]}
    yield _event(patch, "RUNNING", given=(*HAVE_NODE, first), then=attempt(closure=closure))
    version = task_event("RUNNING", 4, phase_version=1, reason="more")
    yield _event(version, "RUNNING of a later version", given=HAVE_ATTEMPT)
    ended = task_event("SUCCEEDED", 5, output_uri="s3://o")
    then = attempt(closure={"phase": "SUCCEEDED", "duration": "2s", "output_uri": "s3://o"})
    yield _event(ended, "SUCCEEDED", given=HAVE_ATTEMPT, then=then)
    failed = task_event("FAILED", 5, error=ERROR)
    yield _event(failed, "FAILED", given=HAVE_ATTEMPT, then=attempt(closure={"phase": "FAILED", "error": ERROR}))
    yield _event(task_event("RETRYABLE_FAILED", 5), "RETRYABLE_FAILED", given=HAVE_ATTEMPT)
    resources = [{"external_id": "e", "index": 1, "phase": "RUNNING"}, {"external_id": "d", "phase": "QUEUED"}]
    array = task_event("RUNNING", 4, phase_version=1, metadata={"external_resources": resources})
    then = attempt(closure={"metadata": {"external_resources": [{"external_id": "e"}, {"external_id": "d"}]}})
    yield _event(array, "with external resources", given=HAVE_ATTEMPT, then=then)


def _task_event_errors() -> Iterator[Row]:
    method, event = TASK_EVENT, task_event("RUNNING", 4).request
    yield refused(method, "no event", {}, "missing event")
    missing = {
        "occurred_at": "missing occurred_at",
        "parent_node_execution_id": "missing node_execution_id",
        "parent_node_execution_id__node_id": "missing node_id",
        "parent_node_execution_id__execution_id": "missing execution_id",
        "parent_node_execution_id__execution_id__name": "missing name",
        "task_id": "missing task_id",
        "task_id__version": "missing version",
    }
    for path, message in missing.items():
        yield refused(method, f"no {path.replace('__', '.')}", changed(event, **{f"event__{path}": None}), message)
    wrong = changed(event, event__task_id__resource_type="WORKFLOW")
    yield refused(method, "of a workflow", wrong, "unexpected resource type workflow for identifier [")
    large = changed(event, event__output_data=OUTPUTS)
    more = {"given": HAVE_ATTEMPT, "settings": SMALL}
    yield fails(method, "large outputs", large, Code.RESOURCE_EXHAUSTED, EXCEEDS, **more)
    unknown = changed(event, event__parent_node_execution_id__execution_id__name="nobody")
    yield fails(method, "an unknown execution", unknown, Code.NOT_FOUND, EMPTY, given=HAVE_EXECUTION)
    words = "Failed to get existing node execution id: ["
    yield fails(method, "an unknown node", event, Code.NOT_FOUND, words, given=HAVE_EXECUTION)
    foreign = changed(event, event__producer_id="elsewhere")
    words = "Cluster/producer from event [elsewhere] does not match existing workflow execution cluster: []"
    more = {"details": [FOREIGN], "given": HAVE_NODE}
    yield fails(method, "another producer", foreign, Code.FAILED_PRECONDITION, words, **more)
    words = "have already recorded task execution phase RUNNING (version: 0) for "
    yield fails(method, "a phase twice", event, Code.ALREADY_EXISTS, words, given=HAVE_ATTEMPT)
    later = changed(event, event__phase_version=1)
    words = "invalid phase change from SUCCEEDED to RUNNING for task execution "
    more = {"details": [terminal("RUNNING")], "given": HAVE_SUCCEEDED}
    yield fails(method, "after the end", later, Code.FAILED_PRECONDITION, words, **more)
    numbered = changed(event, event__phase=77)
    yield refused(method, "another phase", numbered, "invalid value for phase", given=HAVE_NODE)
    row = refused(method, "a time beyond all years", event, "timestamp of 999999999999 seconds")
    yield edited(row, _beyond_all_years)
