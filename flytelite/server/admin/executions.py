"""Workflow executions: starting, ending and reading them.

Source: flyteadmin/pkg/manager/impl/execution_manager.go.
"""

from __future__ import annotations

import builtins
from typing import TypeAlias

from flyteidl.admin import common_pb2, execution_pb2, launch_plan_pb2
from flyteidl.core import identifier_pb2, literals_pb2
from google.protobuf import json_format

from flytelite.config import Settings
from flytelite.errors import AlreadyExists, InvalidArgument, NotFound
from flytelite.server.admin import execution_creation, phases, validation
from flytelite.server.admin.attributes import Attributes
from flytelite.server.admin.changes import AbortRequested, Changes, ExecutionChanged, ExecutionCreated
from flytelite.server.admin.clock import Clock, now
from flytelite.server.admin.event_checks import already_terminal
from flytelite.server.admin.execution_creation import Draft, Origin
from flytelite.server.admin.execution_inputs import merge_inputs
from flytelite.server.admin.execution_list import active_only, execution_listing
from flytelite.server.admin.execution_messages import trim_error
from flytelite.server.admin.execution_settings import Config, ExecutionSettings, Platform, resolved_spec
from flytelite.server.admin.execution_tables import EXECUTION_TAGS, EXECUTIONS, NODE_EXECUTIONS
from flytelite.server.admin.filters import timestamp_text
from flytelite.server.admin.identifiers import execution_key, join, missing_entity, node_execution_key, text
from flytelite.server.admin.launch_plans import LaunchPlans
from flytelite.server.admin.listing import sort_of
from flytelite.server.admin.literal_maps import LiteralMaps, LiteralReader
from flytelite.server.admin.named_entities import NamedEntities
from flytelite.server.admin.objects import Objects
from flytelite.server.admin.projects import Projects
from flytelite.server.admin.records import Record, Records
from flytelite.server.admin.single_task import SingleTasks, generated_workflow
from flytelite.server.admin.tasks import Tasks
from flytelite.server.admin.workflows import Workflows
from flytelite.server.store.interface import Condition, Operator, Query, Store

Id: TypeAlias = identifier_pb2.WorkflowExecutionIdentifier
Mode = execution_pb2.ExecutionMetadata.ExecutionMode
ExecutionRecord = Record[execution_pb2.Execution]


