"""The task execution RPCs."""

from __future__ import annotations

from collections.abc import Iterator

from flytelite.errors import Code

from .listing import limit_error, list_errors, sorted_by
from .node_executions import INPUTS, task_execution_identifier_errors
from .rows import Row, changed, fails, refused, succeeds
from .words import (
    ATTEMPT,
    HAVE_ATTEMPT,
    HAVE_NODE,
    HAVE_SUCCEEDED,
    NODE,
    OUTPUTS,
    PROJECT,
    at,
    named,
    task_event,
)

GET, DATA, LIST = (
    f"AdminService/{name}" for name in ("GetTaskExecution", "GetTaskExecutionData", "ListTaskExecutions")
)
EMPTY = "missing entity of type task execution with identifier "
HAVE_TWO = (
    *HAVE_ATTEMPT,
    task_event("FAILED", 4, error={"kind": "USER", "code": "Boom", "message": "m" * 200}),
    task_event("RUNNING", 5, retry_attempt=1),
)


def rows() -> Iterator[Row]:
    yield from _get()
    yield from _data()
    yield from _list()


def _get() -> Iterator[Row]:
    request = {"id": ATTEMPT}
    running = {"id": {"node_execution_id": NODE}, "closure": {"phase": "RUNNING", "started_at": at(3)}}
    yield succeeds(GET, "one that runs", request, running, given=HAVE_ATTEMPT)
    untyped = changed(request, id__task_id__resource_type=None)
    yield succeeds(GET, "without a type", untyped, running, given=HAVE_ATTEMPT)
    ended = {"closure": {"phase": "SUCCEEDED", "duration": "1s"}}
    yield succeeds(GET, "one that has ended", request, ended, given=HAVE_SUCCEEDED)
    yield from _errors(GET)


def _errors(method: str) -> Iterator[Row]:
    request = {"id": ATTEMPT}
    unknown = changed(request, id__retry_attempt=9)
    yield fails(method, "an unknown attempt", unknown, Code.NOT_FOUND, EMPTY, given=HAVE_ATTEMPT)
    nobody = changed(request, id__node_execution_id__execution_id=named("nobody"))
    yield fails(method, "an unknown execution", nobody, Code.NOT_FOUND, EMPTY, given=HAVE_ATTEMPT)
    yield from task_execution_identifier_errors(method, request, "id")


def _data() -> Iterator[Row]:
    url = f"flyte://v1/{PROJECT}/development/run/n0/0"
    urls = {"inputs": f"{url}/i", "outputs": f"{url}/o", "deck": None}
    answer = {"inputs": {}, "outputs": {}, "full_inputs": INPUTS, "full_outputs": OUTPUTS, "flyte_urls": urls}
    yield succeeds(DATA, "of one that has ended", {"id": ATTEMPT}, answer, given=HAVE_SUCCEEDED)
    running = {**answer, "full_outputs": {"literals": None}}
    yield succeeds(DATA, "of one that runs", {"id": ATTEMPT}, running, given=HAVE_ATTEMPT)
    yield from _errors(DATA)


def _list() -> Iterator[Row]:
    everything = {"node_execution_id": NODE, "limit": 10}
    first = {"id": {"retry_attempt": None}, "closure": {"error": {"message": "m" * 200}}}
    second = {"id": {"retry_attempt": 1}}
    yield succeeds(LIST, "all", everything, {"task_executions": [first, second], "token": None}, given=HAVE_TWO)
    page = changed(everything, limit=1, sort_by=sorted_by("retry_attempt", "DESCENDING"))
    yield succeeds(LIST, "a page", page, {"task_executions": [second], "token": "1"}, given=HAVE_TWO)
    filters = {
        "eq(phase,RUNNING)": [second],
        "eq(task.name,double)+eq(retry_attempt,0)": [first],
        "eq(task.type,python-task)+lt(retry_attempt,1)": [first],
        "eq(execution.phase,RUNNING)+eq(node_execution.phase,RUNNING)": [first, second],
        "eq(name,double)": None,
        "eq(name,run)": [first, second],
    }
    for text, executions in filters.items():
        request = changed(everything, filters=text)
        yield succeeds(LIST, f"filters {text}", request, {"task_executions": executions}, given=HAVE_TWO)
    nowhere = changed(everything, node_execution_id__node_id="n9")
    yield succeeds(LIST, "of an unknown node", nowhere, {"task_executions": None}, given=HAVE_NODE)
    yield limit_error(LIST, everything)
    missing = {
        "node_execution_id": "missing id",
        "node_execution_id__node_id": "missing node_id",
        "node_execution_id__execution_id": "missing execution_id",
        "node_execution_id__execution_id__project": "missing project",
    }
    for path, message in missing.items():
        yield refused(LIST, f"no {path.replace('__', '.')}", changed(everything, **{path: None}), message)
    yield from list_errors(LIST, everything, rpc="ListTaskExecutions", code="te", foreign="workflow:w")
