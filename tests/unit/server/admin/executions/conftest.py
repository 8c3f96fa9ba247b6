"""The whole control plane of executions over a store in memory and a real bucket, with words to drive it."""

from __future__ import annotations

from pathlib import Path

import pytest
from flyteidl.admin import event_pb2 as event_requests
from flyteidl.admin import execution_pb2, launch_plan_pb2, task_pb2, workflow_pb2
from flyteidl.core import execution_pb2 as core_execution_pb2
from flyteidl.core import identifier_pb2, interface_pb2, literals_pb2, tasks_pb2, types_pb2
from flyteidl.core import workflow_pb2 as core_workflow_pb2
from flyteidl.event import event_pb2
from google.protobuf import timestamp_pb2

from flytelite.config import Settings
from flytelite.server.admin.changes import Changes
from flytelite.server.admin.data_proxy import DataProxy
from flytelite.server.admin.events import Events
from flytelite.server.admin.execution_metrics import ExecutionMetrics
from flytelite.server.admin.executions import Executions
from flytelite.server.admin.launch_plans import LaunchPlans
from flytelite.server.admin.literal_maps import LiteralMaps
from flytelite.server.admin.node_executions import NodeExecutions
from flytelite.server.admin.schedules import Schedules
from flytelite.server.admin.signals import Signals
from flytelite.server.admin.task_executions import TaskExecutions
from flytelite.server.admin.tasks import Tasks
from flytelite.server.admin.workflows import Workflows
from flytelite.server.objects import Bucket

PROJECT, DOMAIN, VERSION = "flytesnacks", "development", "v1"
INTEGER = types_pb2.LiteralType(simple=types_pb2.INTEGER)

WorkflowPhase = core_execution_pb2.WorkflowExecution
NodePhase = core_execution_pb2.NodeExecution
TaskPhase = core_execution_pb2.TaskExecution


def identifier(resource_type: int, name: str, version: str = VERSION) -> identifier_pb2.Identifier:
    return identifier_pb2.Identifier(
        resource_type=resource_type, project=PROJECT, domain=DOMAIN, name=name, version=version
    )


def literal(value: int | str | bool) -> literals_pb2.Literal:
    made = literals_pb2.Literal()
    if isinstance(value, bool):
        made.scalar.primitive.boolean = value
    elif isinstance(value, int):
        made.scalar.primitive.integer = value
    else:
        made.scalar.primitive.string_value = value
    return made


def literal_map(**values: int | str | bool) -> literals_pb2.LiteralMap:
    return literals_pb2.LiteralMap(literals={name: literal(value) for name, value in values.items()})


def variables(*names: str) -> interface_pb2.VariableMap:
    return interface_pb2.VariableMap(variables={name: interface_pb2.Variable(type=INTEGER) for name in names})


def promise(var: str, node: str, source: str) -> literals_pb2.Binding:
    binding = literals_pb2.Binding(var=var)
    binding.binding.promise.node_id, binding.binding.promise.var = node, source
    return binding


def at(seconds: float) -> timestamp_pb2.Timestamp:
    stamp = timestamp_pb2.Timestamp()
    stamp.FromNanoseconds(int((1_700_000_000 + seconds) * 1e9))
    return stamp


def node_id(id, node: str) -> identifier_pb2.NodeExecutionIdentifier:
    return identifier_pb2.NodeExecutionIdentifier(execution_id=id, node_id=node)


def attempt_id(id, node: str, attempt: int = 0) -> identifier_pb2.TaskExecutionIdentifier:
    return identifier_pb2.TaskExecutionIdentifier(
        task_id=identifier(identifier_pb2.TASK, "tasks.double"),
        node_execution_id=node_id(id, node),
        retry_attempt=attempt,
    )


