"""What a task run asks for, and may use at most: its template, its node's overrides and the platform taken together.

Rules: ``flyteadmin/pkg/manager/impl/execution_manager.go`` (setCompiledTaskDefaults), which completes the tasks of an
execution, and ``flyteplugins/go/tasks/pluginmachinery/flytek8s/container_helper.go`` (ApplyResourceOverrides), which
puts a node's overrides on top and keeps what comes of it within the platform's limits.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

from flyteidl.admin import matchable_resource_pb2
from flyteidl.core import tasks_pb2
from google.protobuf import json_format

from flytelite.quantities import parse_or_zero, text_of

CPU, MEMORY, GPU, EPHEMERAL_STORAGE = "cpu", "memory", "gpu", "ephemeral-storage"
_ALWAYS = (CPU, MEMORY)
"""Of these a container has as much as the platform gives by default when nobody asks for any."""

_NAMES = {
    tasks_pb2.Resources.CPU: CPU,
    tasks_pb2.Resources.MEMORY: MEMORY,
    tasks_pb2.Resources.GPU: GPU,
    tasks_pb2.Resources.EPHEMERAL_STORAGE: EPHEMERAL_STORAGE,
}
_IN_POD = {CPU: CPU, MEMORY: MEMORY, GPU: GPU, "nvidia.com/gpu": GPU, EPHEMERAL_STORAGE: EPHEMERAL_STORAGE}
_NONE = Fraction(0)


@dataclass(frozen=True)
class Amount:
    """Of one resource: cores, bytes or devices. A request of 0 asks for none, a limit of 0 is none."""

    request: Fraction = _NONE
    limit: Fraction = _NONE


@dataclass(frozen=True)
class EffectiveResources:
    """What one run of a task asks for and may use."""

    cpu: Amount = Amount()
    memory: Amount = Amount()
    gpu: Amount = Amount()
    ephemeral_storage: Amount = Amount()


def effective_resources(
    template: tasks_pb2.TaskTemplate,
    overrides: tasks_pb2.Resources | None,
    platform: matchable_resource_pb2.TaskResourceAttributes,
) -> EffectiveResources:
    """The requests and limits that hold for a run of the task, as Flyte computes them.

    ``template`` is the task's as it is registered, ``overrides`` what its node says (``TaskNode.overrides.resources``,
    None for nothing), ``platform`` what ``Launch.task_resources`` carries: TASK_RESOURCE attributes, else the settings.
    Of a pod the primary container counts. A request that is missing is the limit, else the platform's default; a
    missing limit is the request; neither exceeds the platform's limit. What is no quantity asks
    for nothing: it was refused before (``compiler/executable.py``, ``tasks/pods.py``).
    """
    defaults, ceilings = _spec(platform.defaults), _spec(platform.limits)
    asked = _of_template(template)
    if template.WhichOneof("target") == "container":
        names = (*_ALWAYS, *(name for name in (EPHEMERAL_STORAGE, GPU) if name in asked or name in defaults))
        asked = {name: _adjusted(asked.get(name, Amount()), defaults.get(name), ceilings.get(name)) for name in names}
    if overrides is not None:
        asked = _overridden(asked, _entries(overrides))
    final = {
        name: _adjusted(asked.get(name, Amount()), defaults.get(name), ceilings.get(name))
        for name in {*_ALWAYS, *asked}
    }
    return EffectiveResources(*(final.get(name, Amount()) for name in (CPU, MEMORY, GPU, EPHEMERAL_STORAGE)))


def _adjusted(amount: Amount, default: Fraction | None, ceiling: Fraction | None) -> Amount:
    request = amount.request or amount.limit or default or _NONE
    limit = amount.limit or request
    if ceiling:
        request, limit = min(request, ceiling), min(limit, ceiling)
    return Amount(min(request, limit), limit)


def _overridden(asked: Mapping[str, Amount], overrides: Mapping[str, Amount]) -> dict[str, Amount]:
    """Each request and each limit that a node names replaces that of the task."""
    merged = dict(asked)
    for name, override in overrides.items():
        own = merged.get(name, Amount())
        merged[name] = Amount(override.request or own.request, override.limit or own.limit)
    return merged


def _of_template(template: tasks_pb2.TaskTemplate) -> dict[str, Amount]:
    if template.WhichOneof("target") == "k8s_pod":
        return _of_pod(template)
    return _entries(template.container.resources)


def _of_pod(template: tasks_pb2.TaskTemplate) -> dict[str, Amount]:
    containers = json_format.MessageToDict(template.k8s_pod.pod_spec).get("containers", [])
    name = template.config.get("primary_container_name", "")
    for container in containers:
        if container.get("name") == name or (not name and len(containers) == 1):
            resources = container.get("resources", {})
            return _amounts(_of_list(resources.get("requests", {})), _of_list(resources.get("limits", {})))
    return {}


def _of_list(found: Mapping[str, Any]) -> dict[str, Fraction]:
    """A Kubernetes ResourceList; numbers in a Struct are floats."""
    return {_IN_POD[name]: parse_or_zero(text_of(value)) for name, value in found.items() if name in _IN_POD}


def _entries(resources: tasks_pb2.Resources) -> dict[str, Amount]:
    return _amounts(_of_entries(resources.requests), _of_entries(resources.limits))


def _of_entries(entries: Iterable[tasks_pb2.Resources.ResourceEntry]) -> dict[str, Fraction]:
    return {_NAMES[entry.name]: parse_or_zero(entry.value) for entry in entries if entry.name in _NAMES}


def _amounts(requests: Mapping[str, Fraction], limits: Mapping[str, Fraction]) -> dict[str, Amount]:
    found = {
        name: Amount(requests.get(name, _NONE), limits.get(name, _NONE)) for name in dict.fromkeys((*requests, *limits))
    }
    return {name: amount for name, amount in found.items() if amount.request or amount.limit}


def _spec(spec: matchable_resource_pb2.TaskResourceSpec) -> dict[str, Fraction]:
    written = {
        CPU: spec.cpu,
        MEMORY: spec.memory,
        GPU: spec.gpu,
        EPHEMERAL_STORAGE: spec.ephemeral_storage,
    }
    return {name: number for name, value in written.items() if (number := parse_or_zero(value)) > 0}
