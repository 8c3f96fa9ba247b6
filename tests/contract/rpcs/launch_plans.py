"""The launch plan RPCs."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from flytelite.errors import Code

from .listing import limit_error, list_errors, scope_errors, sorted_by, token_and_sort_errors
from .projects import project_and_domain_errors
from .rows import Call, Row, changed, edited, fails, refused, succeeds
from .tasks import identifier_errors, identifier_part_errors, ids
from .words import (
    CREATE_PLAN,
    HAVE_PLAN,
    HAVE_WORKFLOW,
    INTEGER,
    ONE,
    PLAN,
    SCOPE,
    TEXT,
    WORKFLOW,
    activate,
    entity,
    named,
    plan,
)

CREATE, GET, GET_ACTIVE, LIST_ACTIVE, LIST, LIST_IDS, UPDATE = (
    f"AdminService/{name}"
    for name in (
        "CreateLaunchPlan",
        "GetLaunchPlan",
        "GetActiveLaunchPlan",
        "ListActiveLaunchPlans",
        "ListLaunchPlans",
        "ListLaunchPlanIds",
        "UpdateLaunchPlan",
    )
)
REQUIRED_X = {"parameters": {"x": {"var": {"type": INTEGER}, "required": True}}}
ANY = {"@type": "type.googleapis.com/google.protobuf.Duration", "value": "1s"}
DEFAULT_X = {"parameters": {"x": {"var": {"type": INTEGER}, "default": ONE}}}


def rows() -> Iterator[Row]:
    yield from _create()
    yield from _input_errors()
    yield from _schedules()
    yield from _notifications()
    yield from _existing()
    yield from _get()
    yield from _list()
    yield from _update()


def _create() -> Iterator[Row]:
    def then(**stored: Any) -> list[tuple[Call, Any]]:
        return [(Call(GET, {"id": PLAN}), stored)]

    inactive = {"state": None, "expected_inputs": REQUIRED_X, "expected_outputs": {"variables": {"o0": {}}}}
    stored = then(spec={"workflow_id": WORKFLOW, "default_inputs": REQUIRED_X}, closure=inactive)
    yield succeeds(CREATE, "a launch plan", CREATE_PLAN, given=HAVE_WORKFLOW, then=stored)
    defaulted = changed(CREATE_PLAN, spec__default_inputs=DEFAULT_X)
    stored = then(spec={"default_inputs": DEFAULT_X}, closure={"expected_inputs": DEFAULT_X})
    yield succeeds(CREATE, "with a default", defaulted, given=HAVE_WORKFLOW, then=stored)
    fixed = changed(CREATE_PLAN, spec__fixed_inputs={"literals": {"x": ONE}})
    stored = then(spec={"fixed_inputs": {"literals": {"x": ONE}}}, closure={"expected_inputs": {"parameters": None}})
    yield succeeds(CREATE, "with a fixed input", fixed, given=HAVE_WORKFLOW, then=stored)
    words = "missing entity of type WORKFLOW with identifier "
    yield fails(CREATE, "an unknown workflow", CREATE_PLAN, Code.NOT_FOUND, words)
    yield refused(CREATE, "no spec", changed(CREATE_PLAN, spec=None), "missing id")
    for row in identifier_errors(CREATE, CREATE_PLAN, "spec__workflow_id", "workflow"):
        yield Row(row.call, f"workflow_id: {row.title}", row.code, message=row.message)
    for row in (
        *identifier_errors(CREATE, CREATE_PLAN, kind="launch_plan"),
        *project_and_domain_errors(CREATE, CREATE_PLAN, "id"),
    ):
        given = (*HAVE_WORKFLOW, *row.given)
        yield Row(row.call, row.title, row.code, message=row.message, details=row.details, given=given)


def _refusals(refusals: dict[str, tuple[dict[str, Any], str]]) -> Iterator[Row]:
    for title, (spec, message) in refusals.items():
        request = changed(CREATE_PLAN, **{f"spec__{name}": value for name, value in spec.items()})
        yield refused(CREATE, title, request, message, given=HAVE_WORKFLOW)


def _input_errors() -> Iterator[Row]:
    def parameter(name: str = "x", **fields: Any) -> dict[str, Any]:
        return {"default_inputs": {"parameters": {name: {"var": {"type": INTEGER}, **fields}}}}

    labels = {"labels": {"values": {"-k": "v"}}}
    neither = "Invalid variable x in default_inputs - variable has neither default, nor is required."
    untyped = "The Variable component of the Parameter x in default_inputs"
    yield from _refusals(
        {
            "a bad label": (labels, "invalid label key [-k]: ["),
            "17 labels": (
                {"labels": {"values": {f"k{number}": "v" for number in range(17)}}},
                "labels map cannot exceed 16 entries",
            ),
            "a fixed input without a name": ({"fixed_inputs": {"literals": {"": ONE}}}, "missing key in fixed_inputs"),
            "a fixed input without a value": (
                {"fixed_inputs": {"literals": {"x": {}}}},
                "missing valid literal in fixed_inputs x",
            ),
            "an unknown fixed input": ({"fixed_inputs": {"literals": {"y": ONE}}}, "unexpected fixed_input y"),
            "a fixed input of another type": (
                {"fixed_inputs": {"literals": {"x": TEXT}}},
                "invalid fixed_input wrong type",
            ),
            "a fixed input of no type": (
                {"fixed_inputs": {"literals": {"x": {"collection": {"literals": [{}]}}}}},
                "Failed to validate literal type for [x] with err: ",
            ),
            "an artifact query": (
                parameter(artifact_query={"artifact_tag": {}}),
                "artifact mode not enabled but query found default_inputs x",
            ),
            "a default without a name": (parameter("", default=ONE), "missing key in default_inputs"),
            "a default without a type": ({"default_inputs": {"parameters": {"x": {"required": True}}}}, untyped),
            "neither default nor required": (parameter(), neither),
            "a default of another type": (parameter(default=TEXT), "Type mismatch for Parameter x in default_inputs"),
            "an unknown default": (parameter("y", default=ONE), "unexpected default_input y"),
            "a parameter of another type": (
                {"default_inputs": {"parameters": {"x": {"var": {"type": {"simple": "STRING"}}, "required": True}}}},
                "invalid default_input wrong type",
            ),
        }
    )
    fixed = changed(CREATE_PLAN, spec__fixed_inputs={"literals": {"x": ONE}})
    words = "timestamp of 999999999999 seconds lies outside"
    yield edited(refused(CREATE, "a time beyond all years", fixed, words, given=HAVE_WORKFLOW), _beyond_all_years)
    nothing = changed(WORKFLOW, name="nothing")
    closed = Call("AdminService/CreateWorkflow", _closed_workflow(nothing))
    given = (*HAVE_WORKFLOW, closed)
    for kind, spec in {
        "default": {"default_inputs": DEFAULT_X},
        "fixed": {"fixed_inputs": {"literals": {"x": ONE}}},
    }.items():
        request = {"id": PLAN, "spec": {"workflow_id": nothing, **spec}}
        words = f"invalid launch plan {kind} inputs, expected none but found 1"
        yield refused(CREATE, f"{kind} inputs of a workflow without inputs", request, words, given=given)


def _beyond_all_years(request: Any) -> None:
    request.spec.fixed_inputs.literals["x"].scalar.primitive.datetime.seconds = 999_999_999_999


def _closed_workflow(id: dict[str, Any]) -> dict[str, Any]:
    constant = {"var": "x", "binding": {"scalar": {"primitive": {"integer": 1}}}}
    node = {"id": "n0", "inputs": [constant], "task_node": {"reference_id": entity("TASK", "double")}}
    return {"id": id, "spec": {"template": {"interface": {}, "nodes": [node]}}}


def _schedules() -> Iterator[Row]:
    def scheduled(schedule: dict[str, Any], **spec: Any) -> dict[str, Any]:
        return {"entity_metadata": {"schedule": schedule}, **spec}

    cron = {"cron_schedule": {"schedule": "*/10 * * * *"}}
    fixed = {"fixed_inputs": {"literals": {"x": ONE}}}
    good: dict[str, dict[str, Any]] = {
        "a cron schedule": cron,
        "a cron word": {"cron_schedule": {"schedule": "@daily", "offset": "PT1H"}},
        "a fixed rate": {"rate": {"value": 5, "unit": "MINUTE"}},
        "a deprecated cron expression": {"cron_expression": "0 0 * * ?"},
    }
    for title, schedule in good.items():
        spec = {f"spec__{name}": value for name, value in scheduled(schedule, **fixed).items()}
        yield succeeds(CREATE, title, changed(CREATE_PLAN, **spec), given=HAVE_WORKFLOW)
    unbound = "Cannot create a launch plan with a schedule if there is an unbound required input. [x] is required"
    yield from _refusals(
        {
            "a schedule with an open input": (scheduled(cron), unbound),
            "a kickoff input that is fixed": (
                scheduled({**cron, "kickoff_time_input_arg": "x"}, **fixed),
                "does not point to a free input. [x]",
            ),
            "a kickoff input that is no time": (
                scheduled({**cron, "kickoff_time_input_arg": "x"}),
                "KickoffTimeInputArg must reference a datetime input. [x]",
            ),
            **{
                f"cron {text}": (
                    scheduled({"cron_schedule": {"schedule": text}}, **fixed),
                    "Invalid cron expression: ",
                )
                for text in ("hourly", "* * * *", "61 * * * *", "* * * * 7", "@never", "TZ=Mars/Base * * * * *")
            },
            "launch conditions": (
                {"entity_metadata": {"launch_conditions": ANY}},
                "Launch condition must be empty, found ",
            ),
        }
    )


def _notifications() -> Iterator[Row]:
    def notifying(notification: dict[str, Any]) -> dict[str, Any]:
        return {"entity_metadata": {"notifications": [notification]}}

    email = {"email": {"recipients_email": ["a@example.org"]}, "phases": ["SUCCEEDED", "FAILED"]}
    spec = {"spec__entity_metadata": {"notifications": [email]}}
    yield succeeds(CREATE, "a notification", changed(CREATE_PLAN, **spec), given=HAVE_WORKFLOW)
    yield from _refusals(
        {
            "a notification of no kind": (notifying({"phases": ["FAILED"]}), "invalid value for notification type"),
            "a notification to nobody": (notifying({"slack": {}, "phases": ["FAILED"]}), "missing recipients"),
            "an empty recipient": (notifying({"email": {"recipients_email": [""]}}), "missing recipient"),
            "a phase that is not the end": (notifying({**email, "phases": ["RUNNING"]}), "invalid value for phase"),
        }
    )


def _existing() -> Iterator[Row]:
    words = "launch plan with identical structure already exists"
    yield fails(CREATE, "the same again", CREATE_PLAN, Code.ALREADY_EXISTS, words, given=HAVE_PLAN)
    spelled = changed(CREATE_PLAN, spec__default_inputs=REQUIRED_X)
    yield fails(CREATE, "the same, spelled out", spelled, Code.ALREADY_EXISTS, words, given=HAVE_PLAN)
    other = changed(CREATE_PLAN, spec__default_inputs=DEFAULT_X)
    words = "double launch plan with different structure already exists. (Please register a new version of the launch"
    yield refused(CREATE, "another structure", other, words, given=HAVE_PLAN)


def _get() -> Iterator[Row]:
    request = {"id": PLAN}
    stored = {"id": PLAN, "spec": {"workflow_id": WORKFLOW}}
    yield succeeds(GET, "a launch plan", request, stored, given=HAVE_PLAN)
    yield succeeds(GET, "no type", changed(request, id__resource_type=None), stored, given=HAVE_PLAN)
    words = "missing entity of type LAUNCH_PLAN with identifier "
    other = changed(request, id__version="v2")
    yield fails(GET, "another version", other, Code.NOT_FOUND, words, given=HAVE_PLAN)
    wrong = changed(request, id__resource_type="TASK")
    yield refused(GET, "another type", wrong, "unexpected resource type task for identifier [")
    yield refused(GET, "no id", {}, "missing id")
    yield from identifier_part_errors(GET, request)
    name = {"id": named("double")}
    active = (*HAVE_PLAN, plan("v2"), activate("v2"))
    second = {"id": changed(PLAN, version="v2"), "closure": {"state": "ACTIVE"}}
    yield succeeds(GET_ACTIVE, "the active version", name, second, given=active)
    words = "No active launch plan could be found: flytesnacks:development:double"
    yield fails(GET_ACTIVE, "no active version", name, Code.NOT_FOUND, words, given=HAVE_PLAN)
    for part in ("project", "domain", "name"):
        yield refused(GET_ACTIVE, f"no {part}", changed(name, **{f"id__{part}": None}), f"missing {part}")


def _list() -> Iterator[Row]:
    given = (*HAVE_PLAN, plan("v2"), plan(name="other"), activate("v2"))
    first, second, other = PLAN, changed(PLAN, version="v2"), entity("LAUNCH_PLAN", "other")
    everything = {"id": SCOPE, "limit": 10}

    def plans(*ids: dict[str, str]) -> dict[str, Any]:
        return {"launch_plans": [{"id": id} for id in ids] or None}

    yield succeeds(LIST, "all", everything, plans(first, second, other), given=given)
    of_name = {"id": named("double"), "limit": 1, "sort_by": sorted_by("updated_at", "DESCENDING")}
    yield succeeds(LIST, "a page of a name", of_name, {**plans(second), "token": "1"}, given=given)
    filters = {
        "eq(state,1)": [second],
        "eq(workflow.name,double)+eq(version,v1)": [first, other],
        "eq(workflow.short_description,doubles once)": [first, second, other],
        "ne(schedule_type,NONE)": [],
    }
    for text, ids_ in filters.items():
        yield succeeds(LIST, f"filters {text}", changed(everything, filters=text), plans(*ids_), given=given)
    yield from scope_errors(LIST, everything)
    yield from list_errors(LIST, everything, rpc="ListLaunchPlans", code="l", foreign="task:t")
    yield from ids(LIST_IDS, "", given, ["double", "other"])
    of_domain = {**SCOPE, "limit": 10}
    yield succeeds(LIST_ACTIVE, "all", of_domain, plans(second), given=given)
    yield limit_error(LIST_ACTIVE, of_domain)
    for part in ("project", "domain"):
        yield refused(LIST_ACTIVE, f"no {part}", changed(of_domain, **{part: None}), f"missing {part}")
    yield from token_and_sort_errors(LIST_ACTIVE, of_domain, "ListActiveLaunchPlans")


def _update() -> Iterator[Row]:
    given = (*HAVE_PLAN, plan("v2"), activate())
    second = activate("v2").request
    states = [(Call(GET, {"id": PLAN}), {"closure": {"state": None}})]
    then = [*states, (Call(GET_ACTIVE, {"id": named("double")}), {"id": {"version": "v2"}})]
    yield succeeds(UPDATE, "activate another version", second, given=given, then=then)
    untyped = changed(second, id__resource_type=None)
    yield succeeds(UPDATE, "without a type, as flytectl", untyped, given=given, then=then)
    yield succeeds(UPDATE, "activate again", activate().request, given=given)
    off = activate(state="INACTIVE").request
    yield succeeds(UPDATE, "deactivate", off, given=given, then=states)
    yield succeeds(UPDATE, "deactivate again", off, given=HAVE_PLAN)
    for state in ("ACTIVE", "INACTIVE"):
        request = activate("v9", state).request
        words = "missing entity of type LAUNCH_PLAN with identifier "
        yield fails(UPDATE, f"an unknown version to {state}", request, Code.NOT_FOUND, words, given=HAVE_PLAN)
        for part in ("project", "domain", "name", "version"):
            without = changed(request, **{f"id__{part}": None})
            yield refused(UPDATE, f"no {part} to {state}", without, f"missing {part}", given=HAVE_PLAN)
    yield refused(UPDATE, "another state", changed(second, state=7), "Unrecognized launch plan state ", given=given)
    deprecated = {"entity_metadata": {"schedule": {"cron_expression": "0 0 * * *"}}}
    scheduled = plan("v2", **deprecated, fixed_inputs={"literals": {"x": ONE}})
    words = "unknown schedule expression type"
    yield refused(UPDATE, "a deprecated schedule", second, words, given=(*HAVE_PLAN, scheduled))
    never = {
        "a time that never comes": ({"cron_schedule": {"schedule": "0 0 31 2 *"}}, "there is no time at which ["),
        "a rate without a unit": ({"rate": {"value": 1, "unit": 7}}, "unsupported unit 7"),
    }
    for title, (schedule, words) in never.items():
        scheduled = plan("v2", entity_metadata={"schedule": schedule}, fixed_inputs={"literals": {"x": ONE}})
        given = (*HAVE_PLAN, activate(), scheduled)
        yield refused(UPDATE, title, second, words, given=given, then=_still_active())


def _still_active() -> list[tuple[Call, Any]]:
    """The first version is active as before: a refused activation swaps nothing."""
    return [(Call(GET_ACTIVE, {"id": named("double")}), {"id": {"version": "v1"}})]
