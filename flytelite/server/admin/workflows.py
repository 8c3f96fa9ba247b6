"""Workflows.

Source: flyteadmin/pkg/manager/impl/workflow_manager.go, .../validation/workflow_validator.go,
flyteadmin/pkg/repositories/transformers/workflow.go.
"""

from __future__ import annotations

from flyteidl.admin import common_pb2, launch_plan_pb2, task_pb2, workflow_pb2
from flyteidl.core import compiler_pb2, identifier_pb2, interface_pb2

from flytelite.compiler.digests import is_same
from flytelite.compiler.errors import CompilationFailed
from flytelite.compiler.workflows import compile_workflow, required
from flytelite.config import Settings
from flytelite.errors import AlreadyExists, FlyteError, InvalidArgument, NotFound
from flytelite.server.admin import registry_tables
from flytelite.server.admin.clock import Clock, now
from flytelite.server.admin.closures import Closures
from flytelite.server.admin.description_entities import DescriptionEntities
from flytelite.server.admin.differences import different_structure
from flytelite.server.admin.filters import timestamp_text
from flytelite.server.admin.identifiers import entity_key, missing_entity, text
from flytelite.server.admin.listing import Listing, sort_of
from flytelite.server.admin.named_entities import NamedEntities
from flytelite.server.admin.projects import Projects
from flytelite.server.admin.records import Record
from flytelite.server.admin.registry_tables import WORKFLOW, in_scope, version_columns
from flytelite.server.admin.tasks import Tasks
from flytelite.server.admin.validation import entity_identifier, list_scope, missing, with_default_type
from flytelite.server.store.interface import Store

SYSTEM_NODES = 2
"""start-node and end-node, which the compiler adds."""