class Admin:
    """Everything, built as the server builds it; and the requests that tests send, with the usual values."""

    at = staticmethod(at)
    identifier = staticmethod(identifier)
    literal = staticmethod(literal)
    literal_map = staticmethod(literal_map)
    node_id = staticmethod(node_id)
    attempt_id = staticmethod(attempt_id)

    def __init__(self, store, settings, clock, projects, attributes, named_entities, descriptions) -> None:
        self.store, self.projects, self.attributes, self.named_entities = store, projects, attributes, named_entities
        self.changes = Changes()
        self.published = []
        self.changes._listeners.append(self.published.append)
        self.objects = Bucket.open(settings)
        self.tasks = Tasks(store, projects, named_entities, descriptions, attributes, clock=clock)
        self.workflows = Workflows(
            store, projects, self.tasks, named_entities, descriptions, settings=settings, clock=clock
        )
        self.launch_plans = LaunchPlans(
            store,
            projects,
            self.workflows,
            named_entities,
            schedules=Schedules(store, self.changes),
            clock=clock,
        )
        self.literal_maps = LiteralMaps(store)
        self.executions = Executions(
            store,
            settings=settings,
            projects=projects,
            tasks=self.tasks,
            workflows=self.workflows,
            launch_plans=self.launch_plans,
            named_entities=named_entities,
            attributes=attributes,
            literal_maps=self.literal_maps,
            objects=self.objects,
            changes=self.changes,
            clock=clock,
        )
        self.nodes = NodeExecutions(store, settings, self.literal_maps, self.objects)
        self.attempts = TaskExecutions(store, settings, self.literal_maps, self.objects)
        self.events = Events(
            store,
            settings=settings,
            executions=self.executions,
            node_executions=self.nodes,
            task_executions=self.attempts,
            literal_maps=self.literal_maps,
            changes=self.changes,
            clock=clock,
        )
        self.signals = Signals(store, self.changes, clock)
        self.data_proxy = DataProxy(self.objects, settings, self.nodes, self.attempts)
        self.metrics = ExecutionMetrics(self.executions, self.nodes, self.attempts, self.workflows)

    def register(self, name: str = "double", version: str = VERSION, retries: int | None = None) -> None:
        """A task ``x: int -> o0: int``, a workflow of that one task, and its launch plan."""
        interface = interface_pb2.TypedInterface(inputs=variables("x"), outputs=variables("o0"))
        template = tasks_pb2.TaskTemplate(type="python-task", interface=interface)
        template.metadata.runtime.version = "1.16"
        template.container.image = "image"
        template.container.args.append("run")
        if retries is not None:
            template.metadata.retries.retries = retries
        task = identifier(identifier_pb2.TASK, f"tasks.{name}", version)
        self.tasks.create(task_pb2.TaskCreateRequest(id=task, spec=task_pb2.TaskSpec(template=template)))
        node = core_workflow_pb2.Node(id="n0", inputs=[promise("x", "", "x")])
        node.task_node.reference_id.CopyFrom(task)
        workflow = core_workflow_pb2.WorkflowTemplate(
            interface=interface, nodes=[node], outputs=[promise("o0", "n0", "o0")]
        )
        id = identifier(identifier_pb2.WORKFLOW, name, version)
        spec = workflow_pb2.WorkflowSpec(template=workflow)
        self.workflows.create(workflow_pb2.WorkflowCreateRequest(id=id, spec=spec))
        self.plan(name, version, launch_plan_pb2.LaunchPlanSpec(), id)

    def plan(self, name: str, version: str, spec: launch_plan_pb2.LaunchPlanSpec, workflow) -> None:
        spec.workflow_id.CopyFrom(workflow)
        id = identifier(identifier_pb2.LAUNCH_PLAN, name, version)
        self.launch_plans.create(launch_plan_pb2.LaunchPlanCreateRequest(id=id, spec=spec))

    def request(
        self, name: str = "", plan: str = "double", inputs=None, **spec
    ) -> execution_pb2.ExecutionCreateRequest:
        launched = spec.pop("launch_plan", identifier(identifier_pb2.LAUNCH_PLAN, plan))
        return execution_pb2.ExecutionCreateRequest(
            project=PROJECT,
            domain=DOMAIN,
            name=name,
            spec=execution_pb2.ExecutionSpec(launch_plan=launched, **spec),
            inputs=literal_map(x=1) if inputs is None else inputs,
        )

    def run(self, name: str = "", **request) -> identifier_pb2.WorkflowExecutionIdentifier:
        return self.executions.create(self.request(name, **request)).id

    def execution(self, id) -> execution_pb2.Execution:
        return self.executions.get(execution_pb2.WorkflowExecutionGetRequest(id=id))

    def workflow_event(self, id, phase: int, seconds: float = 1, **fields) -> None:
        event = event_pb2.WorkflowExecutionEvent(execution_id=id, phase=phase, occurred_at=at(seconds), **fields)
        self.events.create_workflow_event(event_requests.WorkflowExecutionEventRequest(event=event))

    def node_event(self, id, node: str, phase: int, seconds: float = 1, **fields) -> None:
        event = event_pb2.NodeExecutionEvent(
            id=node_id(id, node),
            phase=phase,
            occurred_at=at(seconds),
            **{"spec_node_id": node, "event_version": 1, **fields},
        )
        self.events.create_node_event(event_requests.NodeExecutionEventRequest(event=event))

    def task_event(self, id, node: str, phase: int, seconds: float = 1, version: int = 0, **fields) -> None:
        event = event_pb2.TaskExecutionEvent(
            task_id=identifier(identifier_pb2.TASK, "tasks.double"),
            parent_node_execution_id=node_id(id, node),
            phase=phase,
            phase_version=version,
            occurred_at=at(seconds),
            **fields,
        )
        self.events.create_task_event(event_requests.TaskExecutionEventRequest(event=event))


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return Settings(data_dir=tmp_path)


@pytest.fixture
def admin(store, settings, clock, projects, attributes, named_entities, descriptions) -> Admin:
    made = Admin(store, settings, clock, projects, attributes, named_entities, descriptions)
    made.register()
    return made
