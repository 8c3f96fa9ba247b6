"""The named entity and description entity RPCs."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from flytelite.errors import Code

from .executions import CREATE as CREATE_RUN
from .listing import limit_error, list_errors, sorted_by
from .rows import Call, Row, changed, fails, refused, succeeds
from .tasks import identifier_part_errors
from .words import CREATE_EXECUTION, HAVE_PLAN, HAVE_TASK, HAVE_WORKFLOW, SCOPE, TASK, WORKFLOW, named, task

LIST, GET, UPDATE, DESCRIPTION, DESCRIPTIONS = (
    f"AdminService/{name}"
    for name in (
        "ListNamedEntities",
        "GetNamedEntity",
        "UpdateNamedEntity",
        "GetDescriptionEntity",
        "ListDescriptionEntities",
    )
)
NAME = {"resource_type": "TASK", "id": named("double")}
EMPTY = "entry not found"


def rows() -> Iterator[Row]:
    yield from _list()
    yield from _list_errors()
    yield from _get()
    yield from _update()
    yield from _description()
    yield from _descriptions()


def _archive(name: str) -> Call:
    metadata = {"state": "NAMED_ENTITY_ARCHIVED"}
    return Call(UPDATE, {"resource_type": "TASK", "id": named(name), "metadata": metadata})


def _entities(*names: str) -> dict[str, Any]:
    return {"entities": [{"id": named(name)} for name in names] or None}


def _list() -> Iterator[Row]:
    request = {"resource_type": "TASK", **SCOPE, "limit": 10}
    given = (*HAVE_TASK, task("triple"), task("half"), _archive("half"))
    first = {"resource_type": "TASK", "id": named("double"), "metadata": {"state": None, "description": None}}
    everything = {"entities": [first, {}, {"metadata": {"state": "NAMED_ENTITY_ARCHIVED"}}], "token": None}
    yield succeeds(LIST, "all", request, everything, given=given)
    page = changed(request, limit=2, sort_by=sorted_by("name"))
    yield succeeds(LIST, "a page", page, {**_entities("double", "half"), "token": "2"}, given=given)
    filters = {
        "eq(state,0)": ["double", "triple"],
        "eq(named_entity_metadata.state,1)": ["half"],
        "contains(entities.name,e)+ne(description,x)": ["double", "triple"],
    }
    for text, names in filters.items():
        yield succeeds(LIST, f"filters {text}", changed(request, filters=text), _entities(*names), given=given)
    for kind in ("WORKFLOW", "LAUNCH_PLAN"):
        of_kind = changed(request, resource_type=kind)
        yield succeeds(LIST, kind, of_kind, _entities("double"), given=HAVE_PLAN)
    alone = (*HAVE_PLAN, Call(CREATE_RUN, changed(CREATE_EXECUTION, spec__launch_plan=TASK)))
    workflows = changed(request, resource_type="WORKFLOW")
    yield succeeds(LIST, "without generated names", workflows, _entities("double"), given=alone)
    generated = {"entities": [{"metadata": {"state": "SYSTEM_GENERATED"}}]}
    asked = changed(workflows, filters="eq(state,2)")
    yield succeeds(LIST, "generated names", asked, generated, given=alone)


def _list_errors() -> Iterator[Row]:
    request = {"resource_type": "TASK", **SCOPE, "limit": 10}
    yield limit_error(LIST, request)
    yield refused(LIST, "no type", changed(request, resource_type=None), "invalid value for resource_type")
    yield refused(LIST, "no project", changed(request, project=None), "missing project")
    yield refused(LIST, "no domain", changed(request, domain=None), "missing domain")
    words = "Cannot list entity names for resource type: DATASET"
    yield refused(LIST, "DATASET", changed(request, resource_type="DATASET"), words)
    refusals = {
        "eq(name": "invalid value for filters",
        "like(name,x)": "unrecognized filter function: like",
        "eq(nonsense,x)": "'nen.nonsense' is invalid filter",
        "eq(task.name,x)": "'t' entity is not allowed in filters",
        "eq(state,archived)": "invalid value [archived] for state",
    }
    for filters, message in refusals.items():
        yield refused(LIST, f"filters {filters}", changed(request, filters=filters), message)
    by_time = changed(request, sort_by=sorted_by("created_at"))
    yield refused(LIST, "sorted by time", by_time, "invalid sort key 'created_at'")
    yield refused(LIST, "token x", changed(request, token="x"), "invalid pagination token x for ListNamedEntities")


def _identifier_errors(method: str, request: dict[str, Any]) -> Iterator[Row]:
    yield refused(method, "no type", changed(request, resource_type=None), "invalid value for resource_type")
    yield refused(method, "no id", changed(request, id=None), "missing id")
    for part in ("project", "domain", "name"):
        yield refused(method, f"no {part}", changed(request, **{f"id__{part}": None}), f"missing {part}")
    unknown = changed(request, id__name="nothing")
    yield fails(method, "an unknown name", unknown, Code.NOT_FOUND, EMPTY, given=HAVE_TASK)
    workflow = changed(request, resource_type="WORKFLOW")
    yield fails(method, "of another type", workflow, Code.NOT_FOUND, EMPTY, given=HAVE_TASK)


def _get() -> Iterator[Row]:
    stored = {**NAME, "metadata": {"state": None, "description": None}}
    yield succeeds(GET, "a task", NAME, stored, given=HAVE_TASK)
    archived = {"metadata": {"state": "NAMED_ENTITY_ARCHIVED"}}
    yield succeeds(GET, "an archived task", NAME, archived, given=(*HAVE_TASK, _archive("double")))
    yield from _identifier_errors(GET, NAME)


def _update() -> Iterator[Row]:
    described = {**NAME, "metadata": {"description": "doubles"}}
    then = [(Call(GET, NAME), {"metadata": {"description": "doubles", "state": None}})]
    yield succeeds(UPDATE, "describe", described, given=HAVE_TASK, then=then)
    archive = _archive("double").request
    then = [(Call(GET, NAME), {"metadata": {"description": "doubles", "state": "NAMED_ENTITY_ARCHIVED"}})]
    given = (*HAVE_TASK, Call(UPDATE, described))
    yield succeeds(UPDATE, "archive keeps the description", archive, given=given, then=then)
    yield from _identifier_errors(UPDATE, described)
    yield refused(UPDATE, "no metadata", NAME, "missing metadata", given=HAVE_TASK)
    dataset = changed(archive, resource_type="DATASET")
    yield refused(UPDATE, "a DATASET", dataset, "Resource [DATASET] cannot have its state updated")


def _description() -> Iterator[Row]:
    for id, given in ((TASK, HAVE_TASK), (WORKFLOW, HAVE_WORKFLOW)):
        stored = {"id": id, "long_description": {}, "source_code": {}}
        yield succeeds(DESCRIPTION, f"of a {id['resource_type']}", {"id": id}, stored, given=given)
    request = {"id": TASK}
    other = changed(request, id__version="v2")
    yield fails(DESCRIPTION, "another version", other, Code.NOT_FOUND, EMPTY, given=HAVE_TASK)
    untyped = changed(request, id__resource_type=None)
    yield succeeds(DESCRIPTION, "no type", untyped, {"id": TASK}, given=HAVE_TASK)
    yield refused(DESCRIPTION, "no id", {}, "invalid value for resource_type")
    yield from identifier_part_errors(DESCRIPTION, request)


def _descriptions() -> Iterator[Row]:
    request = {"resource_type": "TASK", "id": named("double"), "limit": 10}
    given = (*HAVE_WORKFLOW, task(version="v2"))
    first, second = {"id": TASK, "short_description": "doubles a number"}, {"id": {"version": "v2"}}
    both = {"descriptionEntities": [first, second], "token": None}
    yield succeeds(DESCRIPTIONS, "of a task", request, both, given=given)
    workflow = changed(request, resource_type="WORKFLOW")
    yield succeeds(DESCRIPTIONS, "of a workflow", workflow, {"descriptionEntities": [{"id": WORKFLOW}]}, given=given)
    page = changed(request, limit=1, sort_by=sorted_by("version", "DESCENDING"))
    yield succeeds(DESCRIPTIONS, "a page", page, {"descriptionEntities": [second], "token": "1"}, given=given)
    filtered = changed(request, filters="eq(version,v1)+contains(link,example)")
    yield succeeds(DESCRIPTIONS, "filtered", filtered, {"descriptionEntities": [first]}, given=given)
    yield limit_error(DESCRIPTIONS, request)
    yield refused(DESCRIPTIONS, "no id", changed(request, id=None), "missing id")
    for part in ("project", "domain", "name"):
        yield refused(DESCRIPTIONS, f"no {part}", changed(request, **{f"id__{part}": None}), f"missing {part}")
    yield from list_errors(DESCRIPTIONS, request, rpc="ListDescriptionEntities", code="t", foreign="workflow:w")
