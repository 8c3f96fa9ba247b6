"""What a task template must have before it is compiled.

Source: flyteadmin/pkg/manager/impl/validation/task_validator.go.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from fractions import Fraction
from math import ceil
from typing import Any

from flyteidl.admin import matchable_resource_pb2
from flyteidl.core import identifier_pb2, tasks_pb2
from google.protobuf import json_format

from flytelite.errors import InvalidArgument
from flytelite.quantities import parse, parse_or_zero
from flytelite.server.admin.identifiers import text
from flytelite.server.admin.validation import missing, require

_CHECKED = {
    tasks_pb2.Resources.CPU: "CPU",
    tasks_pb2.Resources.GPU: "GPU",
    tasks_pb2.Resources.MEMORY: "MEMORY",
    tasks_pb2.Resources.EPHEMERAL_STORAGE: "EPHEMERAL_STORAGE",
}
_IN_POD = {"cpu": "CPU", "gpu": "GPU", "memory": "MEMORY", "ephemeral-storage": "EPHEMERAL_STORAGE"}


@dataclass(frozen=True)
class Quantity:
    """A number as it was written."""

    written: str
    number: Fraction

    @property
    def whole(self) -> int:
        """Rounded up, as quantities are compared."""
        return ceil(self.number)


Quantities = Mapping[str, Quantity]
"""By resource name: CPU, GPU, MEMORY, EPHEMERAL_STORAGE."""


def platform_limits(limits: matchable_resource_pb2.TaskResourceSpec) -> Quantities:
    """The limits that TASK_RESOURCE attributes or the settings set; what is 0 or no quantity limits nothing."""
    written = {
        "CPU": limits.cpu,
        "GPU": limits.gpu,
        "MEMORY": limits.memory,
        "EPHEMERAL_STORAGE": limits.ephemeral_storage,
    }
    quantities = {name: Quantity(value, parse_or_zero(value)) for name, value in written.items()}
    return {name: quantity for name, quantity in quantities.items() if quantity.number}


def check_template(id: identifier_pb2.Identifier, template: tasks_pb2.TaskTemplate, limits: Quantities) -> None:
    """Raise InvalidArgument naming what is missing or asks for more than ``limits`` allow."""
    require(template.type, "type")
    if not template.HasField("metadata"):
        raise missing("metadata")
    if template.metadata.HasField("runtime"):
        require(template.metadata.runtime.version, "runtime version")
    if not template.HasField("interface"):
        raise missing("typed interface")
    target = template.WhichOneof("target")
    if target == "container":
        require(template.container.image, "image")
        resources = template.container.resources
        _check_resources(id, _quantities(id, resources.requests), _quantities(id, resources.limits), limits)
    elif target == "k8s_pod":
        _check_pod(id, template.k8s_pod, limits)


def _check_pod(id: identifier_pb2.Identifier, pod: tasks_pb2.K8sPod, limits: Quantities) -> None:
    if not pod.HasField("pod_spec"):
        raise InvalidArgument(
            "invalid TaskSpecification, pod tasks should specify their target as a pod with a pod spec"
        )
    try:
        spec = json_format.MessageToDict(pod.pod_spec)
    except (ValueError, json_format.Error) as error:
        raise InvalidArgument(f"invalid pod spec for task [{text(id)}]: {error}") from error
    containers = spec.get("containers") or []
    if not isinstance(containers, list) or not all(isinstance(container, dict) for container in containers):
        raise InvalidArgument(f"invalid pod spec for task [{text(id)}]: containers must be a list of objects")
    for container in containers:
        resources = container.get("resources") or {}
        if not isinstance(resources, dict):
            raise InvalidArgument(f"invalid pod spec for task [{text(id)}]: resources must be an object")
        requested, limited = (_pod_quantities(id, resources.get(key) or {}) for key in ("requests", "limits"))
        _check_resources(id, requested, limited, limits)


def _pod_quantities(id: identifier_pb2.Identifier, entries: Any) -> Quantities:
    if not isinstance(entries, dict):
        raise InvalidArgument(f"invalid pod spec for task [{text(id)}]: requests and limits must be objects")
    known = {_IN_POD[name]: value for name, value in entries.items() if name in _IN_POD}
    return {name: _quantity(name, str(value)) for name, value in known.items()}


def _quantities(id: identifier_pb2.Identifier, entries: Iterable[tasks_pb2.Resources.ResourceEntry]) -> Quantities:
    quantities: dict[str, Quantity] = {}
    for entry in entries:
        name = _CHECKED.get(entry.name)
        if name is None:
            continue
        if name in quantities:
            raise InvalidArgument(f"can't specify {name} limit for task [{text(id)}] multiple times")
        quantities[name] = _quantity(name, entry.value)
        if name == "GPU" and ceil(quantities[name].number * 1000) % 1000:
            raise InvalidArgument(f"gpu for [{text(id)}] must be a whole number, got: {entry.value} instead")
    return quantities


def _quantity(name: str, written: str) -> Quantity:
    try:
        return Quantity(written, parse(written))
    except ValueError as error:
        raise InvalidArgument(f"Parsing of {name} request failed for value {written} - reason {error}") from None


def _check_resources(
    id: identifier_pb2.Identifier, requests: Quantities, limits: Quantities, platform: Quantities
) -> None:
    for name, request in requests.items():
        limit, ceiling = limits.get(name), platform.get(name)
        if name == "GPU":
            if limit is not None and request.whole != limit.whole:
                raise InvalidArgument(
                    f"For extended resource 'gpu' the default value must equal the limit value for task [{text(id)}]"
                )
        elif limit is not None:
            if limit.whole < request.whole:
                raise InvalidArgument(
                    f"Requested {name} default [{request.written}] is greater than the limit [{limit.written}]"
                )
            _check_ceiling(name, "limit", limit, ceiling)
        _check_ceiling(name, "default", request, ceiling)


def _check_ceiling(name: str, what: str, asked: Quantity, ceiling: Quantity | None) -> None:
    if ceiling is not None and asked.whole > ceiling.whole:
        raise InvalidArgument(
            f"Requested {name} {what} [{asked.written}] is greater than current limit set in the platform "
            f"configuration [{ceiling.written}]"
        )
