"""The workflow RPCs."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from flytelite.errors import Code

from .listing import list_errors, scope_errors, sorted_by
from .projects import project_and_domain_errors
from .rows import Call, Row, changed, fails, refused, succeeds
from .tasks import identifier_errors, identifier_part_errors, ids
from .words import (
    CREATE_WORKFLOW,
    HAVE_PLAN,
    HAVE_TASK,
    HAVE_WORKFLOW,
    INTERFACE,
    PLAN,
    SCOPE,
    WORKFLOW,
    entity,
    named,
    promise,
    variables,
    workflow,
)

CREATE, GET, LIST, LIST_IDS = (
    f"AdminService/{name}" for name in ("CreateWorkflow", "GetWorkflow", "ListWorkflows", "ListWorkflowIds")
)
NODE = CREATE_WORKFLOW["spec"]["template"]["nodes"][0]


def rows() -> Iterator[Row]:
    yield from _create()
    yield from _compile_errors()
    yield from _existing()
    yield from _get()
    yield from _list()


def _create() -> Iterator[Row]:
    compiled = {
        "primary": {
            "template": {"id": WORKFLOW, "nodes": [{"id": "start-node"}, {"id": "end-node"}, {"id": "n0"}]},
            "connections": {
                "downstream": {"start-node": {"ids": ["n0"]}, "n0": {"ids": ["end-node"]}},
                "upstream": {"n0": {"ids": ["start-node"]}, "end-node": {"ids": ["n0"]}},
            },
        },
        "tasks": [{"template": {"id": entity("TASK", "double")}}],
    }
    stored = {"id": WORKFLOW, "short_description": "doubles once", "closure": {"compiled_workflow": compiled}}
    then = [(Call(GET, {"id": WORKFLOW}), stored)]
    yield succeeds(CREATE, "a workflow", CREATE_WORKFLOW, given=HAVE_TASK, then=then)
    below = {"id": entity("WORKFLOW", "below"), **CREATE_WORKFLOW["spec"]["template"]}
    nested = changed(
        CREATE_WORKFLOW,
        spec__sub_workflows=[below],
        spec__template__nodes__0__task_node=None,
        spec__template__nodes__0__workflow_node={"sub_workflow_ref": below["id"]},
    )
    yield succeeds(CREATE, "with a sub-workflow", nested, given=HAVE_TASK)
    launching = changed(
        CREATE_WORKFLOW,
        id__name="launching",
        spec__template__nodes__0__task_node=None,
        spec__template__nodes__0__workflow_node={"launchplan_ref": PLAN},
    )
    yield succeeds(CREATE, "with a launch plan", launching, given=HAVE_PLAN)
    yield refused(CREATE, "with an unknown launch plan", launching, "failed to compile workflow for [", given=HAVE_TASK)
    yield from identifier_errors(CREATE, CREATE_WORKFLOW, kind="workflow")
    yield from project_and_domain_errors(CREATE, CREATE_WORKFLOW, "id")
    yield refused(CREATE, "no spec", changed(CREATE_WORKFLOW, spec=None), "missing spec")
    yield refused(CREATE, "no template", changed(CREATE_WORKFLOW, spec__template=None), "missing spec")
    words = "failed to compile workflow for ["
    yield refused(CREATE, "an unknown task", CREATE_WORKFLOW, words)
    second = [NODE, changed(NODE, id="n1")]
    two = changed(CREATE_WORKFLOW, spec__template__nodes=second)
    settings = {"max_workflow_nodes": 1}
    words = "exceeds limit (2 > 1)"
    yield refused(CREATE, "more nodes than the settings allow", two, words, given=HAVE_TASK, settings=settings)


def _compile_errors() -> Iterator[Row]:
    def with_node(**changes: Any) -> dict[str, Any]:
        return {"spec__template__nodes": [changed(NODE, **changes)]}

    circle = [
        changed(NODE, id="a", upstream_node_ids=["b"]),
        changed(NODE, id="b", inputs=[promise("x", "a", "o0")]),
    ]
    text = {"var": "x", "binding": {"scalar": {"primitive": {"string_value": "a"}}}}
    condition = {
        "comparison": {"operator": "EQ", "left_value": {"var": "x"}, "right_value": {"primitive": {"integer": 1}}}
    }
    case = {"condition": condition, "then_node": changed(NODE, id="n1")}
    broken: dict[str, tuple[dict[str, Any], str]] = {
        "no nodes": ({"spec__template__nodes": []}, "NoNodesFound"),
        "a circle": ({"spec__template__nodes": circle, "spec__template__outputs": []}, "CycleDetected"),
        "an unknown source": (with_node(inputs=[promise("x", "n9", "o0")]), "NodeReferenceNotFound"),
        "an unknown output": (with_node(inputs=[promise("x", "", "y")]), "VariableNameNotFound"),
        "an unbound input": (with_node(inputs=[]), "ParameterNotBound"),
        "an input bound twice": (with_node(inputs=[*NODE["inputs"], *NODE["inputs"]]), "ParameterBoundMoreThanOnce"),
        "an input of another type": (with_node(inputs=[text]), "MismatchingTypes"),
        "a node of no kind": (with_node(task_node=None), "ValueRequired"),
        "a branch without else": (
            with_node(task_node=None, branch_node={"if_else": {"case": case}}),
            "BranchNodeHasNoDefault",
        ),
        "a gate of no kind": (with_node(task_node=None, gate_node={}), "NoConditionFound"),
        "outputs of another type": (
            {"spec__template__interface__outputs": variables("o0", type={"simple": "STRING"})},
            "MismatchingTypes",
        ),
        "outputs from nowhere": ({"spec__template__outputs": [promise("o0", "n0", "y")]}, "VariableNameNotFound"),
    }
    for title, (changes, code) in broken.items():
        request = changed(CREATE_WORKFLOW, **changes)
        yield refused(CREATE, title, request, f"Code: {code}, Node Id: ", given=HAVE_TASK)


def _existing() -> Iterator[Row]:
    identical = "workflow with identical structure already exists"
    reason = {"@type": "type.googleapis.com/flyteidl.admin.CreateWorkflowFailureReason"}
    same = {**reason, "exists_identical_structure": {"id": WORKFLOW}}
    again = {"code": Code.ALREADY_EXISTS, "message": identical, "details": [same], "given": HAVE_WORKFLOW}
    yield fails(CREATE, "the same again", CREATE_WORKFLOW, **again)
    other = changed(CREATE_WORKFLOW, spec__template__nodes__0__metadata__name="other")
    words = (
        "double workflow with different structure already exists. (Please register a new version of the workflow):\n"
        "/primary/template/nodes/2/metadata/name:\n\t- double \n\t+ other"
    )
    different = {**reason, "exists_different_structure": {"id": WORKFLOW}}
    yield refused(CREATE, "another structure", other, words, details=[different], given=HAVE_WORKFLOW)


def _get() -> Iterator[Row]:
    request = {"id": WORKFLOW}
    stored = {"id": WORKFLOW, "closure": {"compiled_workflow": {"tasks": [{}]}}}
    yield succeeds(GET, "a workflow", request, stored, given=HAVE_WORKFLOW)
    yield succeeds(GET, "no type", changed(request, id__resource_type=None), stored, given=HAVE_WORKFLOW)
    words = "missing entity of type WORKFLOW with identifier "
    other = changed(request, id__version="v2")
    yield fails(GET, "another version", other, Code.NOT_FOUND, words, given=HAVE_WORKFLOW)
    wrong = changed(request, id__resource_type="TASK")
    yield refused(GET, "another type", wrong, "unexpected resource type task for identifier [")
    yield refused(GET, "no id", {}, "missing id")
    yield from identifier_part_errors(GET, request)


def _list() -> Iterator[Row]:
    given = (*HAVE_WORKFLOW, workflow("v2"))
    everything = {"id": SCOPE, "limit": 10}
    template = {"id": None, "nodes": None, "interface": INTERFACE}
    closure = {"compiled_workflow": {"primary": {"template": template}, "tasks": None}}
    first = {"id": WORKFLOW, "short_description": "doubles once", "closure": closure}
    second = {"id": changed(WORKFLOW, version="v2")}
    yield succeeds(LIST, "all", everything, {"workflows": [first, second], "token": None}, given=given)
    named_one = {"id": named("double"), "limit": 1, "sort_by": sorted_by("created_at", "DESCENDING")}
    yield succeeds(LIST, "the latest of a name", named_one, {"workflows": [second], "token": "1"}, given=given)
    for filters, workflows in {"eq(workflow.version,v2)": [second], "eq(name,other)": None}.items():
        request = changed(everything, filters=filters)
        yield succeeds(LIST, f"filters {filters}", request, {"workflows": workflows}, given=given)
    yield from scope_errors(LIST, everything)
    yield from list_errors(LIST, everything, rpc="ListWorkflows", code="w", foreign="launch_plan:l")
    yield from ids(LIST_IDS, "ListWorkflowIdentifiers", given, ["double"])
