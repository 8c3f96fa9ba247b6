from __future__ import annotations

import pytest
from flyteidl.admin import common_pb2, project_pb2

from flytelite.config import Settings
from flytelite.errors import AlreadyExists, InvalidArgument, NotFound
from flytelite.server.admin.projects import Projects

Project = project_pb2.Project


def register(projects: Projects, **fields: object) -> None:
    project = Project(**({"id": "p1", "name": "one"} | fields))
    projects.register(project_pb2.ProjectRegisterRequest(project=project))


def listed(projects: Projects, **fields: object) -> list[str]:
    return [project.id for project in projects.list(project_pb2.ProjectListRequest(**fields)).projects]


def fetch(projects: Projects, id: str = "p1") -> project_pb2.Project:
    return projects.get(project_pb2.ProjectGetRequest(id=id))


def test_projects_of_the_settings_exist_once(store, settings, clock):
    Projects(store, settings, clock)
    again = Projects(store, Settings(projects=("flytesnacks", "mine")), clock)
    assert listed(again) == ["flytesnacks", "mine"]
    assert fetch(again, "flytesnacks").description == "flytesnacks description"
    with pytest.raises(InvalidArgument, match=r"invalid project id \[No Good\]"):
        Projects(store, Settings(projects=("No Good",)), clock)


def test_a_registered_project_has_the_domains(projects):
    register(projects, description="d", labels={"values": {"team": "x"}})
    project = fetch(projects)
    assert (project.name, project.description, dict(project.labels.values)) == ("one", "d", {"team": "x"})
    assert [domain.id for domain in project.domains] == ["development", "staging", "production"]
    assert projects.domains(project_pb2.GetDomainRequest()).domains == project.domains


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"name": ""}, "missing project_name"),
        ({"id": ""}, "missing project_id"),
        ({"id": "P1"}, "invalid project id [P1]: ["),
        ({"id": "p" * 64}, "invalid project id ["),
        ({"id": "-p"}, "invalid project id ["),
        ({"name": "n" * 65}, "project_name cannot exceed 64 characters"),
        ({"description": "d" * 301}, "project_description cannot exceed 300 characters"),
        ({"labels": {"values": {"": "x"}}}, "invalid label key []"),
        ({"domains": [{"id": "development"}]}, "Domains are currently only set system wide"),
    ],
)
def test_projects_that_cannot_be_registered(projects, fields, message):
    with pytest.raises(InvalidArgument) as caught:
        register(projects, **fields)
    assert str(caught.value).startswith(message)
    assert listed(projects) == ["flytesnacks"]


def test_registration_needs_a_project(projects):
    with pytest.raises(InvalidArgument, match=r"^missing project$"):
        projects.register(project_pb2.ProjectRegisterRequest())


def test_an_id_is_taken_once(projects):
    register(projects)
    with pytest.raises(AlreadyExists, match=r"^value with matching already exists"):
        register(projects, name="other")
    assert fetch(projects).name == "one"


def test_updates_keep_what_is_empty_but_always_set_the_state(projects):
    register(projects, description="d", labels={"values": {"a": "1"}}, state=Project.ARCHIVED)
    projects.update(Project(id="p1"))
    kept = fetch(projects)
    assert (kept.name, kept.description, dict(kept.labels.values)) == ("one", "d", {"a": "1"})
    assert kept.state == Project.ACTIVE
    projects.update(Project(id="p1", name="two", labels=common_pb2.Labels(values={"b": "2"})))
    assert fetch(projects).name == "two"
    assert dict(fetch(projects).labels.values) == {"b": "2"}
    assert listed(projects, filters="eq(name,two)") == ["p1"]
    projects.update(Project(id="p1", labels=common_pb2.Labels()))
    assert not fetch(projects).labels.values


def test_updates_look_the_project_up_before_they_check_it(projects):
    with pytest.raises(NotFound, match=r"^project \[No\] not found$"):
        projects.update(Project(id="No"))
    with pytest.raises(InvalidArgument):
        projects.update(Project(id="flytesnacks", name="n" * 65))


def test_a_get_needs_an_id_that_exists(projects):
    with pytest.raises(InvalidArgument, match=r"^missing project_id$"):
        fetch(projects, "")
    with pytest.raises(NotFound, match=r"^project \[x\] not found$"):
        fetch(projects, "x")


def test_lists_are_alphabetical_and_hide_archived_projects_unless_filtered(projects):
    register(projects, id="b")
    register(projects, id="a", state=Project.SYSTEM_GENERATED)
    register(projects, id="c", state=Project.ARCHIVED)
    assert listed(projects) == ["a", "b", "flytesnacks"]
    assert listed(projects, limit=2) == ["a", "b"]
    assert listed(projects, limit=2, token="2") == ["flytesnacks"]
    assert listed(projects, filters="ne(project.name,x)") == ["a", "b", "c", "flytesnacks"]
    assert listed(projects, filters="eq(identifier,c)") == ["c"]
    newest = common_pb2.Sort(key="created_at", direction=common_pb2.Sort.DESCENDING)
    assert listed(projects, sort_by=newest) == ["a", "b", "flytesnacks"]


def test_project_and_domain_are_checked(projects):
    register(projects, state=Project.ARCHIVED)
    projects.check("flytesnacks", "staging")
    with pytest.raises(InvalidArgument) as caught:
        projects.check("x", "staging")
    assert str(caught.value) == (
        "failed to validate that project [x] and domain [staging] are registered, err: [project [x] not found]"
    )
    with pytest.raises(InvalidArgument, match=r"^project \[p1\] is not active$") as inactive:
        projects.check("p1", "staging")
    assert inactive.value.details == (project_pb2.InactiveProject(id="p1"),)
    with pytest.raises(InvalidArgument, match=r"^domain \[moon\] is unrecognized by system$"):
        projects.check("flytesnacks", "moon")


def test_requests_are_copied(projects):
    project = Project(id="p1", name="one")
    projects.register(project_pb2.ProjectRegisterRequest(project=project))
    project.name = "changed"
    assert fetch(projects).name == "one"
