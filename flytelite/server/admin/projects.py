"""Projects, and the domains that all of them share.

Source: flyteadmin/pkg/manager/impl/project_manager.go, .../validation/project_validator.go,
flyteadmin/pkg/repositories/gormimpl/project_repo.go.
"""

from __future__ import annotations

from collections.abc import Sequence

from flyteidl.admin import common_pb2, project_pb2

from flytelite.config import Settings
from flytelite.errors import AlreadyExists, InvalidArgument, NotFound
from flytelite.server.admin.clock import Clock, now
from flytelite.server.admin.filters import Filter, Kind, timestamp_text
from flytelite.server.admin.listing import ROW, Entity, Listing, sort_of
from flytelite.server.admin.records import Record, Records
from flytelite.server.admin.validation import dns_label, labels, max_length, missing, require
from flytelite.server.store.interface import Condition, Operator, Store

PROJECT = Entity(
    code="p",
    prefix="project",
    columns={
        **ROW,
        "identifier": Kind.TEXT,
        "name": Kind.TEXT,
        "description": Kind.TEXT,
        "labels": Kind.OPAQUE,
        "state": Kind.INTEGER,
    },
)
PROJECTS = PROJECT.schema("projects", indexed=["identifier"], sorted=["identifier"])
MAX_NAME = 64
MAX_DESCRIPTION = 300

_ALPHABETICAL = common_pb2.Sort(key="identifier", direction=common_pb2.Sort.ASCENDING)


class Projects:
    """The project RPCs, and the checks of project and domain that other RPCs begin with."""

    def __init__(self, store: Store, settings: Settings, clock: Clock = now) -> None:
        """Projects named in the settings are registered unless they exist."""
        self._store = store
        self._clock = clock
        self._domains = [project_pb2.Domain(id=domain, name=domain) for domain in settings.domains]
        self._records = Records(store, PROJECTS, project_pb2.Project)
        self._listing = Listing(self._records, PROJECT)
        for id in settings.projects:
            self._seed(id)

    def register(self, request: project_pb2.ProjectRegisterRequest) -> project_pb2.ProjectRegisterResponse:
        """RegisterProject. Raises InvalidArgument, and AlreadyExists for an id that is taken."""
        if not request.HasField("project"):
            raise missing("project")
        require(request.project.name, "project_name")
        _check_project(request.project)
        if request.project.id in self._records:
            raise AlreadyExists(f"value with matching already exists (project [{request.project.id}])")
        self._insert(request.project)
        return project_pb2.ProjectRegisterResponse()

    def update(self, request: project_pb2.Project) -> project_pb2.ProjectUpdateResponse:
        """UpdateProject. An empty name or description and absent labels keep what there is; the state is always set.

        Raises NotFound and InvalidArgument.
        """
        require(request.id, "project_id")
        record = self._records.edit(request.id)
        if record is None:
            raise _not_found(request.id)
        _check_project(request)
        project = record.message
        project.name = request.name or project.name
        project.description = request.description or project.description
        project.state = request.state
        if request.HasField("labels"):
            project.labels.CopyFrom(request.labels)
        record.columns |= _columns(project) | {"updated_at": timestamp_text(self._clock())}
        self._records.put(record)
        return project_pb2.ProjectUpdateResponse()

    def get(self, request: project_pb2.ProjectGetRequest) -> project_pb2.Project:
        """GetProject. Raises InvalidArgument without an id, NotFound."""
        require(request.id, "project_id")
        project = self.find(request.id)
        if project is None:
            raise _not_found(request.id)
        return self._with_domains(project)

    def list(self, request: project_pb2.ProjectListRequest) -> project_pb2.Projects:
        """ListProjects: by identifier unless sorted otherwise, archived ones only when there is a filter, all rows
        when the limit is 0. Raises InvalidArgument."""
        page = self._listing.page(
            rpc="ListProjects",
            limit=request.limit,
            token=request.token,
            filters=request.filters,
            sort_by=sort_of(request) or _ALPHABETICAL,
            implicit=_not_archived,
        )
        projects = [self._with_domains(record.message) for record in page.records]
        return project_pb2.Projects(projects=projects, token=page.token)

    def domains(self, request: project_pb2.GetDomainRequest) -> project_pb2.GetDomainsResponse:
        """GetDomains, in the order of the settings."""
        return project_pb2.GetDomainsResponse(domains=self._domains)

    def find(self, id: str) -> project_pb2.Project | None:
        """The project without its domains, whatever its state. Shared: never change it."""
        record = self._records.get(id)
        return None if record is None else record.message

    def check(self, project: str, domain: str) -> None:
        """Raise InvalidArgument unless the project exists and is active and the domain exists."""
        found = self.find(project)
        if found is None:
            raise InvalidArgument(
                f"failed to validate that project [{project}] and domain [{domain}] are registered, "
                f"err: [{_not_found(project)}]"
            )
        if found.state != project_pb2.Project.ACTIVE:
            detail = project_pb2.InactiveProject(id=project)
            raise InvalidArgument(f"project [{project}] is not active", [detail])
        if all(domain != known.id for known in self._domains):
            raise InvalidArgument(f"domain [{domain}] is unrecognized by system")

    def check_for_update(self, project: str) -> None:
        """Raise InvalidArgument unless the project exists and is active (attributes of a whole project)."""
        found = self.find(project)
        if found is None:
            raise InvalidArgument(
                f"failed to validate that project [{project}] is registered, err: [{_not_found(project)}]"
            )
        if found.state != project_pb2.Project.ACTIVE:
            raise InvalidArgument(f"project [{project}] is not active")

    def check_exists(self, project: str) -> None:
        """Raise InvalidArgument unless the project exists."""
        if project not in self._records:
            raise InvalidArgument(f"failed to validate that project [{project}] exists, err: [{_not_found(project)}]")

    def _seed(self, id: str) -> None:
        project = project_pb2.Project(id=id, name=id, description=f"{id} description")
        _check_project(project)
        if id not in self._records:
            self._insert(project)

    def _insert(self, project: project_pb2.Project) -> None:
        stamp = timestamp_text(self._clock())
        columns = {**_columns(project), "created_at": stamp, "updated_at": stamp}
        self._records.put(Record(project.id, project, columns))

    def _with_domains(self, project: project_pb2.Project) -> project_pb2.Project:
        complete = project_pb2.Project()
        complete.CopyFrom(project)
        complete.domains.extend(self._domains)
        return complete


def _columns(project: project_pb2.Project) -> dict[str, str | int]:
    return {
        "identifier": project.id,
        "name": project.name,
        "description": project.description,
        "state": project.state,
    }


def _not_archived(filters: Sequence[Filter]) -> Sequence[Condition]:
    return () if filters else (Condition("state", Operator.NOT_EQUAL, (project_pb2.Project.ARCHIVED,)),)


def _not_found(id: str) -> NotFound:
    return NotFound(f"project [{id}] not found")


def _check_project(project: project_pb2.Project) -> None:
    require(project.id, "project_id")
    labels(project.labels.values)
    faults = dns_label(project.id)
    if faults:
        raise InvalidArgument(f"invalid project id [{project.id}]: [{'; '.join(faults)}]")
    max_length(project.name, "project_name", MAX_NAME)
    max_length(project.description, "project_description", MAX_DESCRIPTION)
    if project.domains:
        raise InvalidArgument("Domains are currently only set system wide. Please register without domains.")
