"""The execution RPCs."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

from flytelite.errors import Code

from .listing import list_errors, scope_errors, sorted_by
from .projects import project_and_domain_errors
from .rows import Call, Row, changed, edited, fails, refused, succeeds
from .tasks import identifier_part_errors
from .words import (
    CREATE_EXECUTION,
    HAVE_ABORTING,
    HAVE_EXECUTION,
    HAVE_NODE,
    HAVE_PLAN,
    HAVE_SUCCEEDED,
    NODE,
    ONE,
    OUTPUTS,
    PLAN,
    RUN,
    SCOPE,
    TASK,
    TEXT,
    WORKFLOW,
    named,
    node_event,
    plan,
    run,
    terminal,
    workflow_event,
)

CREATE, GET, DATA, LIST, UPDATE, TERMINATE, METRICS = (
    f"AdminService/{name}"
    for name in (
        "CreateExecution",
        "GetExecution",
        "GetExecutionData",
        "ListExecutions",
        "UpdateExecution",
        "TerminateExecution",
        "GetExecutionMetrics",
    )
)
GET_RUN = Call(GET, {"id": RUN})
INPUTS = {"literals": {"x": ONE}}
EMPTY = "missing entity of type execution with identifier "
SYSTEM = {"system_metadata": {"namespace": "flytesnacks-development"}}


def rows() -> Iterator[Row]:
    yield from _create()
    yield from _create_errors()
    yield from _input_errors()
    yield from _children()
    yield from _get()
    yield from _data()
    yield from _list()
    yield from _update()
    yield from _terminate()
    yield from _metrics()


def execution_identifier_errors(method: str, request: dict[str, Any]) -> Iterator[Row]:
    yield refused(method, "no id", changed(request, id=None), "missing id")
    for part in ("project", "domain", "name"):
        yield refused(method, f"no {part}", changed(request, **{f"id__{part}": None}), f"missing {part}")
    nobody = changed(request, id__name="nobody")
    yield fails(method, "an unknown execution", nobody, Code.NOT_FOUND, EMPTY, given=HAVE_PLAN)


def _create() -> Iterator[Row]:
    spec = {
        "launch_plan": PLAN,
        "metadata": {"mode": None, "principal": None, **SYSTEM},
        "max_parallelism": 25,
        "security_context": {"run_as": {}},
        "inputs": None,
    }
    closure = {"phase": None, "workflow_id": WORKFLOW, "started_at": None, "state_change_details": {"state": None}}
    stored = {"id": RUN, "spec": spec, "closure": closure}
    then = [(GET_RUN, stored), (Call(DATA, {"id": RUN}), {"full_inputs": INPUTS})]
    mine = changed(CREATE_EXECUTION, spec__metadata__principal="me")
    yield succeeds(CREATE, "of a launch plan", mine, {"id": RUN}, given=HAVE_PLAN, then=then)
    console = changed(CREATE_EXECUTION, inputs=None, spec__inputs=INPUTS)
    then = [(GET_RUN, {"spec": {"inputs": INPUTS}}), (Call(DATA, {"id": RUN}), {"full_inputs": INPUTS})]
    yield succeeds(CREATE, "with inputs in the spec, as flyteconsole", console, {"id": RUN}, given=HAVE_PLAN, then=then)
    nameless = changed(CREATE_EXECUTION, name=None)
    answer = {"id": {**SCOPE, "name": re.compile("a[bcdfghjklmnpqrstvwxz2456789]{19}")}}
    yield succeeds(CREATE, "without a name", nameless, answer, given=HAVE_PLAN, varies=["id.name"])
    upper = changed(CREATE_EXECUTION, name="Run-1")
    yield succeeds(CREATE, "with a name in upper case", upper, {"id": {"name": "Run-1"}}, given=HAVE_PLAN)
    default = plan("v2", default_inputs={"parameters": {"x": {"var": {"type": {"simple": "INTEGER"}}, "default": ONE}}})
    bare = changed(CREATE_EXECUTION, inputs=None, spec__launch_plan__version="v2")
    then = [(Call(DATA, {"id": RUN}), {"full_inputs": INPUTS})]
    yield succeeds(CREATE, "with a default input", bare, {"id": RUN}, given=(*HAVE_PLAN, default), then=then)
    labelled = changed(CREATE_EXECUTION, spec__labels={"values": {"team": "blue"}}, spec__tags=["nightly"])
    tagged = Call(LIST, {"id": SCOPE, "limit": 1, "filters": "eq(execution_tag.key,team)+eq(execution_tag.value,blue)"})
    then = [(tagged, {"executions": [{"id": RUN}]})]
    yield succeeds(CREATE, "with labels and tags", labelled, {"id": RUN}, given=HAVE_PLAN, then=then)
    alone = changed(CREATE_EXECUTION, spec__launch_plan=TASK)
    generated = {**TASK, "resource_type": "WORKFLOW", "name": ".flytegen.double"}
    workflow = Call("AdminService/GetWorkflow", {"id": generated})
    plan_of_task = Call("AdminService/GetLaunchPlan", {"id": {**generated, "resource_type": "LAUNCH_PLAN"}})
    then = [
        (GET_RUN, {"closure": {"workflow_id": generated}, "spec": {"launch_plan": TASK}}),
        (workflow, {}),
        (plan_of_task, {"spec": {"workflow_id": {**TASK, "resource_type": "WORKFLOW"}}}),
    ]
    yield succeeds(CREATE, "of a task", alone, {"id": RUN}, given=HAVE_PLAN, then=then)


def _create_errors() -> Iterator[Row]:
    yield refused(CREATE, "no project", changed(CREATE_EXECUTION, project=None), "missing project")
    yield refused(CREATE, "no domain", changed(CREATE_EXECUTION, domain=None), "missing domain")
    for name, words in {
        "x" * 64: "size of name exceeded length 63 : " + "x" * 64,
        "1run": "invalid name format: 1run, does not match regex '^[a-z][a-z\\-0-9]*$'",
        "my_run": "invalid name format: my_run",
        "run\n": "invalid name format: run",
    }.items():
        yield refused(CREATE, f"name {name!r}", changed(CREATE_EXECUTION, name=name), words)
    yield from project_and_domain_errors(CREATE, CREATE_EXECUTION)
    yield refused(CREATE, "no spec", changed(CREATE_EXECUTION, spec=None), "missing spec")
    yield refused(CREATE, "no launch plan", changed(CREATE_EXECUTION, spec__launch_plan=None), "missing id")
    yield from (
        refused(CREATE, f"launch plan: {row.title}", row.call.request, row.message)
        for row in identifier_part_errors(CREATE, CREATE_EXECUTION, "spec__launch_plan")
    )
    for kind in ("UNSPECIFIED", "WORKFLOW"):
        request = changed(CREATE_EXECUTION, spec__launch_plan__resource_type=kind)
        yield refused(CREATE, f"a {kind}", request, f"Invalid reference entity resource type [{kind}]", given=HAVE_PLAN)
    for id in (PLAN, TASK):
        kind = id["resource_type"]
        unknown = changed(CREATE_EXECUTION, spec__launch_plan={**id, "version": "v9"})
        words = f"missing entity of type {kind} with identifier "
        yield fails(CREATE, f"an unknown {kind}", unknown, Code.NOT_FOUND, words, given=HAVE_PLAN)
    words = "value with matching already exists"
    yield fails(CREATE, "a name that is taken", CREATE_EXECUTION, Code.ALREADY_EXISTS, words, given=HAVE_EXECUTION)
    alone = changed(CREATE_EXECUTION, spec__launch_plan=TASK)
    yield fails(CREATE, "a taken name, of a task", alone, Code.ALREADY_EXISTS, words, given=HAVE_EXECUTION)
    policy = {"concurrency_policy": {"max": 1, "behavior": "CONCURRENCY_LIMIT_BEHAVIOR_SKIP"}}
    policed = changed(PLAN, version="v2")
    given = (*HAVE_PLAN, plan("v2", **policy), run("run", launch_plan=policed), workflow_event("RUNNING"))
    second = changed(CREATE_EXECUTION, name="second", spec__launch_plan=policed)
    words = "concurrency limit (1) reached for launch plan double; skipping execution"
    yield fails(CREATE, "beyond the concurrency limit", second, Code.ALREADY_EXISTS, words, given=given)
    pool = {"cluster_assignment": {"cluster_pool_name": "gold"}}
    assign = Call(
        "AdminService/UpdateProjectDomainAttributes",
        {"attributes": {**SCOPE, "matching_attributes": pool}},
    )
    silver = changed(CREATE_EXECUTION, spec__cluster_assignment={"cluster_pool_name": "silver"})
    yield refused(CREATE, "another cluster pool", silver, "cannot run on cluster pool", given=(*HAVE_PLAN, assign))


def _input_errors() -> Iterator[Row]:
    untyped = {"collection": {"literals": [{}]}}
    refusals: dict[str, tuple[dict[str, Any], str]] = {
        "an input without a name": ({"": ONE}, "missing key in inputs"),
        "an input without a value": ({"x": {}}, "missing valid literal in inputs x"),
        "an unknown input": ({"x": ONE, "y": ONE}, "invalid input y"),
        "a missing input": ({}, "expected_inputs x missing"),
        "another type": ({"x": TEXT}, "invalid x input wrong type. Expected simple:INTEGER, but got simple:STRING"),
        "no type": ({"x": untyped}, "Failed to validate literal type for [x] with err: got unknown literal type"),
    }
    for title, (literals, message) in refusals.items():
        request = changed(CREATE_EXECUTION, inputs={"literals": literals})
        yield refused(CREATE, title, request, message, given=HAVE_PLAN)
    row = refused(CREATE, "a time beyond all years", CREATE_EXECUTION, "timestamp of 999999999999 seconds lies outside")
    yield edited(replace(row, given=HAVE_PLAN), _beyond_all_years)
    fixed = plan("v2", fixed_inputs={"literals": {"x": ONE}})
    request = changed(CREATE_EXECUTION, spec__launch_plan__version="v2")
    yield refused(CREATE, "a fixed input", request, "invalid input x", given=(*HAVE_PLAN, fixed))
    specs: dict[str, tuple[dict[str, Any], str]] = {
        "17 labels": (
            {"labels": {"values": {f"k{n}": "" for n in range(17)}}},
            "labels map cannot exceed 16 entries",
        ),
        "a bad label": ({"labels": {"values": {"k": "v "}}}, "invalid label value [v ]: ["),
        "a notification of no kind": (
            {"notifications": {"notifications": [{"phases": ["FAILED"]}]}},
            "invalid value for notification type",
        ),
        "a notification to nobody": (
            {"notifications": {"notifications": [{"email": {}, "phases": ["FAILED"]}]}},
            "missing recipients",
        ),
    }
    for title, (spec, message) in specs.items():
        request = changed(CREATE_EXECUTION, **{f"spec__{name}": value for name, value in spec.items()})
        yield refused(CREATE, title, request, message, given=HAVE_PLAN)


def _beyond_all_years(request: Any) -> None:
    request.inputs.literals["x"].scalar.primitive.datetime.seconds = 999_999_999_999


def _children() -> Iterator[Row]:
    metadata = {"mode": "CHILD_WORKFLOW", "parent_node_execution": NODE}
    child = changed(CREATE_EXECUTION, name="child", spec__metadata=metadata)
    then = [(Call(GET, {"id": named("child")}), {"spec": {"metadata": {"nesting": 1, "mode": "CHILD_WORKFLOW"}}})]
    yield succeeds(CREATE, "of a node", child, {"id": named("child")}, given=HAVE_NODE, then=then)
    orphan = changed(child, spec__metadata__parent_node_execution__node_id="n9")
    words = "missing entity of type node execution with identifier "
    yield fails(CREATE, "of an unknown node", orphan, Code.NOT_FOUND, words, given=HAVE_NODE)


def _get() -> Iterator[Row]:
    request = {"id": RUN}
    yield succeeds(GET, "an execution", request, {"id": RUN, "spec": {"metadata": SYSTEM}}, given=HAVE_EXECUTION)
    ended = {"closure": {"phase": "SUCCEEDED", "duration": "5s", "started_at": "2023-11-14T22:13:21Z"}}
    yield succeeds(GET, "one that has ended", request, ended, given=HAVE_SUCCEEDED)
    aborting = {"closure": {"phase": "ABORTING", "abort_metadata": {"cause": "enough"}}}
    yield succeeds(GET, "one that is ending", request, aborting, given=HAVE_ABORTING)
    aborted = {"closure": {"phase": "ABORTED", "abort_metadata": {"cause": "enough"}}}
    given = (*HAVE_ABORTING, workflow_event("ABORTED", 9))
    yield succeeds(GET, "one that was ended", request, aborted, given=given)
    yield from execution_identifier_errors(GET, request)


def _data() -> Iterator[Row]:
    request = {"id": RUN}
    answer = {"inputs": {}, "outputs": {}, "full_inputs": INPUTS, "full_outputs": OUTPUTS}
    yield succeeds(DATA, "of one that has ended", request, answer, given=HAVE_SUCCEEDED)
    running = {**answer, "full_outputs": {"literals": None}}
    yield succeeds(DATA, "of one that runs", request, running, given=HAVE_NODE)
    nobody = {"id": named("nobody")}
    yield fails(DATA, "an unknown execution", nobody, Code.NOT_FOUND, EMPTY, given=HAVE_PLAN)
    yield fails(DATA, "no id", {}, Code.NOT_FOUND, EMPTY)


def _list() -> Iterator[Row]:
    archive = Call(UPDATE, {"id": named("old"), "state": "EXECUTION_ARCHIVED"})
    failed = {"kind": "USER", "code": "Boom", "message": "m" * 200}
    given = (
        *HAVE_SUCCEEDED,
        run("old"),
        archive,
        run("alone", launch_plan=TASK, tags=["a", "b"]),
        run("bad", tags=["b"]),
    )
    given = (*given, workflow_event("FAILED", 20, execution_id=named("bad"), error=failed))
    everything = {"id": SCOPE, "limit": 10}
    trimmed = {"id": named("bad"), "closure": {"error": {"code": "Boom", "message": "m" * 100}}}
    shown = [{"id": RUN, "spec": {"inputs": None}}, {"id": named("alone")}, trimmed]

    def executions(*names: str) -> dict[str, Any]:
        return {"executions": [{"id": named(name)} for name in names] or None}

    yield succeeds(LIST, "all active ones", everything, {"executions": shown, "token": None}, given=given)
    page = changed(everything, limit=2, sort_by=sorted_by("created_at", "DESCENDING"))
    yield succeeds(LIST, "a page", page, {**executions("bad", "alone"), "token": "2"}, given=given)
    yield succeeds(LIST, "the next page", changed(page, token="2"), {**executions("run"), "token": None}, given=given)
    yield succeeds(LIST, "of one name", changed(everything, id__name="bad"), executions("bad"), given=given)
    filters = {
        "eq(state,1)": ["old"],
        "value_in(phase,SUCCEEDED;FAILED)": ["run", "bad"],
        "eq(execution_name,run)+gt(duration,1.5)+lte(execution.duration,5s)": ["run"],
        "eq(workflow.name,double)+eq(launch_plan.version,v1)": ["run", "bad"],
        "eq(task.name,double)": ["alone"],
        "eq(launch_plan.schedule_type,NONE)": ["run", "bad"],
        "eq(error_code,Boom)+ne(error_kind,SYSTEM)": ["bad"],
        "eq(admin_tag.name,b)": ["alone", "bad"],
        "value_in(execution_tag.key,b;a)": ["alone", "alone", "bad"],
        "eq(mode,0)+eq(user,)": None,
    }
    for text, names in filters.items():
        request = changed(everything, filters=text)
        if names is None:
            yield refused(LIST, f"filters {text}", request, "invalid value for filters", given=given)
        else:
            yield succeeds(LIST, f"filters {text}", request, executions(*names), given=given)
    yield from scope_errors(LIST, everything)
    yield from list_errors(LIST, everything, rpc="ListExecutions", code="e", foreign="node_execution:ne")
    for text, message in {
        "eq(name,run)": "'e.name' is invalid filter",
        "lt(duration,soon)": "Failed to parse duration [soon]",
        "eq(workflow.nonsense,x)": "'w.nonsense' is invalid filter",
        "eq(mode,manual)": "invalid value [manual] for mode",
    }.items():
        yield refused(LIST, f"filters {text}", changed(everything, filters=text), message)
    joined = changed(everything, sort_by=sorted_by("workflow.name"))
    yield refused(LIST, "sorted by another entity", joined, "invalid sort key 'workflow.name'")


def _update() -> Iterator[Row]:
    request = {"id": RUN, "state": "EXECUTION_ARCHIVED"}
    then = [(GET_RUN, {"closure": {"state_change_details": {"state": "EXECUTION_ARCHIVED"}}})]
    yield succeeds(UPDATE, "archive", request, given=HAVE_EXECUTION, then=then)
    back = [*HAVE_EXECUTION, Call(UPDATE, request)]
    then = [(GET_RUN, {"closure": {"state_change_details": {"state": None}}})]
    yield succeeds(UPDATE, "bring back", {"id": RUN}, given=back, then=then)
    yield refused(UPDATE, "another state", changed(request, state=7), "invalid value for state", given=HAVE_EXECUTION)
    yield from execution_identifier_errors(UPDATE, request)


def _terminate() -> Iterator[Row]:
    request = {"id": RUN, "cause": "enough"}
    aborting = {"phase": "ABORTING", "abort_metadata": {"cause": "enough"}}
    then = [(GET_RUN, {"closure": aborting})]
    yield succeeds(TERMINATE, "an execution", request, given=HAVE_NODE, then=then)
    again = changed(request, cause="really")
    then = [(GET_RUN, {"closure": {"abort_metadata": {"cause": "really"}}})]
    yield succeeds(TERMINATE, "again", again, given=HAVE_ABORTING, then=then)
    words = "Cannot abort an already terminated workflow execution"
    for phase in ("SUCCEEDED", "FAILED", "TIMED_OUT", "ABORTED"):
        given = (*HAVE_EXECUTION, workflow_event(phase))
        ended = {"details": [terminal(phase)], "given": given}
        yield fails(TERMINATE, f"one that is {phase}", request, Code.FAILED_PRECONDITION, words, **ended)
    yield from execution_identifier_errors(TERMINATE, request)


def _metrics() -> Iterator[Row]:
    request = {"id": RUN, "depth": 10}
    span = {"workflow_id": RUN, "end_time": "2023-11-14T22:13:26Z"}
    setup = [{"operation_id": "WORKFLOW_SETUP"}]
    yield succeeds(METRICS, "the root alone", {"id": RUN}, {"span": {**span, "spans": None}}, given=HAVE_SUCCEEDED)
    yield succeeds(METRICS, "all", request, {"span": {**span, "spans": setup}}, given=HAVE_SUCCEEDED)
    started = node_event("SUCCEEDED", 2, id={"execution_id": RUN, "node_id": "start-node"}, spec_node_id="start-node")
    node = {"node_id": NODE, "spans": [{"operation_id": "NODE_TRANSITION"}, {"operation_id": "NODE_SETUP"}]}
    nodes = [{"operation_id": "WORKFLOW_SETUP"}, node, {"operation_id": "WORKFLOW_TEARDOWN"}]
    given = (*HAVE_EXECUTION, started, node_event("RUNNING", 3))
    deep = {"span": {"workflow_id": RUN, "spans": nodes}}
    yield succeeds(METRICS, "of nodes", request, deep, given=given)
    stray = node_event("RUNNING", 4, id={"execution_id": RUN, "node_id": "n9"}, spec_node_id="n9")
    words = "failed to discover workflow node 'n9'"
    yield fails(METRICS, "of a stray node", request, Code.FAILED_PRECONDITION, words, given=(*given, stray))
    yield from execution_identifier_errors(METRICS, request)
