"""The task RPCs."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from flytelite.errors import Code

from .listing import list_errors, scope_errors, sorted_by, token_and_sort_errors
from .projects import project_and_domain_errors
from .rows import Call, Row, changed, fails, refused, succeeds
from .words import CREATE_TASK, HAVE_TASK, SCOPE, TASK, entity, named, task

CREATE, GET, LIST, LIST_IDS = (f"AdminService/{name}" for name in ("CreateTask", "GetTask", "ListTasks", "ListTaskIds"))
LIMITS = Call(
    "AdminService/UpdateProjectDomainAttributes",
    {
        "attributes": {
            **SCOPE,
            "matching_attributes": {"task_resource_attributes": {"limits": {"cpu": "2", "memory": "1Gi", "gpu": "1"}}},
        }
    },
)


def rows() -> Iterator[Row]:
    yield from _create()
    yield from _resources()
    yield from _existing()
    yield from _get()
    yield from _list()


def identifier_errors(method: str, request: dict[str, Any], path: str = "id", kind: str = "task") -> Iterator[Row]:
    """What a full identifier must have. ``kind`` is the type that is expected."""
    yield refused(method, "no id", changed(request, **{path: None}), "missing id")
    other = "WORKFLOW" if kind != "workflow" else "TASK"
    words = f"unexpected resource type {other.lower()} for identifier ["
    yield refused(method, "another type", changed(request, **{f"{path}__resource_type": other}), words)
    yield from identifier_part_errors(method, request, path)


def identifier_part_errors(method: str, request: dict[str, Any], path: str = "id") -> Iterator[Row]:
    for part in ("project", "domain", "name", "version"):
        yield refused(method, f"no {part}", changed(request, **{f"{path}__{part}": None}), f"missing {part}")


def _create() -> Iterator[Row]:
    stored = {
        "id": TASK,
        "short_description": "doubles a number",
        "closure": {"compiled_task": {"template": {"id": TASK, "type": "python-task", "container": {"args": ["run"]}}}},
    }
    yield succeeds(CREATE, "a task", CREATE_TASK, then=[(Call(GET, {"id": TASK}), stored)])
    pod = {"pod_spec": {"containers": [{"name": "main", "resources": {"requests": {"cpu": "1"}}}]}}
    of_pod = changed(CREATE_TASK, spec__template__container=None, spec__template__k8s_pod=pod)
    yield succeeds(CREATE, "a pod task", of_pod)
    plain = changed(CREATE_TASK, spec__template__container=None)
    yield succeeds(CREATE, "a task without a container", plain)
    yield from identifier_errors(CREATE, CREATE_TASK)
    untyped = changed(CREATE_TASK, id__resource_type=None)
    yield refused(CREATE, "no type", untyped, "unexpected resource type unspecified for identifier [")
    yield from project_and_domain_errors(CREATE, CREATE_TASK, "id")
    missing = {
        "spec": "missing spec",
        "spec__template": "missing spec",
        "spec__template__type": "missing type",
        "spec__template__metadata": "missing metadata",
        "spec__template__metadata__runtime__version": "missing runtime version",
        "spec__template__interface": "missing typed interface",
        "spec__template__container__image": "missing image",
    }
    for path, message in missing.items():
        yield refused(CREATE, f"no {path.replace('__', '.')}", changed(CREATE_TASK, **{path: None}), message)
    idle = changed(CREATE_TASK, spec__template__container__args=None)
    words = "task failed compilation with Collected Errors: 1\n\tError 0: Code: ValueRequired, Node Id: container"
    yield refused(CREATE, "a container without a command", idle, words)
    yield refused(CREATE, "a pod without a spec", changed(of_pod, spec__template__k8s_pod={}), "pod spec")
    spec = {"containers": 1}
    broken = changed(of_pod, spec__template__k8s_pod__pod_spec=spec)
    yield refused(CREATE, "a broken pod spec", broken, "invalid pod spec for task")


def _resources() -> Iterator[Row]:
    def entries(**quantities: str) -> list[dict[str, str]]:
        return [{"name": name, "value": value} for name, value in quantities.items()]

    def asking(requests: list[dict[str, str]], limits: list[dict[str, str]]) -> dict[str, Any]:
        return changed(CREATE_TASK, spec__template__container__resources={"requests": requests, "limits": limits})

    yield succeeds(CREATE, "resources within limits", asking(entries(CPU="1"), entries(CPU="2")), given=[LIMITS])
    twice = [*entries(CPU="1"), *entries(CPU="2")]
    refusals = {
        "no quantity": (entries(CPU="much"), [], "Parsing of CPU request failed for value much"),
        "a resource twice": (twice, [], "can't specify CPU limit for task"),
        "half a GPU": (entries(GPU="500m"), [], "must be a whole number, got: 500m instead"),
        "more than the limit": (entries(MEMORY="2Gi"), entries(MEMORY="1Gi"), "is greater than the limit [1Gi]"),
        "other GPUs than the limit": (entries(GPU="1"), entries(GPU="2"), "the default value must equal the limit"),
    }
    for title, (requests, limits, message) in refusals.items():
        yield refused(CREATE, title, asking(requests, limits), message)
    platform = "is greater than current limit set in the platform configuration [2]"
    yield refused(CREATE, "more than the platform's", asking(entries(CPU="3"), []), platform, given=[LIMITS])
    above = asking(entries(CPU="1"), entries(CPU="3"))
    yield refused(CREATE, "a limit above the platform's", above, platform, given=[LIMITS])


def _existing() -> Iterator[Row]:
    identical = "task with identical structure already exists"
    yield fails(CREATE, "the same again", CREATE_TASK, Code.ALREADY_EXISTS, identical, given=HAVE_TASK)
    other = changed(CREATE_TASK, spec__template__type="sql")
    different = (
        "double task with different structure already exists. (Please register a new version of the task):\n"
        "/template/type:\n\t- python-task \n\t+ sql"
    )
    yield refused(CREATE, "another structure", other, different, given=HAVE_TASK)
    described = changed(CREATE_TASK, spec__description=None)
    yield fails(CREATE, "with another description", described, Code.ALREADY_EXISTS, identical, given=HAVE_TASK)


def _get() -> Iterator[Row]:
    request = {"id": TASK}
    stored = {"id": TASK, "closure": {"created_at": "2023-11-14T22:13:21Z"}}
    yield succeeds(GET, "a task", request, stored, given=HAVE_TASK)
    yield succeeds(GET, "no type", changed(request, id__resource_type=None), stored, given=HAVE_TASK)
    words = "missing entity of type TASK with identifier "
    other = changed(request, id__version="v2")
    yield fails(GET, "another version", other, Code.NOT_FOUND, words, given=HAVE_TASK)
    yield fails(GET, "another project", changed(request, id__project="p"), Code.NOT_FOUND, words, given=HAVE_TASK)
    yield refused(GET, "no id", {}, "missing id")
    yield from identifier_part_errors(GET, request)


def _list() -> Iterator[Row]:
    given = (*HAVE_TASK, task(version="v2"), task("triple"))
    everything = {"id": SCOPE, "limit": 10}
    one = {"id": named("double"), "limit": 10}
    first = {"id": entity("TASK", "double"), "closure": {"compiled_task": {"template": {"type": "python-task"}}}}
    second, third = {"id": entity("TASK", "double", "v2")}, {"id": entity("TASK", "triple")}
    yield succeeds(LIST, "all", everything, {"tasks": [first, second, third], "token": None}, given=given)
    yield succeeds(LIST, "of one name", one, {"tasks": [first, second]}, given=given)
    page = changed(one, limit=1, sort_by=sorted_by("version", "DESCENDING"))
    yield succeeds(LIST, "the first page", page, {"tasks": [second], "token": "1"}, given=given)
    yield succeeds(LIST, "the last page", changed(page, token="1"), {"tasks": [first], "token": "2"}, given=given)
    yield succeeds(LIST, "beyond the last page", changed(page, token="2"), {"tasks": None, "token": None}, given=given)
    filters = {
        "eq(task.version,v2)": [second],
        "ne(name,double)": [third],
        "value_in(version,v1;v2)+contains(name,ripl)": [third],
        "value_not_in(version,v2)+not_like(name,tri%)": [first],
        "gte(created_at,2023-11-14T22:13:20Z)+lt(created_at,2023-11-14T22:13:22.5Z)": [first],
        "eq(digest,x)": None,
    }
    for text, tasks in filters.items():
        yield succeeds(LIST, f"filters {text}", changed(everything, filters=text), {"tasks": tasks}, given=given)
    nobody = {"id": {"project": "nobody", "domain": "nowhere"}, "limit": 1}
    yield succeeds(LIST, "of an unknown project", nobody, {"tasks": None}, given=given)
    yield from scope_errors(LIST, everything)
    yield from list_errors(LIST, everything, rpc="ListTasks", code="t", foreign="workflow:w")
    yield from ids(LIST_IDS, "ListUniqueTaskIdentifiers", given, ["double", "triple"])


def ids(method: str, rpc: str, given: Any, names: list[str]) -> Iterator[Row]:
    """The lists of names."""
    request = {**SCOPE, "limit": 10}
    entities = [named(name) for name in names]
    yield succeeds(method, "all", request, {"entities": entities, "token": None}, given=given)
    backwards = changed(request, limit=1, sort_by=sorted_by("name", "DESCENDING"))
    last = {"entities": entities[-1:], "token": "1"}
    yield succeeds(method, "one page backwards", backwards, last, given=given)
    ignored = changed(request, filters="eq(nonsense")
    yield succeeds(method, "filters are ignored", ignored, {"entities": entities}, given=given)
    yield refused(method, "no limit", changed(request, limit=None), "limit")
    yield refused(method, "no project", changed(request, project=None), "missing project")
    yield refused(method, "no domain", changed(request, domain=None), "missing domain")
    yield from token_and_sort_errors(method, request, rpc)
