"""The entities that rows speak of, as requests: one task, its workflow, its launch plan, and executions of that.

Everything is of project flytesnacks, domain development, version v1, unless it says otherwise.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from .rows import Call, changed

PROJECT, DOMAIN, VERSION = "flytesnacks", "development", "v1"
SCOPE = {"project": PROJECT, "domain": DOMAIN}
INTEGER = {"simple": "INTEGER"}
ONE = {"scalar": {"primitive": {"integer": "1"}}}
TEXT = {"scalar": {"primitive": {"string_value": "a"}}}


def at(seconds: float) -> str:
    """A moment, as seconds after the beginning of a world."""
    return datetime.fromtimestamp(1_700_000_000 + seconds, UTC).isoformat().replace("+00:00", "Z")


def named(name: str, **parts: str) -> dict[str, str]:
    return {**SCOPE, "name": name, **parts}


def entity(kind: str, name: str, version: str = VERSION) -> dict[str, str]:
    return {"resource_type": kind, **named(name), "version": version}


def variables(*names: str, type: dict[str, Any] = INTEGER) -> dict[str, Any]:
    return {"variables": {name: {"type": type} for name in names}}


def promise(var: str, node: str, source: str) -> dict[str, Any]:
    """Without a node it is an input of the workflow."""
    return {"var": var, "binding": {"promise": {"var": source, **({"node_id": node} if node else {})}}}


TASK, WORKFLOW, PLAN = (entity(kind, "double") for kind in ("TASK", "WORKFLOW", "LAUNCH_PLAN"))
INTERFACE = {"inputs": variables("x"), "outputs": variables("o0")}

CREATE_TASK: dict[str, Any] = {
    "id": TASK,
    "spec": {
        "template": {
            "type": "python-task",
            "metadata": {"runtime": {"type": "FLYTE_SDK", "version": "1.16", "flavor": "python"}},
            "interface": INTERFACE,
            "container": {"image": "image", "args": ["run"]},
        },
        "description": {"short_description": "doubles a number", "source_code": {"link": "https://example.org"}},
    },
}
CREATE_WORKFLOW: dict[str, Any] = {
    "id": WORKFLOW,
    "spec": {
        "template": {
            "interface": INTERFACE,
            "nodes": [
                {"id": "n0", "metadata": {"name": "double"}, "task_node": {"reference_id": TASK}},
            ],
            "outputs": [promise("o0", "n0", "o0")],
        },
        "description": {"short_description": "doubles once"},
    },
}
CREATE_WORKFLOW["spec"]["template"]["nodes"][0]["inputs"] = [promise("x", "", "x")]
CREATE_PLAN: dict[str, Any] = {"id": PLAN, "spec": {"workflow_id": WORKFLOW}}

HAVE_TASK = (Call("AdminService/CreateTask", CREATE_TASK),)
HAVE_WORKFLOW = (*HAVE_TASK, Call("AdminService/CreateWorkflow", CREATE_WORKFLOW))
HAVE_PLAN = (*HAVE_WORKFLOW, Call("AdminService/CreateLaunchPlan", CREATE_PLAN))


def task(name: str = "double", version: str = VERSION) -> Call:
    """Another task, or another version of the task."""
    return Call("AdminService/CreateTask", changed(CREATE_TASK, id=entity("TASK", name, version)))


def workflow(version: str) -> Call:
    return Call("AdminService/CreateWorkflow", changed(CREATE_WORKFLOW, id__version=version))


def plan(version: str = VERSION, name: str = "double", **spec: Any) -> Call:
    request = changed(CREATE_PLAN, id=entity("LAUNCH_PLAN", name, version))
    return Call("AdminService/CreateLaunchPlan", changed(request, **{f"spec__{key}": spec[key] for key in spec}))


def activate(version: str = VERSION, state: str = "ACTIVE") -> Call:
    return Call("AdminService/UpdateLaunchPlan", {"id": entity("LAUNCH_PLAN", "double", version), "state": state})


def archived(project: str = PROJECT) -> Call:
    return Call("AdminService/UpdateProject", {"id": project, "state": "ARCHIVED"})


# Executions

RUN = named("run")
NODE = {"execution_id": RUN, "node_id": "n0"}
ATTEMPT = {"task_id": TASK, "node_execution_id": NODE, "retry_attempt": 0}
CREATE_EXECUTION: dict[str, Any] = {
    **RUN,
    "spec": {"launch_plan": PLAN, "metadata": {"mode": "MANUAL"}},
    "inputs": {"literals": {"x": ONE}},
}
HAVE_EXECUTION = (*HAVE_PLAN, Call("AdminService/CreateExecution", CREATE_EXECUTION))


def run(name: str, **spec: Any) -> Call:
    request = changed(CREATE_EXECUTION, name=name)
    return Call("AdminService/CreateExecution", changed(request, **{f"spec__{key}": spec[key] for key in spec}))


def workflow_event(phase: str, seconds: float = 1, **event: Any) -> Call:
    fields = {"execution_id": RUN, "phase": phase, "occurred_at": at(seconds), **event}
    return Call("AdminService/CreateWorkflowEvent", {"event": fields})


def node_event(phase: str, seconds: float = 1, **event: Any) -> Call:
    fields = {"id": NODE, "phase": phase, "occurred_at": at(seconds), "spec_node_id": "n0", "event_version": 1}
    return Call("AdminService/CreateNodeEvent", {"event": fields | event})


def task_event(phase: str, seconds: float = 1, **event: Any) -> Call:
    fields = {"task_id": TASK, "parent_node_execution_id": NODE, "phase": phase, "occurred_at": at(seconds)}
    return Call("AdminService/CreateTaskEvent", {"event": fields | event})


HAVE_NODE = (*HAVE_EXECUTION, workflow_event("RUNNING"), node_event("RUNNING", 2, input_data={"literals": {"x": ONE}}))
HAVE_ATTEMPT = (*HAVE_NODE, task_event("RUNNING", 3, input_data={"literals": {"x": ONE}}))
OUTPUTS = {"literals": {"o0": ONE}}
HAVE_SUCCEEDED = (
    *HAVE_ATTEMPT,
    task_event("SUCCEEDED", 4, output_data=OUTPUTS),
    node_event("SUCCEEDED", 5, output_data=OUTPUTS),
    workflow_event("SUCCEEDED", 6, output_data=OUTPUTS),
)
HAVE_ABORTING = (*HAVE_NODE, Call("AdminService/TerminateExecution", {"id": RUN, "cause": "enough"}))


def terminal(phase: str) -> dict[str, Any]:
    """The detail that tells an engine that something has ended."""
    return {
        "@type": "type.googleapis.com/flyteidl.admin.EventFailureReason",
        "already_in_terminal_state": {"current_phase": phase},
    }


INACTIVE = {"@type": "type.googleapis.com/flyteidl.admin.InactiveProject", "id": PROJECT}
