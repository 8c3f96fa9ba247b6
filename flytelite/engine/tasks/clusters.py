"""Spark, Ray and Dask: here the job's own process starts what it needs of a cluster on this machine.

Rules: ``flyteplugins/go/tasks/plugins/k8s/{spark,ray,dask}``.
"""

from __future__ import annotations

import shlex
from collections.abc import Mapping

from flyteidl.core import tasks_pb2
from google.protobuf import json_format

from flytelite.engine.tasks.refusals import BadTaskFormat

Adapted = tuple[Mapping[str, str], tuple[str, ...]]

LOCAL_MASTER = "local[*]"
_OF_CLUSTERS = ("spark.kubernetes.", "spark.master", "spark.executor.instances", "spark.submit.deployMode")


def spark(template: tasks_pb2.TaskTemplate) -> Adapted:
    """PySpark with a local master, configured as the task says. Raises BadTaskFormat."""
    custom = json_format.MessageToDict(template.custom)
    kind = custom.get("applicationType", "PYTHON")
    if kind != "PYTHON":
        raise BadTaskFormat(
            f"a task of type [spark] whose application is written in {kind} needs the Spark operator;"
            " flytelite runs Python applications only"
        )
    settings = {str(name): str(value) for name, value in custom.get("sparkConf", {}).items()}
    settings |= {f"spark.hadoop.{name}": str(value) for name, value in custom.get("hadoopConf", {}).items()}
    arguments = ["--master", LOCAL_MASTER, "--conf", "spark.driver.bindAddress=127.0.0.1"]
    for name, value in sorted(settings.items()):
        if not name.startswith(_OF_CLUSTERS):
            arguments += ["--conf", f"{name}={value}"]
    # pyspark reads it when it starts the Java side, as spark-submit would read its command line.
    return {"PYSPARK_SUBMIT_ARGS": shlex.join([*arguments, "pyspark-shell"])}, (
        f"Spark runs on this machine alone (master {LOCAL_MASTER})",
    )


def ray(template: tasks_pb2.TaskTemplate) -> Adapted:
    """Without an address to connect to, ``ray.init`` starts a cluster of this machine."""
    return {}, ("Ray runs on this machine alone; numbers of workers are not regarded",)


def dask(template: tasks_pb2.TaskTemplate) -> Adapted:
    """Without an address to connect to, ``dask.distributed.Client`` starts a cluster of this machine."""
    return {}, ("Dask runs on this machine alone; numbers of workers are not regarded",)