class Workflows:
    """The workflow RPCs."""

    def __init__(
        self,
        store: Store,
        projects: Projects,
        tasks: Tasks,
        named_entities: NamedEntities,
        descriptions: DescriptionEntities,
        *,
        settings: Settings,
        clock: Clock = now,
    ) -> None:
        self._store = store
        self._projects = projects
        self._tasks = tasks
        self._named_entities = named_entities
        self._descriptions = descriptions
        self._settings = settings
        self._clock = clock
        self.records = registry_tables.workflows(store)
        self._closures = Closures(store)
        self._launch_plans = registry_tables.launch_plans(store)
        self._listing = Listing(self.records, WORKFLOW)

    def create(self, request: workflow_pb2.WorkflowCreateRequest) -> workflow_pb2.WorkflowCreateResponse:
        """CreateWorkflow. Raises InvalidArgument (also when it does not compile, or that version exists with another
        structure) and AlreadyExists when it exists with the same structure."""
        id = request.id
        closure = self._compile(request)
        existing = self.closure(id)
        if existing is not None:
            raise _exists(id, existing, closure)
        with self._store.batch():
            self._insert(id, closure, request.spec.description.short_description)
            self._named_entities.register(id)
            if request.spec.HasField("description"):
                self._descriptions.put(id, request.spec.description)
        return workflow_pb2.WorkflowCreateResponse()

    def get(self, request: common_pb2.ObjectGetRequest) -> workflow_pb2.Workflow:
        """GetWorkflow, with the full compiled closure. Raises InvalidArgument, NotFound."""
        id = with_default_type(request.id, identifier_pb2.WORKFLOW)
        entity_identifier(id, identifier_pb2.WORKFLOW)
        listed, closure = self.find(id), self.closure(id)
        if listed is None or closure is None:
            raise missing_entity("WORKFLOW", id)
        return workflow_pb2.Workflow(
            id=listed.id,
            closure=workflow_pb2.WorkflowClosure(compiled_workflow=closure, created_at=listed.closure.created_at),
            short_description=listed.short_description,
        )

    def find(self, id: identifier_pb2.Identifier) -> workflow_pb2.Workflow | None:
        """The workflow as lists show it, without nodes and tasks. Shared: never change it."""
        record = self.records.get(entity_key(id))
        return None if record is None else record.message

    def closure(self, id: identifier_pb2.Identifier) -> compiler_pb2.CompiledWorkflowClosure | None:
        """The compiled workflow."""
        record = self.records.get(entity_key(id))
        return None if record is None else self._closures.get(record.extra["closure"], record.message.id)

    def interface(self, id: identifier_pb2.Identifier) -> interface_pb2.TypedInterface:
        """The workflow's inputs and outputs. Shared: never change it. Raises NotFound."""
        workflow = self.find(id)
        if workflow is None:
            raise missing_entity("WORKFLOW", id)
        return workflow.closure.compiled_workflow.primary.template.interface

    def list(self, request: common_pb2.ResourceListRequest) -> workflow_pb2.WorkflowList:
        """ListWorkflows, without nodes and tasks. Raises InvalidArgument."""
        list_scope(request.id, request.limit)
        page = self._listing.page(
            rpc="ListWorkflows",
            limit=request.limit,
            token=request.token,
            filters=request.filters,
            sort_by=sort_of(request),
            scope=in_scope(request.id),
        )
        return workflow_pb2.WorkflowList(workflows=[record.message for record in page.records], token=page.token)

    def list_ids(self, request: common_pb2.NamedEntityIdentifierListRequest) -> common_pb2.NamedEntityIdentifierList:
        """ListWorkflowIds. Raises InvalidArgument."""
        return self._named_entities.identifiers(
            request, identifier_pb2.WORKFLOW, WORKFLOW.columns, "ListWorkflowIdentifiers"
        )

    def _compile(self, request: workflow_pb2.WorkflowCreateRequest) -> compiler_pb2.CompiledWorkflowClosure:
        id = request.id
        entity_identifier(id, identifier_pb2.WORKFLOW)
        self._projects.check(id.project, id.domain)
        if not request.spec.HasField("template"):
            raise missing("spec")
        template = workflow_pb2.WorkflowSpec(template=request.spec.template).template
        template.id.CopyFrom(id)
        try:
            needs = required(template, request.spec.sub_workflows)
            tasks = [self._task(task_id).closure.compiled_task for task_id in needs.tasks]
            launch_plans = [self._launch_plan(plan_id) for plan_id in needs.launch_plans]
            closure = compile_workflow(template, request.spec.sub_workflows, tasks, launch_plans)
        except (CompilationFailed, NotFound) as error:
            raise InvalidArgument(f"failed to compile workflow for [{text(id)}] with err: {error}") from error
        nodes, most = len(closure.primary.template.nodes) - SYSTEM_NODES, self._settings.max_workflow_nodes
        if most and nodes > most:
            raise InvalidArgument(f"number of nodes in workflow [{text(id)}] exceeds limit ({nodes} > {most})")
        return closure

    def _task(self, id: identifier_pb2.Identifier) -> task_pb2.Task:
        task = self._tasks.find(id)
        if task is None:
            raise missing_entity("TASK", id)
        return task

    def _launch_plan(self, id: identifier_pb2.Identifier) -> launch_plan_pb2.LaunchPlan:
        record = self._launch_plans.get(entity_key(id))
        if record is None:
            raise missing_entity("LAUNCH_PLAN", id)
        return record.message

    def _insert(
        self,
        id: identifier_pb2.Identifier,
        closure: compiler_pb2.CompiledWorkflowClosure,
        short_description: str,
    ) -> None:
        """Two rows: a small one to list, and the closure, which can be large."""
        created_at = self._clock()
        workflow = workflow_pb2.Workflow(id=id, short_description=short_description)
        workflow.closure.created_at.CopyFrom(created_at)
        listed = workflow.closure.compiled_workflow.primary.template.interface
        listed.SetInParent()
        listed.MergeFrom(closure.primary.template.interface)
        columns = {
            **version_columns(id),
            "short_description": short_description,
            "created_at": timestamp_text(created_at),
            "updated_at": timestamp_text(created_at),
        }
        self.records.put(Record(entity_key(id), workflow, columns, {"closure": self._closures.put(closure)}))


def _exists(
    id: identifier_pb2.Identifier,
    old: compiler_pb2.CompiledWorkflowClosure,
    new: compiler_pb2.CompiledWorkflowClosure,
) -> FlyteError:
    reason = workflow_pb2.CreateWorkflowFailureReason()
    if is_same(old, new):
        reason.exists_identical_structure.id.CopyFrom(id)
        return AlreadyExists("workflow with identical structure already exists", [reason])
    reason.exists_different_structure.id.CopyFrom(id)
    return InvalidArgument(different_structure(id.name, "workflow", old, new), [reason])
