"""Distributed training (kubeflow's operators): here only jobs of one worker run, as one process.

Rules: ``flyteplugins/go/tasks/plugins/k8s/kfoperators/``.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from flyteidl.core import tasks_pb2
from google.protobuf import json_format

from flytelite.engine.tasks.refusals import BadTaskFormat

Adapted = tuple[Mapping[str, str], tuple[str, ...]]

RENDEZVOUS = {"MASTER_ADDR": "localhost", "MASTER_PORT": "23456", "RANK": "0", "WORLD_SIZE": "1"}
"""What the operator tells a PyTorch process of the others."""


def pytorch(template: tasks_pb2.TaskTemplate) -> Adapted:
    """PyTorch and torch elastic jobs. Raises BadTaskFormat."""
    custom = _custom(template)
    workers = _replicas(custom, "workerReplicas", "workers")
    advice = "Elastic(nnodes=1, nproc_per_node=...) uses all devices of one machine and runs"
    _only_one(template, workers, "Kubeflow's PyTorch operator", advice)
    # torchrun, which elastic tasks start themselves, sets its own.
    return ({} if custom.get("elasticConfig") else RENDEZVOUS), _told(workers)


def tensorflow(template: tasks_pb2.TaskTemplate) -> Adapted:
    """TensorFlow jobs. Raises BadTaskFormat."""
    custom = _custom(template)
    names = (("workerReplicas", "workers"), ("psReplicas", "psReplicas"), ("chiefReplicas", "chiefReplicas"))
    processes = sum(_replicas(custom, *pair) for pair in (*names, ("evaluatorReplicas", "evaluatorReplicas")))
    advice = "tf.distribute.MirroredStrategy in an ordinary task uses all devices of one machine"
    _only_one(template, processes, "Kubeflow's TensorFlow operator", advice)
    return {}, ()


def mpi(template: tasks_pb2.TaskTemplate) -> Adapted:
    """MPI and Horovod jobs. Raises BadTaskFormat."""
    workers = _replicas(_custom(template), "workerReplicas", "numWorkers")
    _only_one(template, workers, "Kubeflow's MPI operator", "one worker with several `slots` runs, with a local mpirun")
    return {}, ()


def _custom(template: tasks_pb2.TaskTemplate) -> dict[str, Any]:
    return json_format.MessageToDict(template.custom)


def _replicas(custom: Mapping[str, Any], name: str, old: str) -> int:
    """How many processes of one role; version 0 of the templates had the number itself under another name."""
    found = custom.get(name, custom.get(old, 0))
    try:
        return int(found.get("replicas", 0) if isinstance(found, dict) else found)
    except (TypeError, ValueError):
        raise BadTaskFormat(f"the task's number of {name} is unusable: {found!r}") from None


def _only_one(template: tasks_pb2.TaskTemplate, processes: int, operator: str, advice: str) -> None:
    if processes > 1:
        raise BadTaskFormat(
            f"a task of type [{template.type}] with {processes} workers needs {operator}, which starts them on a"
            f" cluster; flytelite runs such tasks with one worker only. {advice}."
        )


def _told(workers: int) -> tuple[str, ...]:
    if not workers:
        return ()
    return ("the training runs as one process, without the master that the operator would add",)
