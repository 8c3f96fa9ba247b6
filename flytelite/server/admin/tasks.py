"""Tasks.

Source: flyteadmin/pkg/manager/impl/task_manager.go, .../validation/task_validator.go,
flyteadmin/pkg/repositories/transformers/task.go.
"""

from __future__ import annotations

from flyteidl.admin import common_pb2, task_pb2
from flyteidl.core import compiler_pb2, identifier_pb2, tasks_pb2

from flytelite.compiler.digests import is_same
from flytelite.compiler.errors import CompilationFailed
from flytelite.compiler.tasks import compile_task
from flytelite.errors import AlreadyExists, InvalidArgument
from flytelite.server.admin.attributes import Attributes
from flytelite.server.admin.clock import Clock, now
from flytelite.server.admin.description_entities import DescriptionEntities
from flytelite.server.admin.differences import different_structure
from flytelite.server.admin.filters import timestamp_text
from flytelite.server.admin.identifiers import entity_key, missing_entity
from flytelite.server.admin.listing import Listing, sort_of
from flytelite.server.admin.named_entities import NamedEntities
from flytelite.server.admin.projects import Projects
from flytelite.server.admin.records import Record
from flytelite.server.admin.registry_tables import TASK, in_scope, tasks, version_columns
from flytelite.server.admin.task_templates import check_template, platform_limits
from flytelite.server.admin.validation import entity_identifier, identifier_fields, list_scope, missing
from flytelite.server.store.interface import Store


class Tasks:
    """The task RPCs."""

    def __init__(
        self,
        store: Store,
        projects: Projects,
        named_entities: NamedEntities,
        descriptions: DescriptionEntities,
        attributes: Attributes,
        *,
        clock: Clock = now,
    ) -> None:
        self._store = store
        self._projects = projects
        self._named_entities = named_entities
        self._descriptions = descriptions
        self._attributes = attributes
        self._clock = clock
        self.records = tasks(store)
        self._listing = Listing(self.records, TASK)

    def create(self, request: task_pb2.TaskCreateRequest) -> task_pb2.TaskCreateResponse:
        """CreateTask. Raises InvalidArgument (also when that version exists with another structure) and AlreadyExists
        when it exists with the same structure."""
        id, spec = request.id, request.spec
        self._check(request)
        compiled = _compile(id, spec.template)
        existing = self.find(id)
        if existing is not None:
            if is_same(existing.closure.compiled_task, compiled):
                raise AlreadyExists("task with identical structure already exists")
            raise InvalidArgument(different_structure(id.name, "task", existing.closure.compiled_task, compiled))
        with self._store.batch():
            self._insert(id, compiled, spec.description.short_description)
            self._named_entities.register(id)
            if spec.HasField("description"):
                self._descriptions.put(id, spec.description)
        return task_pb2.TaskCreateResponse()

    def get(self, request: common_pb2.ObjectGetRequest) -> task_pb2.Task:
        """GetTask, whatever resource type is asked for. Raises InvalidArgument without a full identifier, NotFound."""
        identifier_fields(request.id)
        task = self.find(request.id)
        if task is None:
            raise missing_entity("TASK", request.id)
        return task

    def find(self, id: identifier_pb2.Identifier) -> task_pb2.Task | None:
        """The task, whatever the identifier's resource type says. Shared: never change it."""
        record = self.records.get(entity_key(id))
        return None if record is None else record.message

    def list(self, request: common_pb2.ResourceListRequest) -> task_pb2.TaskList:
        """ListTasks. Raises InvalidArgument."""
        list_scope(request.id, request.limit)
        page = self._listing.page(
            rpc="ListTasks",
            limit=request.limit,
            token=request.token,
            filters=request.filters,
            sort_by=sort_of(request),
            scope=in_scope(request.id),
        )
        return task_pb2.TaskList(tasks=[record.message for record in page.records], token=page.token)

    def list_ids(self, request: common_pb2.NamedEntityIdentifierListRequest) -> common_pb2.NamedEntityIdentifierList:
        """ListTaskIds. Raises InvalidArgument."""
        return self._named_entities.identifiers(request, identifier_pb2.TASK, TASK.columns, "ListUniqueTaskIdentifiers")

    def _check(self, request: task_pb2.TaskCreateRequest) -> None:
        entity_identifier(request.id, identifier_pb2.TASK)
        self._projects.check(request.id.project, request.id.domain)
        if not request.spec.HasField("template"):
            raise missing("spec")
        limits = platform_limits(self._attributes.task_resources(request.id.project, request.id.domain, "").limits)
        check_template(request.id, request.spec.template, limits)

    def _insert(
        self, id: identifier_pb2.Identifier, compiled: compiler_pb2.CompiledTask, short_description: str
    ) -> None:
        created_at = self._clock()
        closure = task_pb2.TaskClosure(compiled_task=compiled, created_at=created_at)
        task = task_pb2.Task(id=id, closure=closure, short_description=short_description)
        columns = {
            **version_columns(id),
            "type": compiled.template.type,
            "short_description": short_description,
            "created_at": timestamp_text(created_at),
            "updated_at": timestamp_text(created_at),
        }
        self.records.put(Record(entity_key(id), task, columns))


def _compile(id: identifier_pb2.Identifier, template: tasks_pb2.TaskTemplate) -> compiler_pb2.CompiledTask:
    named = tasks_pb2.TaskTemplate()
    named.CopyFrom(template)
    named.id.CopyFrom(id)
    try:
        return compile_task(named)
    except CompilationFailed as error:
        raise InvalidArgument(f"task failed compilation with {error}") from error
