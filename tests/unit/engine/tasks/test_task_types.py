"""Which plugin runs a type, what it gets here, and what is said of those that cannot run."""

from __future__ import annotations

import shlex

import pytest
from flyteidl.core import tasks_pb2
from google.protobuf import json_format

from flytelite.engine.tasks import pods, task_types
from flytelite.engine.tasks.refusals import BadTaskFormat
from flytelite.engine.tasks.task_types import type_of


def template(type: str, custom: dict | None = None, **fields) -> tasks_pb2.TaskTemplate:
    found = tasks_pb2.TaskTemplate(type=type, container=tasks_pb2.Container(image="i", args=["true"]), **fields)
    if custom is not None:
        json_format.ParseDict(custom, found.custom)
    return found


@pytest.mark.parametrize(
    ("type", "plugin"),
    [
        ("python-task", "container"),
        ("container", "container"),
        ("raw-container", "container"),
        ("sqlite", "container"),
        ("eager_failure_handler_task", "container"),
        ("never heard of", "container"),
        ("sidecar", "sidecar"),
        ("echo", "echo"),
        ("spark", "spark"),
        ("ray", "ray"),
        ("dask", "dask"),
        ("pytorch", "pytorch"),
        ("tensorflow", "tensorflow"),
        ("mpi", "mpi"),
    ],
)
def test_plugins(type, plugin):
    found = template(type)
    assert type_of(found).plugin == plugin
    type_of(found).adapt(found)  # nothing asks for more than one process


@pytest.mark.parametrize(
    ("type", "custom", "told"),
    [
        ("pytorch", {"workerReplicas": {"replicas": 2}}, ["[pytorch]", "2 workers", "Kubeflow's PyTorch operator"]),
        ("pytorch", {"workers": 3}, ["3 workers", "Elastic(nnodes=1"]),
        ("pytorch", {"workerReplicas": {"replicas": 4}, "elasticConfig": {"maxReplicas": 4}}, ["4 workers"]),
        ("tensorflow", {"workerReplicas": {"replicas": 1}, "psReplicas": {"replicas": 1}}, ["2 workers"]),
        ("mpi", {"numWorkers": 2, "slots": 1}, ["[mpi]", "MPI operator"]),
        ("spark", {"applicationType": "SCALA"}, ["SCALA", "Spark operator"]),
    ],
)
def test_what_cannot_run_says_what_it_needs(type, custom, told):
    found = template(type, custom)
    with pytest.raises(BadTaskFormat) as caught:
        type_of(found).adapt(found)
    for word in told:
        assert word in str(caught.value)


def test_types_that_need_a_connector_name_the_package_that_has_it():
    found = template("snowflake")
    assert task_types.needs_connector(found)
    assert type_of(found).plugin == "connector-service"
    message = str(task_types.without_connector(found, "nobody was asked"))
    for word in ("[snowflake]", "flytekitplugins-snowflake", "nobody was asked", "`connectors: [HOST:PORT]`"):
        assert word in message
    # Athena's plugin of flytekit has none: only FlytePropeller itself runs its tasks.
    assert "has one" not in str(task_types.without_connector(template("athena"), "nobody was asked"))
    assert task_types.needs_connector(tasks_pb2.TaskTemplate(type="without a container"))
    assert not task_types.needs_connector(template("with a container"))


def test_one_pytorch_worker_finds_itself():
    found = template("pytorch", {"workerReplicas": {"replicas": 1}, "masterReplicas": {"replicas": 1}})
    adapted = type_of(found).adapt(found)
    assert (adapted.env["WORLD_SIZE"], adapted.env["RANK"]) == ("1", "0")
    assert adapted.remarks


def test_spark_gets_a_local_master_and_the_task_s_settings():
    custom = {
        "sparkConf": {"spark.driver.memory": "1g", "spark.executor.instances": "5", "x.y": "a b"},
        "hadoopConf": {"fs.k": "v"},
    }
    found = template("spark", custom)
    arguments = shlex.split(type_of(found).adapt(found).env["PYSPARK_SUBMIT_ARGS"])
    assert arguments[:2] == ["--master", "local[*]"]
    assert {"spark.driver.memory=1g", "x.y=a b", "spark.hadoop.fs.k=v"} <= set(arguments)
    assert not any("instances" in argument for argument in arguments)
    assert arguments[-1] == "pyspark-shell"


POD = {
    "initContainers": [{"name": "first"}],
    "containers": [
        {"name": "side", "args": ["never"]},
        {"name": "main", "image": "i", "args": ["do"], "env": [{"name": "A", "value": "1"}, {"name": "B"}]},
    ],
}


def pod(version: int) -> tasks_pb2.TaskTemplate:
    found = tasks_pb2.TaskTemplate(type="sidecar", task_type_version=version)
    if version == 0:
        json_format.ParseDict({"podSpec": POD, "primaryContainerName": "main"}, found.custom)
        return found
    found.config["primary_container_name"] = "main"
    json_format.ParseDict(POD, found.custom if version == 1 else found.k8s_pod.pod_spec)
    return found


@pytest.mark.parametrize("version", [0, 1, 2])
def test_of_a_pod_the_primary_container_runs(version):
    container = pods.container_of(pod(version))
    assert (list(container.args), container.image) == (["do"], "i")
    assert {item.key: item.value for item in container.env} == {"A": "1", "B": ""}
    assert pods.remarks(pod(version)) == (
        "of the task's pod only the primary container [main] runs, not [first, side]",
    )
