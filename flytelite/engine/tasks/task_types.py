"""Types of tasks: which of Flyte's plugins they belong to, and what becomes of them as one process on one machine.

A type that is not listed is run like a container if it has one, as FlytePropeller's default plugin does
(``flytepropeller/pkg/controller/nodes/task/handler.go``, ResolvePlugin).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from flyteidl.core import tasks_pb2

from flytelite.engine.tasks import clusters, echo, pods, training
from flytelite.engine.tasks.refusals import BadTaskFormat

CONTAINER = "container"
RAW_CONTAINER = "raw-container"
CONTAINER_ARRAY = "container_array"
CONNECTOR_PLUGIN = "connector-service"


@dataclass(frozen=True)
class Adaptation:
    """What a task needs to run as one process here: variables of its environment, and what people should know."""

    env: Mapping[str, str] = field(default_factory=dict)
    remarks: tuple[str, ...] = ()


@dataclass(frozen=True)
class TaskType:
    """``plugin`` is the identifier that events name. ``adapt`` raises BadTaskFormat for what cannot run here."""

    plugin: str = CONTAINER
    adapt: Callable[[tasks_pb2.TaskTemplate], Adaptation] = lambda _: Adaptation()


_SERVICES = {
    "airflow": "flytekitplugins-airflow",
    "athena": "",
    "aws-batch": "",
    "bigquery_query_job_task": "flytekitplugins-bigquery",
    "boto": "flytekitplugins-awssagemaker",
    "chatgpt": "flytekitplugins-openai",
    "databricks": "flytekitplugins-spark",
    "dataservicetask": "flytekitplugins-k8sdataservice",
    "hive": "",
    "lepton_endpoint_deletion_task": "flytekitplugins-dgxc-lepton",
    "lepton_endpoint_deployment_task": "flytekitplugins-dgxc-lepton",
    "mmcloud_task": "flytekitplugins-mmcloud",
    "openai-batch": "flytekitplugins-openai",
    "perian_task": "flytekitplugins-perian-job",
    "presto": "",
    "sagemaker-endpoint": "flytekitplugins-awssagemaker",
    "sensor": "flytekit",
    "slurm": "flytekitplugins-slurm",
    "slurm_fn": "flytekitplugins-slurm",
    "snowflake": "flytekitplugins-snowflake",
    "webhook": "flytekit",
}
"""Types that run in some service, reached through a connector, and the package that has that connector, if any."""

OF_THE_ENGINE = frozenset({"python-task", CONTAINER, RAW_CONTAINER, CONTAINER_ARRAY, pods.SIDECAR, echo.TYPE})
"""Types that no connector is asked for: what Flyte's helm chart enables beside connectors."""


def _adapted(
    prepare: Callable[[tasks_pb2.TaskTemplate], tuple[Mapping[str, str], tuple[str, ...]]],
) -> Callable[[tasks_pb2.TaskTemplate], Adaptation]:
    return lambda template: Adaptation(*prepare(template))


_TYPES = {
    echo.TYPE: TaskType(echo.TYPE),
    pods.SIDECAR: TaskType(pods.SIDECAR),
    "dask": TaskType("dask", _adapted(clusters.dask)),
    "mpi": TaskType("mpi", _adapted(training.mpi)),
    "pytorch": TaskType("pytorch", _adapted(training.pytorch)),
    "ray": TaskType("ray", _adapted(clusters.ray)),
    "spark": TaskType("spark", _adapted(clusters.spark)),
    "tensorflow": TaskType("tensorflow", _adapted(training.tensorflow)),
    **{name: TaskType(CONNECTOR_PLUGIN) for name in _SERVICES},
}


def type_of(template: tasks_pb2.TaskTemplate) -> TaskType:
    """The type of a task; any that is not known is a container's."""
    return _TYPES.get(template.type, TaskType())


def needs_connector(template: tasks_pb2.TaskTemplate) -> bool:
    """Whether the task cannot run on this machine, with or without a container."""
    return template.type in _SERVICES or (
        template.type not in OF_THE_ENGINE and not template.HasField("container") and not template.HasField("k8s_pod")
    )


def without_connector(template: tasks_pb2.TaskTemplate, asked: str) -> BadTaskFormat:
    """What is said of a task whose type nobody serves; ``asked`` tells who was asked."""
    package = _SERVICES.get(template.type, "")
    needed = f" (the package {package} has one)" if package else ""
    return BadTaskFormat(
        f"a task of type [{template.type}] does not run on this machine but through a connector{needed}, and no"
        f" connector serves this type: {asked}. The address of a service that does goes into `connectors: [HOST:PORT]`"
        " of flytelite.yaml, a module of your own that does into `connector_modules: [NAME]`"
    )
