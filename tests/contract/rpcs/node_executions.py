"""The node execution RPCs."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from flytelite.errors import Code

from .listing import limit_error, list_errors, sorted_by
from .rows import Call, Row, changed, fails, refused, succeeds
from .words import (
    ATTEMPT,
    CREATE_WORKFLOW,
    HAVE_ATTEMPT,
    HAVE_NODE,
    HAVE_SUCCEEDED,
    NODE,
    ONE,
    OUTPUTS,
    PROJECT,
    RUN,
    WORKFLOW,
    at,
    named,
    node_event,
)

GET, DATA, DYNAMIC, LIST, LIST_FOR_TASK = (
    f"AdminService/{name}"
    for name in (
        "GetNodeExecution",
        "GetNodeExecutionData",
        "GetDynamicNodeWorkflow",
        "ListNodeExecutions",
        "ListNodeExecutionsForTask",
    )
)
EMPTY = "missing entity of type node execution with identifier "
INPUTS = {"literals": {"x": ONE}}
CLOSURE = {"primary": {"template": {"id": WORKFLOW, **CREATE_WORKFLOW["spec"]["template"]}}}
MADE = {"id": WORKFLOW, "compiled_workflow": CLOSURE, "dynamic_job_spec_uri": "s3://spec"}
HAVE_DYNAMIC = (
    *HAVE_NODE,
    node_event("DYNAMIC_RUNNING", 4, is_parent=True, is_dynamic=True, task_node_metadata={"dynamic_workflow": MADE}),
)


def child(name: str, **event: Any) -> Call:
    fields = {"id": {**NODE, "node_id": name}, "spec_node_id": name, **event}
    return node_event("QUEUED", 5, **fields)


HAVE_CHILDREN = (
    *HAVE_ATTEMPT,
    child("n0-0-dn0", parent_node_metadata={"node_id": "n0"}),
    child("n0-0-dn1", parent_task_metadata={"id": ATTEMPT}),
    child("n1"),
    node_event("FAILED", 6, id={**NODE, "node_id": "n1"}, error={"code": "Boom", "message": "é" * 60}),
)


def rows() -> Iterator[Row]:
    yield from _get()
    yield from _data()
    yield from _dynamic()
    yield from _list()
    yield from _list_errors()
    yield from _list_for_task()


def _unknown(method: str) -> Iterator[Row]:
    request = {"id": NODE}
    nowhere = changed(request, id__node_id="n9")
    yield fails(method, "an unknown node", nowhere, Code.NOT_FOUND, EMPTY, given=HAVE_NODE)
    nobody = changed(request, id__execution_id=named("nobody"))
    yield fails(method, "an unknown execution", nobody, Code.NOT_FOUND, EMPTY, given=HAVE_NODE)
    yield fails(method, "no id", {}, Code.NOT_FOUND, EMPTY, given=HAVE_NODE)


def _get() -> Iterator[Row]:
    request = {"id": NODE}
    closure = {"phase": "RUNNING", "started_at": at(2), "created_at": at(2)}
    running = {"id": NODE, "closure": closure, "metadata": {"spec_node_id": "n0"}}
    yield succeeds(GET, "one that runs", request, running, given=HAVE_NODE)
    ended = {"closure": {"phase": "SUCCEEDED", "duration": "3s"}}
    yield succeeds(GET, "one that has ended", request, ended, given=HAVE_SUCCEEDED)
    yield from _unknown(GET)


def _data() -> Iterator[Row]:
    request = {"id": NODE}
    url = f"flyte://v1/{PROJECT}/development/run/n0"
    urls = {"inputs": f"{url}/i", "outputs": f"{url}/o", "deck": None}
    answer = {"inputs": {}, "outputs": {}, "full_inputs": INPUTS, "full_outputs": OUTPUTS, "flyte_urls": urls}
    yield succeeds(DATA, "of one that has ended", request, answer, given=HAVE_SUCCEEDED)
    decked = (*HAVE_NODE, node_event("SUCCEEDED", 4, deck_uri="s3://deck"))
    answer = {"full_outputs": {"literals": None}, "flyte_urls": {"deck": f"{url}/d"}}
    yield succeeds(DATA, "with a deck", request, answer, given=decked)
    answer = {"dynamic_workflow": MADE}
    yield succeeds(DATA, "with a dynamic workflow", request, answer, given=HAVE_DYNAMIC)
    yield from _unknown(DATA)


def _dynamic() -> Iterator[Row]:
    request = {"id": NODE}
    yield succeeds(DYNAMIC, "of a dynamic node", request, {"compiled_workflow": CLOSURE}, given=HAVE_DYNAMIC)
    words = "node does not contain dynamic workflow"
    yield fails(DYNAMIC, "of a plain node", request, Code.NOT_FOUND, words, given=HAVE_NODE)
    yield from _unknown(DYNAMIC)


def _nodes(*ids: str) -> dict[str, Any]:
    return {"node_executions": [{"id": {"node_id": id}} for id in ids] or None}


def _list() -> Iterator[Row]:
    everything = {"workflow_execution_id": RUN, "limit": 10}
    failed = {"id": {"node_id": "n1"}, "closure": {"error": {"message": "é" * 50}}}
    parent = {"id": NODE, "metadata": {"is_parent_node": True}}
    top = {"node_executions": [parent, failed], "token": None}
    yield succeeds(LIST, "the top level", everything, top, given=HAVE_CHILDREN)
    below = changed(everything, unique_parent_id="n0")
    yield succeeds(LIST, "below a node", below, _nodes("n0-0-dn0"), given=HAVE_CHILDREN)
    page = changed(everything, limit=1, sort_by=sorted_by("created_at", "DESCENDING"))
    yield succeeds(LIST, "a page", page, {**_nodes("n1"), "token": "1"}, given=HAVE_CHILDREN)
    filters = {
        "eq(phase,FAILED)": ["n1"],
        "eq(node_execution.node_id,n0)": ["n0"],
        "eq(execution.phase,RUNNING)+eq(error_code,Boom)": ["n1"],
        "eq(execution.phase,FAILED)": [],
        "gt(duration,0.5)": [],
    }
    for text, ids in filters.items():
        yield succeeds(LIST, f"filters {text}", changed(everything, filters=text), _nodes(*ids), given=HAVE_CHILDREN)
    nobody = changed(everything, workflow_execution_id=named("nobody"))
    yield succeeds(LIST, "of an unknown execution", nobody, _nodes(), given=HAVE_NODE)


def _list_errors() -> Iterator[Row]:
    everything = {"workflow_execution_id": RUN, "limit": 10}
    unknown = changed(everything, unique_parent_id="n9")
    yield fails(LIST, "below an unknown node", unknown, Code.NOT_FOUND, EMPTY, given=HAVE_NODE)
    yield limit_error(LIST, everything)
    yield refused(LIST, "no execution", changed(everything, workflow_execution_id=None), "missing execution_id")
    for part in ("project", "domain", "name"):
        request = changed(everything, **{f"workflow_execution_id__{part}": None})
        yield refused(LIST, f"no {part}", request, "missing execution_id")
    yield from list_errors(LIST, everything, rpc="ListNodeExecutions", code="ne", foreign="workflow:w")
    soon = changed(everything, filters="lt(duration,soon)")
    yield refused(LIST, "a bad duration", soon, "Failed to parse duration [soon]")


def _list_for_task() -> Iterator[Row]:
    request = {"task_execution_id": ATTEMPT, "limit": 10}
    yield succeeds(LIST_FOR_TASK, "all", request, _nodes("n0-0-dn1"), given=HAVE_CHILDREN)
    untyped = changed(request, task_execution_id__task_id__resource_type=None)
    yield succeeds(LIST_FOR_TASK, "no type", untyped, _nodes("n0-0-dn1"), given=HAVE_CHILDREN)
    yield succeeds(LIST_FOR_TASK, "none", request, _nodes(), given=HAVE_ATTEMPT)
    yield limit_error(LIST_FOR_TASK, request)
    unknown = changed(request, task_execution_id__retry_attempt=9)
    words = "missing entity of type task execution with identifier "
    yield fails(LIST_FOR_TASK, "an unknown attempt", unknown, Code.NOT_FOUND, words, given=HAVE_ATTEMPT)
    yield from task_execution_identifier_errors(LIST_FOR_TASK, request, "task_execution_id")
    yield from list_errors(
        LIST_FOR_TASK, request, rpc="ListNodeExecutions", code="ne", foreign="task:t", given=HAVE_ATTEMPT
    )


def task_execution_identifier_errors(method: str, request: dict[str, Any], path: str) -> Iterator[Row]:
    """What a full TaskExecutionIdentifier must have."""
    missing = {
        "": "missing id",
        "__task_id": "missing task_id",
        "__task_id__project": "missing project",
        "__task_id__version": "missing version",
        "__node_execution_id": "missing node_execution_id",
        "__node_execution_id__node_id": "missing node_id",
        "__node_execution_id__execution_id": "missing execution_id",
        "__node_execution_id__execution_id__domain": "missing domain",
    }
    for part, message in missing.items():
        title = f"no {(path + part).replace('__', '.')}"
        yield refused(method, title, changed(request, **{f"{path}{part}": None}), message)
    wrong = changed(request, **{f"{path}__task_id__resource_type": "WORKFLOW"})
    yield refused(method, "of a workflow", wrong, "unexpected resource type workflow for identifier [")
