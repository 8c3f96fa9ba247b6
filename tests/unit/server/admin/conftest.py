"""A control plane's registry over a store in memory, and a clock that moves one second with each look at it."""

from __future__ import annotations

from collections.abc import Callable
from itertools import count

import pytest
from flyteidl.admin import launch_plan_pb2, task_pb2, workflow_pb2
from flyteidl.core import identifier_pb2, interface_pb2, literals_pb2, tasks_pb2, types_pb2
from flyteidl.core import workflow_pb2 as core_workflow_pb2
from google.protobuf import timestamp_pb2

from flytelite.config import Settings
from flytelite.server.admin.attributes import Attributes
from flytelite.server.admin.changes import Changes
from flytelite.server.admin.description_entities import DescriptionEntities
from flytelite.server.admin.launch_plans import LaunchPlans
from flytelite.server.admin.named_entities import NamedEntities
from flytelite.server.admin.projects import Projects
from flytelite.server.admin.schedules import Schedules
from flytelite.server.admin.tasks import Tasks
from flytelite.server.admin.workflows import Workflows
from flytelite.server.store.memory import MemoryStore

START = 1_700_000_000


@pytest.fixture
def store() -> MemoryStore:
    return MemoryStore()


@pytest.fixture
def settings() -> Settings:
    return Settings()


@pytest.fixture
def clock() -> Callable[[], timestamp_pb2.Timestamp]:
    seconds = count(START)
    return lambda: timestamp_pb2.Timestamp(seconds=next(seconds))


@pytest.fixture
def projects(store, settings, clock) -> Projects:
    return Projects(store, settings, clock)


@pytest.fixture
def attributes(store, projects, settings, clock) -> Attributes:
    return Attributes(store, projects, settings, clock)


@pytest.fixture
def named_entities(store, clock) -> NamedEntities:
    return NamedEntities(store, clock)


@pytest.fixture
def descriptions(store, clock) -> DescriptionEntities:
    return DescriptionEntities(store, clock)


@pytest.fixture
def tasks(store, projects, named_entities, descriptions, attributes, clock) -> Tasks:
    return Tasks(store, projects, named_entities, descriptions, attributes, clock=clock)


@pytest.fixture
def workflows(store, projects, tasks, named_entities, descriptions, settings, clock) -> Workflows:
    return Workflows(store, projects, tasks, named_entities, descriptions, settings=settings, clock=clock)


@pytest.fixture
def launch_plans(store, projects, workflows, named_entities, clock) -> LaunchPlans:
    return LaunchPlans(store, projects, workflows, named_entities, schedules=Schedules(store, Changes()), clock=clock)


def identifier(resource_type: int, name: str, version: str = "1") -> identifier_pb2.Identifier:
    return identifier_pb2.Identifier(
        resource_type=resource_type, project="flytesnacks", domain="development", name=name, version=version
    )


def integer(description: str = "") -> interface_pb2.Variable:
    return interface_pb2.Variable(type=types_pb2.LiteralType(simple=types_pb2.INTEGER), description=description)


@pytest.fixture
def task_request() -> Callable[..., task_pb2.TaskCreateRequest]:
    """A task that adds one: ``x`` to ``o0``. Keyword arguments replace fields of its template."""

    def request(name: str = "t", version: str = "1", **fields: object) -> task_pb2.TaskCreateRequest:
        interface = interface_pb2.TypedInterface(
            inputs=interface_pb2.VariableMap(variables={"x": integer()}),
            outputs=interface_pb2.VariableMap(variables={"o0": integer()}),
        )
        template = {
            "type": "python-task",
            "metadata": tasks_pb2.TaskMetadata(runtime=tasks_pb2.RuntimeMetadata(version="1.16")),
            "interface": interface,
            "container": tasks_pb2.Container(image="i", args=["run"]),
        }
        spec = task_pb2.TaskSpec(template=tasks_pb2.TaskTemplate(**(template | fields)))
        return task_pb2.TaskCreateRequest(id=identifier(identifier_pb2.TASK, name, version), spec=spec)

    return request


@pytest.fixture
def workflow_request() -> Callable[..., workflow_pb2.WorkflowCreateRequest]:
    """A workflow of one node, ``n0``, that runs task ``t``; its input ``x`` and output ``o0`` are those of the task."""

    def request(name: str = "w", version: str = "1", task: str = "t") -> workflow_pb2.WorkflowCreateRequest:
        id = identifier(identifier_pb2.WORKFLOW, name, version)
        interface = interface_pb2.TypedInterface(
            inputs=interface_pb2.VariableMap(variables={"x": integer("the x")}),
            outputs=interface_pb2.VariableMap(variables={"o0": integer()}),
        )
        node = core_workflow_pb2.Node(id="n0", metadata={"name": task}, inputs=[binding("x", "", "x")])
        node.task_node.reference_id.CopyFrom(identifier(identifier_pb2.TASK, task))
        template = core_workflow_pb2.WorkflowTemplate(
            id=id, interface=interface, nodes=[node], outputs=[binding("o0", "n0", "o0")]
        )
        return workflow_pb2.WorkflowCreateRequest(id=id, spec=workflow_pb2.WorkflowSpec(template=template))

    return request


def binding(name: str, node: str, variable: str) -> literals_pb2.Binding:
    promise = types_pb2.OutputReference(node_id=node, var=variable)
    return literals_pb2.Binding(var=name, binding=literals_pb2.BindingData(promise=promise))


@pytest.fixture
def launch_plan_request() -> Callable[..., launch_plan_pb2.LaunchPlanCreateRequest]:
    """A launch plan of workflow ``w``. Keyword arguments are fields of its spec."""

    def request(name: str = "w", version: str = "1", **spec: object) -> launch_plan_pb2.LaunchPlanCreateRequest:
        fields = {"workflow_id": identifier(identifier_pb2.WORKFLOW, "w")} | spec
        return launch_plan_pb2.LaunchPlanCreateRequest(
            id=identifier(identifier_pb2.LAUNCH_PLAN, name, version), spec=launch_plan_pb2.LaunchPlanSpec(**fields)
        )

    return request
