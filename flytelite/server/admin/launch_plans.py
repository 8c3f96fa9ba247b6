"""Launch plans.

Source: flyteadmin/pkg/manager/impl/launch_plan_manager.go, .../validation/launch_plan_validator.go,
flyteadmin/pkg/repositories/gormimpl/launch_plan_repo.go.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from flyteidl.admin import common_pb2, launch_plan_pb2
from flyteidl.core import identifier_pb2, interface_pb2
from google.protobuf import timestamp_pb2

from flytelite.compiler.digests import is_same
from flytelite.errors import AlreadyExists, InvalidArgument, NotFound
from flytelite.server.admin import registry_tables
from flytelite.server.admin.clock import Clock, now
from flytelite.server.admin.differences import different_structure
from flytelite.server.admin.filters import timestamp_text
from flytelite.server.admin.identifiers import entity_key, missing_entity, text
from flytelite.server.admin.launch_plan_inputs import (
    check_parameters,
    check_schedule,
    expected_inputs,
    has_schedule,
    schedule_type,
)
from flytelite.server.admin.listing import Join, Listing, Page, sort_of
from flytelite.server.admin.named_entities import NamedEntities
from flytelite.server.admin.projects import Projects
from flytelite.server.admin.records import Record
from flytelite.server.admin.registry_tables import LAUNCH_PLAN, WORKFLOW, WORKFLOW_PARTS, in_scope, version_columns
from flytelite.server.admin.schedules import Schedules
from flytelite.server.admin.validation import (
    entity_identifier,
    identifier_fields,
    labels,
    limit,
    list_scope,
    literal_map,
    notifications,
    require,
    with_default_type,
)
from flytelite.server.admin.workflows import Workflows
from flytelite.server.store.interface import Condition, Operator, Query, Store

ACTIVE, INACTIVE = launch_plan_pb2.ACTIVE, launch_plan_pb2.INACTIVE


class LaunchPlans:
    """The launch plan RPCs."""

    def __init__(
        self,
        store: Store,
        projects: Projects,
        workflows: Workflows,
        named_entities: NamedEntities,
        *,
        schedules: Schedules,
        clock: Clock = now,
    ) -> None:
        self._store = store
        self._projects = projects
        self._workflows = workflows
        self._named_entities = named_entities
        self._schedules = schedules
        self._clock = clock
        self.records = registry_tables.launch_plans(store)
        of_workflow = Join((WORKFLOW,), self._of_workflows, WORKFLOW_PARTS)
        self._listing = Listing(self.records, LAUNCH_PLAN, [of_workflow])

    def create(self, request: launch_plan_pb2.LaunchPlanCreateRequest) -> launch_plan_pb2.LaunchPlanCreateResponse:
        """CreateLaunchPlan. Raises NotFound without the workflow, InvalidArgument (also when that version exists with
        another structure) and AlreadyExists when it exists with the same structure."""
        entity_identifier(request.spec.workflow_id, identifier_pb2.WORKFLOW)
        return self.create_for(request.spec.workflow_id, request)

    def create_for(
        self, workflow_id: identifier_pb2.Identifier, request: launch_plan_pb2.LaunchPlanCreateRequest
    ) -> launch_plan_pb2.LaunchPlanCreateResponse:
        """As ``create``, of that workflow, whichever the request names."""
        launch_plan = self._complete(request, self._workflows.interface(workflow_id))
        existing = self.records.get(entity_key(request.id))
        if existing is not None:
            if is_same(as_registered(existing.message), launch_plan):
                raise AlreadyExists("launch plan with identical structure already exists")
            raise InvalidArgument(
                different_structure(request.id.name, "launch plan", existing.message.spec, launch_plan.spec)
            )
        with self._store.batch():
            self._insert(launch_plan, workflow_id)
            self._named_entities.register(request.id)
        return launch_plan_pb2.LaunchPlanCreateResponse()

    def get(self, request: common_pb2.ObjectGetRequest) -> launch_plan_pb2.LaunchPlan:
        """GetLaunchPlan. Raises InvalidArgument, NotFound."""
        id = with_default_type(request.id, identifier_pb2.LAUNCH_PLAN)
        entity_identifier(id, identifier_pb2.LAUNCH_PLAN)
        return self._existing(id).message

    def find(self, id: identifier_pb2.Identifier) -> launch_plan_pb2.LaunchPlan | None:
        """The launch plan, whatever the identifier's resource type says. Shared: never change it."""
        record = self.records.get(entity_key(id))
        return None if record is None else record.message

    def get_active(self, request: launch_plan_pb2.ActiveLaunchPlanRequest) -> launch_plan_pb2.LaunchPlan:
        """GetActiveLaunchPlan. Raises InvalidArgument, NotFound."""
        require(request.id.project, "project")
        require(request.id.domain, "domain")
        require(request.id.name, "name")
        active = self._active(request.id)
        if active is None:
            id = request.id
            raise NotFound(f"No active launch plan could be found: {id.project}:{id.domain}:{id.name}")
        return active.message

    def list(self, request: common_pb2.ResourceListRequest) -> launch_plan_pb2.LaunchPlanList:
        """ListLaunchPlans. Raises InvalidArgument."""
        list_scope(request.id, request.limit)
        page = self._listing.page(
            rpc="ListLaunchPlans",
            limit=request.limit,
            token=request.token,
            filters=request.filters,
            sort_by=sort_of(request),
            scope=in_scope(request.id),
        )
        return _list(page)

    def list_active(self, request: launch_plan_pb2.ActiveLaunchPlanListRequest) -> launch_plan_pb2.LaunchPlanList:
        """ListActiveLaunchPlans. Raises InvalidArgument."""
        require(request.project, "project")
        require(request.domain, "domain")
        limit(request.limit)
        scope = common_pb2.NamedEntityIdentifier(project=request.project, domain=request.domain)
        page = self._listing.page(
            rpc="ListActiveLaunchPlans",
            limit=request.limit,
            token=request.token,
            sort_by=sort_of(request),
            scope=[*in_scope(scope), Condition("state", Operator.EQUAL, (ACTIVE,))],
        )
        return _list(page)

    def list_ids(self, request: common_pb2.NamedEntityIdentifierListRequest) -> common_pb2.NamedEntityIdentifierList:
        """ListLaunchPlanIds. Raises InvalidArgument."""
        if not request.limit:
            raise InvalidArgument("missing and/or invalid parameters: limit")
        return self._named_entities.identifiers(request, identifier_pb2.LAUNCH_PLAN, LAUNCH_PLAN.columns, "")

    def update(self, request: launch_plan_pb2.LaunchPlanUpdateRequest) -> launch_plan_pb2.LaunchPlanUpdateResponse:
        """UpdateLaunchPlan: (de)activates a version, and its schedule; of each name one version at most is active.

        Raises InvalidArgument, also for a schedule that could never start an execution, and NotFound.
        """
        id = with_default_type(request.id, identifier_pb2.LAUNCH_PLAN)
        if request.state == ACTIVE:
            self._activate(id)
        elif request.state == INACTIVE:
            entity_identifier(id, identifier_pb2.LAUNCH_PLAN)
            self._deactivate(id)
        else:
            raise InvalidArgument(
                f"Unrecognized launch plan state {request.state} for update for launch plan [{text(id)}]"
            )
        return launch_plan_pb2.LaunchPlanUpdateResponse()

    def _activate(self, id: identifier_pb2.Identifier) -> None:
        identifier_fields(id)
        record = self._existing(id)
        active = self._active(id)
        with self._store.batch():
            if active is not None and active.key != record.key:
                self._set_state(active.key, INACTIVE)
                self._schedules.stop(active.message.id)
            self._set_state(record.key, ACTIVE)
            if has_schedule(record.message.spec.entity_metadata.schedule):
                self._schedules.start(record.message, self._clock())

    def _deactivate(self, id: identifier_pb2.Identifier) -> None:
        key = self._existing(id).key
        with self._store.batch():
            self._set_state(key, INACTIVE, self._clock())
            self._schedules.stop(id)

    def _set_state(self, key: str, state: int, updated_at: timestamp_pb2.Timestamp | None = None) -> None:
        """FlyteAdmin moves a row's ``updated_at`` only when it is deactivated by name."""
        record = self.records.edit(key)
        assert record is not None
        record.message.closure.state = state
        record.columns["state"] = state
        if updated_at is not None:
            record.message.closure.updated_at.CopyFrom(updated_at)
            record.columns["updated_at"] = timestamp_text(updated_at)
        self.records.put(record)

    def _active(
        self, id: identifier_pb2.Identifier | common_pb2.NamedEntityIdentifier
    ) -> Record[launch_plan_pb2.LaunchPlan] | None:
        name = common_pb2.NamedEntityIdentifier(project=id.project, domain=id.domain, name=id.name)
        active = self.records.find(Query((*in_scope(name), Condition("state", Operator.EQUAL, (ACTIVE,)))))
        return active[0] if active else None

    def _existing(self, id: identifier_pb2.Identifier) -> Record[launch_plan_pb2.LaunchPlan]:
        record = self.records.get(entity_key(id))
        if record is None:
            raise missing_entity("LAUNCH_PLAN", id)
        return record

    def _complete(
        self, request: launch_plan_pb2.LaunchPlanCreateRequest, interface: interface_pb2.TypedInterface
    ) -> launch_plan_pb2.LaunchPlan:
        """The launch plan as it will be stored, without its times; ``interface`` is that of its workflow."""
        entity_identifier(request.id, identifier_pb2.LAUNCH_PLAN)
        self._projects.check(request.id.project, request.id.domain)
        launch_plan = launch_plan_pb2.LaunchPlan(id=request.id, spec=request.spec)
        spec = launch_plan.spec
        labels(spec.labels.values)
        literal_map(spec.fixed_inputs, "fixed_inputs")
        check_parameters(spec.default_inputs, "default_inputs")
        expected = expected_inputs(interface.inputs, spec.fixed_inputs, spec.default_inputs)
        check_schedule(spec.entity_metadata.schedule, expected)
        spec.default_inputs.CopyFrom(expected)
        notifications(spec.entity_metadata.notifications)
        if spec.entity_metadata.HasField("launch_conditions"):
            # Not as text: that would unpack what may be broken.
            found = spec.entity_metadata.launch_conditions.type_url
            raise InvalidArgument(f"Launch condition must be empty, found [{found}]")
        launch_plan.closure.expected_inputs.CopyFrom(expected)
        if interface.HasField("outputs"):
            launch_plan.closure.expected_outputs.CopyFrom(interface.outputs)
        return launch_plan

    def _insert(self, launch_plan: launch_plan_pb2.LaunchPlan, workflow_id: identifier_pb2.Identifier) -> None:
        stamp = self._clock()
        launch_plan.closure.state = INACTIVE
        launch_plan.closure.created_at.CopyFrom(stamp)
        launch_plan.closure.updated_at.CopyFrom(stamp)
        kind = schedule_type(launch_plan.spec.entity_metadata.schedule)
        columns = {
            **version_columns(launch_plan.id),
            **{column: getattr(workflow_id, part) for part, column in WORKFLOW_PARTS.items()},
            "workflow_key": entity_key(workflow_id),
            "state": INACTIVE,
            "schedule_type": kind,
            "launch_condition_type": None if kind == "NONE" else "SCHED",
            "created_at": timestamp_text(stamp),
            "updated_at": timestamp_text(stamp),
        }
        self.records.put(Record(entity_key(launch_plan.id), launch_plan, columns))

    def _of_workflows(self, conditions: Sequence[Condition]) -> Iterable[str]:
        """The launch plans whose workflows satisfy the conditions."""
        keys = self._workflows.records.table.keys(Query(tuple(conditions)))
        return self.records.table.keys(Query((Condition("workflow_key", Operator.IN, tuple(keys)),)))


def as_registered(launch_plan: launch_plan_pb2.LaunchPlan) -> launch_plan_pb2.LaunchPlan:
    """A copy without what becomes of a launch plan later: what tells whether two are the same."""
    registered = launch_plan_pb2.LaunchPlan()
    registered.CopyFrom(launch_plan)
    for field in ("state", "created_at", "updated_at"):
        registered.closure.ClearField(field)
    return registered


def _list(page: Page[launch_plan_pb2.LaunchPlan]) -> launch_plan_pb2.LaunchPlanList:
    return launch_plan_pb2.LaunchPlanList(launch_plans=[record.message for record in page.records], token=page.token)
