"""Running one task by itself: the workflow and the launch plan that are made for it, once per version.

Source: flyteadmin/pkg/manager/impl/util/single_task_execution.go.
"""

from __future__ import annotations

from collections.abc import Iterable

from flyteidl.admin import common_pb2, execution_pb2, launch_plan_pb2, task_pb2, workflow_pb2
from flyteidl.core import identifier_pb2, literals_pb2, types_pb2
from flyteidl.core import workflow_pb2 as core_workflow_pb2

from flytelite.server.admin.identifiers import missing_entity
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
        """The launch plan of the task that ``spec.launch_plan`` names, and of the workflow that is made for it.

        Raises NotFound when there is no such task.
        """
        task = self._tasks.find(spec.launch_plan)
        if task is None:
            raise missing_entity("TASK", spec.launch_plan)
        id = _generated(task.id, identifier_pb2.LAUNCH_PLAN)
        existing = self._launch_plans.find(id)
        if existing is not None:
            return existing
        with self._store.batch():
            workflow = generated_workflow(task.id)
            if self._workflows.find(workflow) is None:
                self._workflows.create(_workflow_request(workflow, task))
            self._launch_plans.create_for(workflow, _launch_plan_request(id, task.id, spec))
            for generated in (workflow, id):
                self._named_entities.register(generated, common_pb2.SYSTEM_GENERATED)
        created = self._launch_plans.find(id)
        assert created is not None
        return created


def generated_workflow(task: identifier_pb2.Identifier) -> identifier_pb2.Identifier:
    """The identifier of the workflow that is made for a task."""
    return _generated(task, identifier_pb2.WORKFLOW)


def _generated(task: identifier_pb2.Identifier, resource_type: int) -> identifier_pb2.Identifier:
    return identifier_pb2.Identifier(
        resource_type=resource_type,
        project=task.project,
        domain=task.domain,
        name=GENERATED_PREFIX + task.name,
        version=task.version,
    )


def node_id(task_name: str) -> str:
    """The id of the one node: the last bytes of the task's name, of which only letters, digits and ``-`` are kept."""
    end = task_name.encode()[-MAX_NODE_ID:].decode(errors="ignore")
    return "".join(letter for letter in end if letter == "-" or letter.isalnum())


def _workflow_request(id: identifier_pb2.Identifier, task: task_pb2.Task) -> workflow_pb2.WorkflowCreateRequest:
    template = task.closure.compiled_task.template
    node = core_workflow_pb2.Node(id=node_id(task.id.name), inputs=_bindings(template.interface.inputs.variables, ""))
    node.metadata.name = node.id
    node.metadata.retries.retries = DEFAULT_RETRIES
    if template.metadata.HasField("retries"):
        node.metadata.retries.CopyFrom(template.metadata.retries)
    node.task_node.reference_id.CopyFrom(task.id)
    workflow = core_workflow_pb2.WorkflowTemplate(
        id=id,
        interface=template.interface,
        nodes=[node],
        outputs=_bindings(template.interface.outputs.variables, node.id),
    )
    return workflow_pb2.WorkflowCreateRequest(id=id, spec=workflow_pb2.WorkflowSpec(template=workflow))


def _launch_plan_request(
    id: identifier_pb2.Identifier, task: identifier_pb2.Identifier, spec: execution_pb2.ExecutionSpec
) -> launch_plan_pb2.LaunchPlanCreateRequest:
    """It names a workflow called as the task, which there need not be, and keeps as whom the first execution runs.

    Both as FlyteAdmin's does: executions of the launch plan itself are not found for that.
    """
    request = launch_plan_pb2.LaunchPlanCreateRequest(id=id)
    request.spec.workflow_id.CopyFrom(task)
    request.spec.workflow_id.resource_type = identifier_pb2.WORKFLOW
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