class Executions:
    """The execution RPCs. Messages handed out are shared: never change one."""

    def __init__(
        self,
        store: Store,
        *,
        settings: Settings,
        projects: Projects,
        tasks: Tasks,
        workflows: Workflows,
        launch_plans: LaunchPlans,
        named_entities: NamedEntities,
        attributes: Attributes,
        literal_maps: LiteralMaps,
        objects: Objects,
        changes: Changes,
        clock: Clock = now,
    ) -> None:
        self.records = Records(store, EXECUTIONS, execution_pb2.Execution)
        self._store = store
        self._tags = store.table(EXECUTION_TAGS)
        self._nodes = store.table(NODE_EXECUTIONS)
        self._listing = execution_listing(store, self.records)
        self._projects = projects
        self._launch_plans = launch_plans
        self._workflows = workflows
        self._single_tasks = SingleTasks(store, tasks, workflows, launch_plans, named_entities)
        self._settings = ExecutionSettings(settings, projects, attributes)
        self._literal_maps = literal_maps
        self._literals = LiteralReader(literal_maps, objects, settings)
        self._changes = changes
        self._clock = clock

    def create(self, request: execution_pb2.ExecutionCreateRequest) -> execution_pb2.ExecutionCreateResponse:
        """CreateExecution: of a launch plan, or of a task by itself.

        Raises InvalidArgument, NotFound for an unknown launch plan, task or parent node, and AlreadyExists for a name
        that is taken and for a launch plan that runs as often as it may.
        """
        if not request.inputs.literals and request.spec.inputs.literals:
            request = _copy_of(request)
            request.inputs.CopyFrom(request.spec.inputs)
        return self._create(request)

    def relaunch(self, request: execution_pb2.ExecutionRelaunchRequest) -> execution_pb2.ExecutionCreateResponse:
        """RelaunchExecution: the same again, from the start. Raises what CreateExecution raises, and NotFound."""
        source = self._existing(request.id)
        again = self._repetition(source, request.name, Mode.RELAUNCH)
        again.spec.overwrite_cache = request.overwrite_cache
        return self._create(again, source)

    def recover(self, request: execution_pb2.ExecutionRecoverRequest) -> execution_pb2.ExecutionCreateResponse:
        """RecoverExecution: the same again, reusing what succeeded. Raises what RelaunchExecution raises."""
        source = self._existing(request.id)
        again = self._repetition(source, request.name, Mode.RECOVERED)
        if request.HasField("metadata"):
            again.spec.metadata.ClearField("parent_node_execution")
            if request.metadata.HasField("parent_node_execution"):
                again.spec.metadata.parent_node_execution.CopyFrom(request.metadata.parent_node_execution)
        return self._create(again, source)

    def get(self, request: execution_pb2.WorkflowExecutionGetRequest) -> execution_pb2.Execution:
        """GetExecution. Raises InvalidArgument and NotFound."""
        validation.execution_identifier(request.id)
        return self._existing(request.id).message

    def list(self, request: common_pb2.ResourceListRequest) -> execution_pb2.ExecutionList:
        """ListExecutions, without inputs and with short errors. Raises InvalidArgument."""
        validation.list_scope(request.id, request.limit)
        scope = [Condition("project_domain", Operator.EQUAL, (join(request.id.project, request.id.domain),))]
        if request.id.name:
            scope.append(Condition("execution_name", Operator.EQUAL, (request.id.name,)))
        page = self._listing.page(
            rpc="ListExecutions",
            limit=request.limit,
            token=request.token,
            filters=request.filters,
            sort_by=sort_of(request),
            scope=scope,
            implicit=active_only,
        )
        response = execution_pb2.ExecutionList(token=page.token)
        for record in page.records:
            shown = response.executions.add()
            shown.CopyFrom(record.message)
            shown.spec.ClearField("inputs")
            shown.closure.ClearField("computed_inputs")
            trim_error(shown.closure)
        return response

    def update(self, request: execution_pb2.ExecutionUpdateRequest) -> execution_pb2.ExecutionUpdateResponse:
        """UpdateExecution: archive it or bring it back. Raises InvalidArgument and NotFound."""
        validation.execution_identifier(request.id)
        if request.state not in execution_pb2.ExecutionState.values():
            raise validation.invalid("state")
        record = self._editable(request.id)
        details = execution_pb2.ExecutionStateChangeDetails(state=request.state, occurred_at=self._clock())
        record.message.closure.state_change_details.CopyFrom(details)
        record.columns["state"] = request.state
        self._put(record)
        self._changes.publish(ExecutionChanged(record.message.id))
        return execution_pb2.ExecutionUpdateResponse()

    def terminate(self, request: execution_pb2.ExecutionTerminateRequest) -> execution_pb2.ExecutionTerminateResponse:
        """TerminateExecution: ABORTING from now on; the engine ends it.

        Raises InvalidArgument, NotFound, and FailedPrecondition (detail EventFailureReason) when it has ended.
        """
        validation.execution_identifier(request.id)
        record = self._editable(request.id)
        closure = record.message.closure
        if closure.phase in phases.WORKFLOW_TERMINAL:
            raise already_terminal(
                "Cannot abort an already terminated workflow execution", phases.name(phases.WORKFLOW, closure.phase)
            )
        closure.phase = phases.WORKFLOW.ABORTING
        closure.abort_metadata.CopyFrom(execution_pb2.AbortMetadata(cause=request.cause))
        record.columns |= {"phase": "ABORTING", "abort_cause": request.cause}
        self._put(record)
        self._changes.publish(AbortRequested(record.message.id, request.cause))
        self._changes.publish(ExecutionChanged(record.message.id))
        return execution_pb2.ExecutionTerminateResponse()

    def data(
        self, request: execution_pb2.WorkflowExecutionGetDataRequest
    ) -> execution_pb2.WorkflowExecutionGetDataResponse:
        """GetExecutionData; data that is not there is an empty map. Raises NotFound."""
        record = self._existing(request.id)
        response = execution_pb2.WorkflowExecutionGetDataResponse()
        self._literals.fill(response, record.columns["inputs_uri"], record.message.closure.outputs.uri)
        return response

    def find(self, id: Id) -> execution_pb2.Execution | None:
        """The execution, or None."""
        record = self.records.get(execution_key(id))
        return None if record is None else record.message

    def inputs(self, id: Id) -> literals_pb2.LiteralMap:
        """The LiteralMap to run with, defaults and fixed inputs among it. Raises NotFound."""
        return self._literals.read(self._existing(id).columns["inputs_uri"])

    def outputs(self, id: Id) -> literals_pb2.LiteralMap:
        """The outputs. Raises NotFound when there is no such execution, or it has no outputs that can be read."""
        record = self._existing(id)
        uri = record.message.closure.outputs.uri
        outputs = self._literals.find(uri)
        if outputs is None:
            raise NotFound(f"execution [{text(id)}] has no outputs" + (f" at [{uri}]" if uri else ""))
        return outputs

    def resolved_spec(self, id: Id) -> execution_pb2.ExecutionSpec:
        """The spec with the values that hold after merging request, launch plan, attributes and settings.

        Raises NotFound.
        """
        record = self._existing(id)
        return resolved_spec(record.message.spec, json_format.ParseDict(record.extra["config"], Config()))

    def platform(self, id: Id) -> Platform:
        """What held for all of its tasks when it was created. Raises NotFound."""
        return Platform.of(self._existing(id).extra)

    def unfinished(self) -> builtins.list[Id]:
        """Every execution that has not ended, oldest first."""
        running = Condition("phase", Operator.IN, phases.UNFINISHED)
        return [record.message.id for record in self.records.find(Query((running,)))]

    def unfinished_labelled(self, project: str, domain: str, key: str, value: str) -> builtins.list[Id]:
        """The executions with that label that have not ended."""
        wanted = {"key": key, "value": value, "execution_project": project, "execution_domain": domain}
        labelled = Query(tuple(Condition(column, Operator.EQUAL, (text,)) for column, text in wanted.items()))
        # A tag's key is that of its execution and two parts more.
        found = (self.records.get(tag.rsplit("/", 2)[0]) for tag in self._tags.keys(labelled))
        return [one.message.id for one in found if one is not None and one.columns["phase"] in phases.UNFINISHED]

    def _existing(self, id: Id) -> ExecutionRecord:
        record = self.records.get(execution_key(id))
        if record is None:
            raise missing_entity("execution", id)
        return record

    def _editable(self, id: Id) -> ExecutionRecord:
        record = self.records.edit(execution_key(id))
        if record is None:
            raise missing_entity("execution", id)
        return record

    def _put(self, record: ExecutionRecord) -> None:
        record.columns["updated_at"] = timestamp_text(self._clock())
        self.records.put(record)

    def _repetition(self, source: ExecutionRecord, name: str, mode: int) -> execution_pb2.ExecutionCreateRequest:
        """A request for what ``source`` was: its spec, and its inputs as they were sent."""
        id = source.message.id
        request = execution_pb2.ExecutionCreateRequest(
            project=id.project,
            domain=id.domain,
            name=name,
            spec=source.message.spec,
            inputs=self._literals.read(source.columns["user_inputs_uri"]),
        )
        request.spec.metadata.mode = mode
        request.spec.metadata.reference_execution.CopyFrom(id)
        return request

    def _create(
        self, request: execution_pb2.ExecutionCreateRequest, source: ExecutionRecord | None = None
    ) -> execution_pb2.ExecutionCreateResponse:
        execution_creation.check_request(request, self._projects)
        with self._store.batch():
            draft = self._draft(request, source)
            message = execution_creation.execution(draft)
            self.records.put(execution_creation.record(draft, message))
            for key, tag in execution_creation.tags(draft, message.spec):
                self._tags.put(key, tag)
        self._changes.publish(ExecutionCreated(draft.id))
        return execution_pb2.ExecutionCreateResponse(id=draft.id)

    def _draft(self, request: execution_pb2.ExecutionCreateRequest, source: ExecutionRecord | None) -> Draft:
        is_single_task = request.spec.launch_plan.resource_type == identifier_pb2.TASK
        launch_plan = self._single_tasks.launch_plan(request.spec) if is_single_task else self._launch_plan(request)
        inputs = merge_inputs(request.inputs, launch_plan.spec.fixed_inputs, launch_plan.closure.expected_inputs)
        workflow_id = generated_workflow(request.spec.launch_plan) if is_single_task else launch_plan.spec.workflow_id
        if self._workflows.find(workflow_id) is None:
            raise missing_entity("WORKFLOW", workflow_id)
        spec = execution_pb2.ExecutionSpec()
        spec.CopyFrom(request.spec)
        spec.metadata.principal = ""
        origin = self._inherit(spec, source)
        config = self._settings.resolve(request, None if is_single_task else launch_plan)
        if spec.labels.values:
            self._settings.add_project_labels(request.project, spec.labels.values)
        if not is_single_task:
            self._check_concurrency(launch_plan)
        id = self._free_id(request)
        return Draft(
            id=id,
            spec=spec,
            config=config,
            platform=self._settings.platform(id, workflow_id, launch_plan.id.name),
            launch_plan=launch_plan,
            workflow_id=workflow_id,
            origin=origin,
            inputs_uri=self._literal_maps.offload(inputs),
            user_inputs_uri=self._literal_maps.offload(request.inputs),
            created_at=self._clock(),
        )

    def _launch_plan(self, request: execution_pb2.ExecutionCreateRequest) -> launch_plan_pb2.LaunchPlan:
        launch_plan = self._launch_plans.find(request.spec.launch_plan)
        if launch_plan is None:
            raise missing_entity("LAUNCH_PLAN", request.spec.launch_plan)
        return launch_plan

    def _inherit(self, spec: execution_pb2.ExecutionSpec, source: ExecutionRecord | None) -> Origin:
        """What an execution that a node launches takes from the node's execution (getInheritedExecMetadata)."""
        if not spec.metadata.HasField("parent_node_execution"):
            return Origin(source)
        node = spec.metadata.parent_node_execution
        key = node_execution_key(node)
        if key not in self._nodes:
            raise missing_entity("node execution", node)
        parent = self._existing(node.execution_id)
        spec.metadata.principal = parent.columns["user"]
        spec.metadata.nesting = parent.message.spec.metadata.nesting + 1
        if parent.message.spec.HasField("execution_cluster_label"):
            spec.execution_cluster_label.CopyFrom(parent.message.spec.execution_cluster_label)
        return Origin(source or parent, key)

    def _check_concurrency(self, launch_plan: launch_plan_pb2.LaunchPlan) -> None:
        """Refuse to run a launch plan, of whatever version, more often at a time than its policy allows."""
        policy = launch_plan.spec.concurrency_policy
        if policy.behavior == launch_plan_pb2.CONCURRENCY_LIMIT_BEHAVIOR_UNSPECIFIED:
            return
        running = (
            Condition("launch_plan.name", Operator.EQUAL, (launch_plan.id.name,)),
            Condition("project_domain", Operator.EQUAL, (join(launch_plan.id.project, launch_plan.id.domain),)),
            Condition("phase", Operator.IN, ("QUEUED", "RUNNING")),
        )
        if self.records.table.count(running) < policy.max:
            return
        if policy.behavior != launch_plan_pb2.CONCURRENCY_LIMIT_BEHAVIOR_SKIP:
            raise InvalidArgument(f"unsupported concurrency-limit behavior: {policy.behavior}")
        raise AlreadyExists(
            f"concurrency limit ({policy.max}) reached for launch plan {launch_plan.id.name}; skipping execution"
        )

    def _free_id(self, request: execution_pb2.ExecutionCreateRequest) -> Id:
        id = Id(project=request.project, domain=request.domain, name=request.name)
        if not request.name:
            id.name = execution_creation.generated_name()
            while execution_key(id) in self.records:
                id.name = execution_creation.generated_name()
        elif execution_key(id) in self.records:
            raise AlreadyExists(f"value with matching already exists (execution [{text(id)}])")
        return id


def _copy_of(request: execution_pb2.ExecutionCreateRequest) -> execution_pb2.ExecutionCreateRequest:
    copy = execution_pb2.ExecutionCreateRequest()
    copy.CopyFrom(request)
    return copy
