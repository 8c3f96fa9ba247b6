"""Running one task by itself: the workflow and the launch plan that are made for it, once per version.

Source: flyteadmin/pkg/manager/impl/util/single_task_execution.go.
"""

from __future__ import annotations

from collections.abc import Iterable

from flyteidl.admin import common_pb2, execution_pb2, launch_plan_pb2, task_pb2, workflow_pb2
from flyteidl.core import identifier_pb2, literals_pb2, types_pb2
from flyteidl.core import workflow_pb2 as core_workflow_pb2

from flytelite.errors import NotFound
from flytelite.server.admin.identifiers import text
from flytelite.server.admin.launch_plans import LaunchPlans
from flytelite.server.admin.named_entities import NamedEntities
from flytelite.server.admin.tasks import Tasks
from flytelite.server.admin.workflows import Workflows
from flytelite.server.store.interface import Store

GENERATED_PREFIX = ".flytegen."
MAX_NODE_ID = 63
DEFAULT_RETRIES = 3


class SingleTasks:
    """Makes a task into something that executions can run."""

    def __init__(
        self,
        store: Store,
        tasks: Tasks,
        workflows: Workflows,
        launch_plans: LaunchPlans,
        named_entities: NamedEntities,
    ) -> None:
        self._store = store
        self._tasks = tasks
        self._workflows = workflows
        self._launch_plans = launch_plans
        self._named_entities = named_entities

    def launch_plan(self, spec: execution_pb2.ExecutionSpec) -> launch_plan_pb2.LaunchPlan:
        """The launch plan of the task that ``spec.launch_plan`` names, and of the workflow of its own name.

        Raises NotFound when there is no such task.
        """
        task = self._tasks.find(spec.launch_plan)
        if task is None:
            raise NotFound(f"missing entity of type TASK with identifier {text(spec.launch_plan)}")
        id = generated_id(task.id, identifier_pb2.LAUNCH_PLAN)
        existing = self._launch_plans.find(id)
        if existing is not None:
            return existing
        with self._store.batch():
            workflow = generated_id(task.id, identifier_pb2.WORKFLOW)
            if self._workflows.find(workflow) is None:
                self._workflows.create(_workflow_request(workflow, task))
            self._launch_plans.create(_launch_plan_request(id, workflow, spec))
            for generated in (workflow, id):
                self._named_entities.register(generated, common_pb2.SYSTEM_GENERATED)
        created = self._launch_plans.find(id)
        assert created is not None
        return created


def generated_id(task: identifier_pb2.Identifier, resource_type: int) -> identifier_pb2.Identifier:
    """The identifier of what is made for a task."""
    return identifier_pb2.Identifier(
        resource_type=resource_type,
        project=task.project,
        domain=task.domain,
        name=GENERATED_PREFIX + task.name,
        version=task.version,
    )


def node_id(task_name: str) -> str:
    """The id of the one node: the end of the task's name, of which only letters, digits and ``-`` are kept."""
    return "".join(letter for letter in task_name[-MAX_NODE_ID:] if letter == "-" or letter.isalnum())


def _workflow_request(id: identifier_pb2.Identifier, task: task_pb2.Task) -> workflow_pb2.WorkflowCreateRequest:
    template = task.closure.compiled_task.template
    node = core_workflow_pb2.Node(id=node_id(task.id.name), inputs=_bindings(template.interface.inputs.variables, ""))
    node.metadata.name = node.id
    node.metadata.retries.retries = DEFAULT_RETRIES
    if template.metadata.HasField("retries"):
        node.metadata.retries.CopyFrom(template.metadata.retries)
    if template.metadata.HasField("timeout"):
        node.metadata.timeout.CopyFrom(template.metadata.timeout)
    if template.metadata.WhichOneof("interruptible_value"):
        node.metadata.interruptible = template.metadata.interruptible
    node.task_node.reference_id.CopyFrom(task.id)
    workflow = core_workflow_pb2.WorkflowTemplate(
        id=id,
        interface=template.interface,
        nodes=[node],
        outputs=_bindings(template.interface.outputs.variables, node.id),
    )
    return workflow_pb2.WorkflowCreateRequest(id=id, spec=workflow_pb2.WorkflowSpec(template=workflow))


def _launch_plan_request(
    id: identifier_pb2.Identifier, workflow: identifier_pb2.Identifier, spec: execution_pb2.ExecutionSpec
) -> launch_plan_pb2.LaunchPlanCreateRequest:
    """As whom the first execution runs is kept for good: so does FlyteAdmin."""
    request = launch_plan_pb2.LaunchPlanCreateRequest(id=id, spec=launch_plan_pb2.LaunchPlanSpec(workflow_id=workflow))
    for field in ("entity_metadata", "default_inputs", "fixed_inputs", "labels", "annotations"):
        getattr(request.spec, field).SetInParent()
    for field in ("auth_role", "security_context"):
        if spec.HasField(field):
            getattr(request.spec, field).CopyFrom(getattr(spec, field))
    return request


def _bindings(variables: Iterable[str], node: str) -> list[literals_pb2.Binding]:
    """Each variable taken from the variable of the same name of that node (empty: of the workflow's inputs)."""
    return [
        literals_pb2.Binding(
            var=name,
            binding=literals_pb2.BindingData(promise=types_pb2.OutputReference(node_id=node, var=name)),
        )
        for name in sorted(variables)
    ]
