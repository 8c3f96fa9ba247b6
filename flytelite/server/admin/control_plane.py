"""The control plane: every noun of the API, built over one store, and the table of what answers which RPC."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from flytelite.config import Settings
from flytelite.server.admin.attributes import Attributes
from flytelite.server.admin.catalog.artifacts import Artifacts
from flytelite.server.admin.catalog.datasets import Datasets
from flytelite.server.admin.catalog.reservations import Reservations
from flytelite.server.admin.changes import Changes
from flytelite.server.admin.clock import Clock, now
from flytelite.server.admin.data_proxy import DataProxy
from flytelite.server.admin.description_entities import DescriptionEntities
from flytelite.server.admin.events import Events
from flytelite.server.admin.execution_metrics import ExecutionMetrics
from flytelite.server.admin.executions import Executions
from flytelite.server.admin.launch_plans import LaunchPlans
from flytelite.server.admin.literal_maps import LiteralMaps, LiteralReader
from flytelite.server.admin.named_entities import NamedEntities
from flytelite.server.admin.node_executions import NodeExecutions
from flytelite.server.admin.objects import Objects
from flytelite.server.admin.projects import Projects
from flytelite.server.admin.schedules import Schedules
from flytelite.server.admin.signals import Signals
from flytelite.server.admin.task_executions import TaskExecutions
from flytelite.server.admin.tasks import Tasks
from flytelite.server.admin.versions import Versions
from flytelite.server.admin.workflows import Workflows
from flytelite.server.store.interface import Store

Handlers = dict[str, Callable[[Any], Any]]


class ControlPlane:
    """Builds the nouns in the order of their needs. ``clock`` is a parameter so that tests can move it."""

    def __init__(
        self,
        settings: Settings,
        store: Store,
        objects: Objects,
        changes: Changes,
        clock: Clock = now,
    ) -> None:
        self.changes = changes
        self.versions = Versions()
        self.projects = Projects(store, settings, clock)
        self.attributes = Attributes(store, self.projects, settings, clock)
        self.named_entities = NamedEntities(store, clock)
        self.description_entities = DescriptionEntities(store, clock)
        self.tasks = Tasks(
            store,
            self.projects,
            self.named_entities,
            self.description_entities,
            self.attributes,
            clock=clock,
        )
        self.workflows = Workflows(
            store,
            self.projects,
            self.tasks,
            self.named_entities,
            self.description_entities,
            settings=settings,
            clock=clock,
        )
        self.schedules = Schedules(store, changes)
        self.launch_plans = LaunchPlans(
            store, self.projects, self.workflows, self.named_entities, schedules=self.schedules, clock=clock
        )
        self.literal_maps = LiteralMaps(store)
        self.executions = Executions(
            store,
            settings=settings,
            projects=self.projects,
            tasks=self.tasks,
            workflows=self.workflows,
            launch_plans=self.launch_plans,
            named_entities=self.named_entities,
            attributes=self.attributes,
            literal_maps=self.literal_maps,
            objects=objects,
            changes=changes,
            clock=clock,
        )
        self.node_executions = NodeExecutions(store, settings, self.literal_maps, objects)
        self.task_executions = TaskExecutions(store, settings, self.literal_maps, objects)
        self.events = Events(
            store,
            settings=settings,
            executions=self.executions,
            node_executions=self.node_executions,
            task_executions=self.task_executions,
            literal_maps=self.literal_maps,
            changes=changes,
            clock=clock,
        )
        self.execution_metrics = ExecutionMetrics(
            self.executions, self.node_executions, self.task_executions, self.workflows
        )
        self.data_proxy = DataProxy(objects, settings, self.node_executions, self.task_executions)
        self.signals = Signals(store, changes, clock)
        self.datasets = Datasets(store, clock)
        self.artifacts = Artifacts(
            store, self.datasets, self.literal_maps, LiteralReader(self.literal_maps, objects, settings), clock
        )
        self.reservations = Reservations(store, changes, clock)

    def handlers(self) -> Handlers:
        """Full gRPC method name (``package.Service/Method``) to the function that answers it."""
        return {
            **_service(
                "flyteidl.service.AdminService",
                {
                    "CreateTask": self.tasks.create,
                    "GetTask": self.tasks.get,
                    "ListTasks": self.tasks.list,
                    "ListTaskIds": self.tasks.list_ids,
                    "CreateWorkflow": self.workflows.create,
                    "GetWorkflow": self.workflows.get,
                    "ListWorkflows": self.workflows.list,
                    "ListWorkflowIds": self.workflows.list_ids,
                    "CreateLaunchPlan": self.launch_plans.create,
                    "GetLaunchPlan": self.launch_plans.get,
                    "GetActiveLaunchPlan": self.launch_plans.get_active,
                    "ListActiveLaunchPlans": self.launch_plans.list_active,
                    "ListLaunchPlans": self.launch_plans.list,
                    "ListLaunchPlanIds": self.launch_plans.list_ids,
                    "UpdateLaunchPlan": self.launch_plans.update,
                    "CreateExecution": self.executions.create,
                    "RelaunchExecution": self.executions.relaunch,
                    "RecoverExecution": self.executions.recover,
                    "GetExecution": self.executions.get,
                    "GetExecutionData": self.executions.data,
                    "ListExecutions": self.executions.list,
                    "UpdateExecution": self.executions.update,
                    "TerminateExecution": self.executions.terminate,
                    "GetExecutionMetrics": self.execution_metrics.get,
                    "GetNodeExecution": self.node_executions.get,
                    "GetNodeExecutionData": self.node_executions.data,
                    "GetDynamicNodeWorkflow": self.node_executions.dynamic_workflow,
                    "ListNodeExecutions": self.node_executions.list,
                    "ListNodeExecutionsForTask": self.node_executions.list_for_task,
                    "GetTaskExecution": self.task_executions.get,
                    "GetTaskExecutionData": self.task_executions.data,
                    "ListTaskExecutions": self.task_executions.list,
                    "CreateWorkflowEvent": self.events.create_workflow_event,
                    "CreateNodeEvent": self.events.create_node_event,
                    "CreateTaskEvent": self.events.create_task_event,
                    "RegisterProject": self.projects.register,
                    "UpdateProject": self.projects.update,
                    "GetProject": self.projects.get,
                    "ListProjects": self.projects.list,
                    "GetDomains": self.projects.domains,
                    "UpdateProjectAttributes": self.attributes.update_project,
                    "GetProjectAttributes": self.attributes.get_project,
                    "DeleteProjectAttributes": self.attributes.delete_project,
                    "UpdateProjectDomainAttributes": self.attributes.update_project_domain,
                    "GetProjectDomainAttributes": self.attributes.get_project_domain,
                    "DeleteProjectDomainAttributes": self.attributes.delete_project_domain,
                    "UpdateWorkflowAttributes": self.attributes.update_workflow,
                    "GetWorkflowAttributes": self.attributes.get_workflow,
                    "DeleteWorkflowAttributes": self.attributes.delete_workflow,
                    "ListMatchableAttributes": self.attributes.list_matchable,
                    "ListNamedEntities": self.named_entities.list,
                    "GetNamedEntity": self.named_entities.get,
                    "UpdateNamedEntity": self.named_entities.update,
                    "GetDescriptionEntity": self.description_entities.get,
                    "ListDescriptionEntities": self.description_entities.list,
                    "GetVersion": self.versions.get,
                },
            ),
            **_service(
                "flyteidl.service.DataProxyService",
                {
                    "CreateUploadLocation": self.data_proxy.create_upload_location,
                    "CreateDownloadLocation": self.data_proxy.create_download_location,
                    "CreateDownloadLink": self.data_proxy.create_download_link,
                    "GetData": self.data_proxy.get_data,
                },
            ),
            **_service(
                "flyteidl.service.SignalService",
                {
                    "GetOrCreateSignal": self.signals.get_or_create,
                    "ListSignals": self.signals.list,
                    "SetSignal": self.signals.set,
                },
            ),
            **_service(
                "datacatalog.DataCatalog",
                {
                    "CreateDataset": self.datasets.create,
                    "GetDataset": self.datasets.get,
                    "ListDatasets": self.datasets.list,
                    "CreateArtifact": self.artifacts.create,
                    "GetArtifact": self.artifacts.get,
                    "UpdateArtifact": self.artifacts.update,
                    "ListArtifacts": self.artifacts.list,
                    "AddTag": self.artifacts.add_tag,
                    "GetOrExtendReservation": self.reservations.get_or_extend,
                    "ReleaseReservation": self.reservations.release,
                },
            ),
        }


def _service(name: str, methods: Handlers) -> Handlers:
    return {f"{name}/{method}": handler for method, handler in methods.items()}
