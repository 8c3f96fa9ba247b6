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
    "athena": "flytekitplugins-athena",
    "aws-batch": "",
    "bigquery_query_job_task": "flytekitplugins-bigquery",
    "boto": "flytekitplugins-awssagemaker",
    "chatgpt": "flytekitplugins-openai",
    "databricks": "flytekitplugins-spark",
    "dataservicetask": "flytekitplugins-k8sdataservice",
    "hive": "flytekitplugins-hive",
    "lepton_endpoint_deletion_task": "flytekitplugins-dgxc-lepton",
    "lepton_endpoint_deployment_task": "flytekitplugins-dgxc-lepton",
    "mmcloud_task": "flytekitplugins-mmcloud",
    "openai-batch": "flytekitplugins-openai",
    "perian_task": "flytekitplugins-perian-job",
    "presto": "flytekitplugins-athena",
    "sagemaker-endpoint": "flytekitplugins-awssagemaker",
    "sensor": "flytekit",
    "slurm": "flytekitplugins-slurm",
    "slurm_fn": "flytekitplugins-slurm",
    "snowflake": "flytekitplugins-snowflake",
    "webhook": "flytekit",
}
"""Types that run in some service, reached through a connector, and the package that has that connector."""


def _elsewhere(template: tasks_pb2.TaskTemplate) -> Adaptation:
    package = _SERVICES[template.type]
    needed = f" (the package {package} has one)" if package else ""
    raise BadTaskFormat(
        f"a task of type [{template.type}] runs in a service outside of this machine and needs a connector for it"
        f"{needed}, and no connector that flytelite knows serves this type: name one under `connectors` in"
        " flytelite.yaml (docs/connectors.md)"
    )


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
    **{name: TaskType(adapt=_elsewhere) for name in _SERVICES},
}


def type_of(template: tasks_pb2.TaskTemplate) -> TaskType:
    """The type of a task; any that is not known is a container's."""
    return _TYPES.get(template.type, TaskType())
