"""The attribute RPCs."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from flytelite.errors import Code

from .projects import project_and_domain_errors
from .rows import Call, Row, changed, fails, refused, succeeds
from .words import PROJECT, SCOPE, archived

LEVELS: dict[str, dict[str, str]] = {
    "Project": {"project": PROJECT},
    "ProjectDomain": SCOPE,
    "Workflow": {**SCOPE, "workflow": "double"},
}
LIST = "AdminService/ListMatchableAttributes"
KINDS: dict[str, dict[str, Any]] = {
    "TASK_RESOURCE": {"task_resource_attributes": {"limits": {"cpu": "2"}}},
    "CLUSTER_RESOURCE": {"cluster_resource_attributes": {"attributes": {"a": "b"}}},
    "EXECUTION_QUEUE": {"execution_queue_attributes": {"tags": ["gpu"]}},
    "EXECUTION_CLUSTER_LABEL": {"execution_cluster_label": {"value": "blue"}},
    "PLUGIN_OVERRIDE": {"plugin_overrides": {"overrides": [{"task_type": "sql", "plugin_id": ["p"]}]}},
    "WORKFLOW_EXECUTION_CONFIG": {"workflow_execution_config": {"max_parallelism": 3}},
    "CLUSTER_ASSIGNMENT": {"cluster_assignment": {"cluster_pool_name": "gold"}},
}
QUEUE = KINDS["EXECUTION_QUEUE"]
OTHER_QUEUE = {"execution_queue_attributes": {"tags": ["cpu"]}}


def rows() -> Iterator[Row]:
    for level in LEVELS:
        yield from _update(level)
        yield from _update_errors(level)
        yield from _get(level)
        yield from _delete(level)
    yield from _fallback()
    yield from _project_configuration()
    yield from _list()


def _method(verb: str, level: str) -> str:
    return f"AdminService/{verb}{level}Attributes"


def _set(level: str, matching: dict[str, Any]) -> Call:
    return Call(_method("Update", level), {"attributes": {**LEVELS[level], "matching_attributes": matching}})


def _read(level: str, kind: str) -> Call:
    return Call(_method("Get", level), {**LEVELS[level], "resource_type": kind})


def _update(level: str) -> Iterator[Row]:
    method = _method("Update", level)
    for kind, matching in KINDS.items():
        request = _set(level, matching).request
        stored = {"attributes": {**LEVELS[level], "matching_attributes": matching}}
        yield succeeds(method, kind, request, then=[(_read(level, kind), stored)])
    again = _set(level, OTHER_QUEUE).request
    then = [(_read(level, "EXECUTION_QUEUE"), {"attributes": {"matching_attributes": OTHER_QUEUE}})]
    yield succeeds(method, "again", again, given=[_set(level, QUEUE)], then=then)
    more = {"plugin_overrides": {"overrides": [{"task_type": "spark", "plugin_id": ["q"]}]}}
    merged = {"plugin_overrides": {"overrides": [{"task_type": "sql"}, {"task_type": "spark"}]}}
    then = [(_read(level, "PLUGIN_OVERRIDE"), {"attributes": {"matching_attributes": merged}})]
    given = [_set(level, KINDS["PLUGIN_OVERRIDE"])]
    yield succeeds(method, "another plugin override", _set(level, more).request, given=given, then=then)


def _update_errors(level: str) -> Iterator[Row]:
    method, request = _method("Update", level), dict(_set(level, QUEUE).request)
    yield refused(method, "no attributes", {}, "missing attributes")
    yield from _level_errors(method, level, request, "attributes__")
    nothing = changed(request, attributes__matching_attributes=None)
    yield refused(method, "no matching attributes", nothing, "missing matching_attributes")
    unreadable = "Unrecognized matching attributes type for request " + "-".join(LEVELS[level].values())
    for title, matching in {"of no kind": {}, "QUALITY_OF_SERVICE": {"quality_of_service": {"tier": "HIGH"}}}.items():
        yield refused(method, title, changed(request, attributes__matching_attributes=matching), unreadable)


def _level_errors(method: str, level: str, request: dict[str, Any], prefix: str = "") -> Iterator[Row]:
    if level == "Project":
        words = "failed to validate that project [nobody] is registered, err: [project [nobody] not found]"
        yield refused(method, "an unknown project", changed(request, **{f"{prefix}project": "nobody"}), words)
        words = f"project [{PROJECT}] is not active"
        yield refused(method, "an archived project", request, words, given=[archived()])
        return
    yield from project_and_domain_errors(method, request, prefix.removesuffix("__"))
    if level == "Workflow":
        yield refused(method, "no workflow", changed(request, **{f"{prefix}workflow": None}), "missing name")


def _get(level: str) -> Iterator[Row]:
    method = _method("Get", level)
    request = {**LEVELS[level], "resource_type": "EXECUTION_QUEUE"}
    given = [_set(level, QUEUE)]
    stored = {"attributes": {**LEVELS[level], "matching_attributes": QUEUE}}
    yield succeeds(method, "attributes", request, stored, given=given)
    words = (
        f"Resource [{{Project:{PROJECT} Domain:{LEVELS[level].get('domain', '')} "
        f"Workflow:{LEVELS[level].get('workflow', '')} LaunchPlan: ResourceType:EXECUTION_QUEUE}}] not found"
    )
    yield fails(method, "none", request, Code.NOT_FOUND, words)
    words = "ResourceType:TASK_RESOURCE}] not found"
    yield fails(method, "no kind", changed(request, resource_type=None), Code.NOT_FOUND, words, given=given)
    if level == "Project":
        words = "failed to validate that project [nobody] exists, err: [project [nobody] not found]"
        yield refused(method, "an unknown project", changed(request, project="nobody"), words)
        yield succeeds(method, "an archived project", request, stored, given=[*given, archived()])
    else:
        yield from _level_errors(method, level, request)


def _delete(level: str) -> Iterator[Row]:
    method = _method("Delete", level)
    request = {**LEVELS[level], "resource_type": "EXECUTION_QUEUE"}
    listed = Call(LIST, {"resource_type": "EXECUTION_QUEUE"})
    given = [_set(one, QUEUE) for one in LEVELS]
    left = list(LEVELS)[: list(LEVELS).index(level)]
    configurations = [LEVELS[one] for one in reversed(left)] or None
    then = [(listed, {"configurations": configurations})]
    yield succeeds(method, "with what is below", request, given=given, then=then)
    yield succeeds(method, "what is not there", request)
    yield from _level_errors(method, level, request)


def _fallback() -> Iterator[Row]:
    asked = dict(_read("Workflow", "EXECUTION_QUEUE").request)
    get_workflow = _method("Get", "Workflow")
    of_project = {"attributes": {"project": PROJECT, "domain": None, "workflow": None, "matching_attributes": QUEUE}}
    yield succeeds(get_workflow, "the project's", asked, of_project, given=[_set("Project", QUEUE)])
    given = [_set("Project", QUEUE), _set("ProjectDomain", OTHER_QUEUE)]
    of_domain = {"attributes": {**SCOPE, "workflow": None, "matching_attributes": OTHER_QUEUE}}
    yield succeeds(get_workflow, "the domain's", asked, of_domain, given=given)
    asked = dict(_read("ProjectDomain", "EXECUTION_QUEUE").request)
    get_domain = _method("Get", "ProjectDomain")
    yield succeeds(get_domain, "the project's", asked, of_project, given=[_set("Project", QUEUE)])


def _project_configuration() -> Iterator[Row]:
    request = dict(_read("Project", "WORKFLOW_EXECUTION_CONFIG").request)
    method = _method("Get", "Project")

    def configuration(**fields: Any) -> dict[str, Any]:
        return {"attributes": {"project": PROJECT, "matching_attributes": {"workflow_execution_config": fields}}}

    yield succeeds(method, "the defaults", request, configuration(max_parallelism=25, interruptible=None))
    given = [_set("Project", KINDS["WORKFLOW_EXECUTION_CONFIG"])]
    merged = configuration(max_parallelism=3, interruptible=None)
    yield succeeds(method, "merged with the defaults", request, merged, given=given)


def _list() -> Iterator[Row]:
    request = {"resource_type": "EXECUTION_QUEUE"}
    given = [_set("Project", QUEUE), _set("Workflow", OTHER_QUEUE), _set("ProjectDomain", QUEUE)]
    levels = [LEVELS[level] for level in ("Workflow", "ProjectDomain", "Project")]
    yield succeeds(LIST, "the most specific first", request, {"configurations": levels}, given=given)
    yield succeeds(LIST, "no kind", {}, {"configurations": None}, given=given)
    yield refused(LIST, "another kind", {"resource_type": 77}, "invalid value for resource_type")
