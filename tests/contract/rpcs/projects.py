"""Projects, domains, and the version of the server."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from flytelite.errors import Code

from .listing import list_errors, sorted_by
from .rows import Call, Row, changed, fails, refused, succeeds
from .words import INACTIVE, PROJECT, archived

REGISTER, UPDATE, GET, LIST, DOMAINS, VERSION = (
    f"AdminService/{name}"
    for name in ("RegisterProject", "UpdateProject", "GetProject", "ListProjects", "GetDomains", "GetVersion")
)
DOMAIN_LIST = [{"id": name, "name": name} for name in ("development", "staging", "production")]
NEW = {
    "project": {
        "id": "new",
        "name": "New",
        "description": "a new one",
        "labels": {"values": {"team": "blue"}},
    }
}


def rows() -> Iterator[Row]:
    yield from _register()
    yield from _update()
    yield from _read()
    yield from _list()


def project_and_domain_errors(method: str, request: dict[str, Any], path: str = "") -> Iterator[Row]:
    """What RPCs that create something ask of project and domain; ``path`` leads to the message that names them."""
    prefix = f"{path}__" if path else ""
    words = "failed to validate that project [nobody] and domain [development] are registered, err: ["
    yield refused(method, "an unknown project", changed(request, **{f"{prefix}project": "nobody"}), words)
    yield refused(
        method,
        "an archived project",
        request,
        f"project [{PROJECT}] is not active",
        details=[INACTIVE],
        given=[archived()],
    )
    words = "domain [nowhere] is unrecognized by system"
    yield refused(method, "an unknown domain", changed(request, **{f"{prefix}domain": "nowhere"}), words)


def _register() -> Iterator[Row]:
    stored = {**NEW["project"], "domains": DOMAIN_LIST}
    yield succeeds(REGISTER, "a project", NEW, then=[(Call(GET, {"id": "new"}), stored)])
    words = "value with matching already exists"
    yield fails(REGISTER, "an id that is taken", changed(NEW, project__id=PROJECT), Code.ALREADY_EXISTS, words)
    yield refused(REGISTER, "no project", {}, "missing project")
    yield refused(REGISTER, "no name", changed(NEW, project__name=None), "missing project_name")
    yield from _field_errors(REGISTER, NEW, "project__")
    yield refused(REGISTER, "no id", changed(NEW, project__id=None), "missing project_id")
    for id in ("Upper", "under_score", "-dash", "x" * 64):
        words = f"invalid project id [{id}]: ["
        yield refused(REGISTER, f"id {id}", changed(NEW, project__id=id), words)


def _field_errors(method: str, request: dict[str, Any], path: str) -> Iterator[Row]:
    refusals: dict[str, tuple[str, Any, str]] = {
        "a long name": ("name", "n" * 65, "project_name cannot exceed 64 characters"),
        "a long description": ("description", "d" * 301, "project_description cannot exceed 300 characters"),
        "domains": ("domains", DOMAIN_LIST, "Domains are currently only set system wide"),
        "17 labels": (
            "labels",
            {"values": {f"k{number}": "v" for number in range(17)}},
            "labels map cannot exceed 16 entries",
        ),
        "a bad label key": ("labels", {"values": {"-k": "v"}}, "invalid label key [-k]: ["),
        "a bad label value": ("labels", {"values": {"k": "v "}}, "invalid label value [v ]: ["),
    }
    for title, (field, value, message) in refusals.items():
        yield refused(method, title, changed(request, **{f"{path}{field}": value}), message)


def _update() -> Iterator[Row]:
    given = [Call(REGISTER, NEW)]
    get = Call(GET, {"id": "new"})
    kept = {**NEW["project"], "state": None}
    yield succeeds(UPDATE, "nothing but the id", {"id": "new"}, given=given, then=[(get, kept)])
    archive = {"id": "new", "state": "ARCHIVED"}
    yield succeeds(UPDATE, "archive", archive, given=given, then=[(get, {"state": "ARCHIVED", "name": "New"})])
    again = [*given, Call(UPDATE, archive)]
    yield succeeds(UPDATE, "no state is active", {"id": "new"}, given=again, then=[(get, {"state": None})])
    labels = {"id": "new", "labels": {"values": {"other": "x"}}, "description": "changed"}
    replaced = {"labels": {"values": {"other": "x", "team": None}}, "description": "changed"}
    yield succeeds(UPDATE, "labels are replaced", labels, given=given, then=[(get, replaced)])
    words = "project [nobody] not found"
    yield fails(UPDATE, "an unknown project", {"id": "nobody"}, Code.NOT_FOUND, words)
    yield refused(UPDATE, "no id", {"name": "x"}, "missing project_id")
    yield from _field_errors(UPDATE, {"id": PROJECT}, "")


def _read() -> Iterator[Row]:
    stored = {"id": PROJECT, "name": PROJECT, "domains": DOMAIN_LIST}
    yield succeeds(GET, "a project", {"id": PROJECT}, stored)
    yield succeeds(GET, "an archived project", {"id": PROJECT}, {"state": "ARCHIVED"}, given=[archived()])
    yield refused(GET, "no id", {}, "missing project_id")
    yield fails(GET, "an unknown project", {"id": "nobody"}, Code.NOT_FOUND, "project [nobody] not found")
    yield succeeds(DOMAINS, "in the order of the settings", {}, {"domains": DOMAIN_LIST})
    yield succeeds(VERSION, "of the server", {}, {"control_plane_version": {}})


def _list() -> Iterator[Row]:
    given = [Call(REGISTER, NEW), Call(REGISTER, {"project": {"id": "alpha", "name": "Zeta"}})]
    alpha, snacks, new = {"id": "alpha", "domains": DOMAIN_LIST}, {"id": PROJECT}, {"id": "new"}
    yield succeeds(LIST, "all, by id", {}, {"projects": [alpha, snacks, new], "token": None}, given=given)
    page = {"limit": 2, "sort_by": sorted_by("identifier", "DESCENDING")}
    yield succeeds(LIST, "a page", page, {"projects": [new, snacks], "token": "2"}, given=given)
    rest = changed(page, token="2")
    yield succeeds(LIST, "the next page", rest, {"projects": [alpha], "token": None}, given=given)
    hidden = [*given, archived("new")]
    yield succeeds(LIST, "archived ones are hidden", {}, {"projects": [alpha, snacks]}, given=hidden)
    filters = {
        "eq(state,1)": [new],
        "contains(identifier,e)": [snacks, new],
        "eq(project.name,Zeta)": [alpha],
        "ne(identifier,alpha)": [snacks, new],
    }
    for text, projects in filters.items():
        yield succeeds(LIST, f"filters {text}", {"filters": text}, {"projects": projects}, given=hidden)
    yield from list_errors(LIST, {"limit": 5}, rpc="ListProjects", code="p", foreign="task:t")
