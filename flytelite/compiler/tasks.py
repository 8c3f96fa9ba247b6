"""TaskTemplate -> CompiledTask. Rules: ``flytepropeller/pkg/compiler/task_compiler.go``."""

from __future__ import annotations

import re
from typing import Any

from flyteidl.core import compiler_pb2, tasks_pb2
from google.protobuf import json_format

from flytelite.compiler import errors as problem
from flytelite.compiler.errors import CompilationFailed, CompileErrors

_QUANTITY = re.compile(r"(?=.)[+-]?[0-9]*(\.[0-9]*)?([numkMGTPE]|[KMGTPE]i|[eE][+-]?[0-9]+)?")
_LABEL = re.compile(r"[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?")


def compile_task(template: tasks_pb2.TaskTemplate) -> compiler_pb2.CompiledTask:
    """The template as a compiled task. Raises CompilationFailed when its container or pod is not sound."""
    errors = CompileErrors()
    if not template.HasField("id"):
        errors.collect(problem.value_required("root", "Id"))
    if template.HasField("container"):
        _validate_container(template, errors)
    elif template.HasField("k8s_pod"):
        _validate_pod(template.k8s_pod, errors)
    if not errors.ok:
        raise CompilationFailed(errors)
    return compiler_pb2.CompiledTask(template=template)


def _validate_container(template: tasks_pb2.TaskTemplate, errors: CompileErrors) -> None:
    container = template.container
    has_variables = template.interface.inputs.variables or template.interface.outputs.variables
    if has_variables and not container.command and not container.args:
        errors.collect(problem.value_required("container", "command"))
    if not container.image:
        errors.collect(problem.value_required("container", "image"))
    for entry in [*container.resources.requests, *container.resources.limits]:
        if not _QUANTITY.fullmatch(entry.value):
            errors.collect(problem.unrecognized_value(f"resources.{resource_name(entry.name)}", entry.value))


def resource_name(number: int) -> str:
    """As Flyte writes it."""
    names = tasks_pb2.Resources.ResourceName
    return str(names.Name(number)) if number in names.values() else str(number)


def _validate_pod(pod: tasks_pb2.K8sPod, errors: CompileErrors) -> None:
    names = _container_names(pod)
    if names is None:
        errors.collect(problem.invalid_value("root", "k8s pod spec"))
    elif not all(map(_LABEL.fullmatch, names)):
        errors.collect(problem.invalid_value("root", "k8s pod spec container name"))


def _container_names(pod: tasks_pb2.K8sPod) -> list[str] | None:
    """The names of the containers in the pod spec; None when it is not the JSON of a pod spec."""
    if not pod.HasField("pod_spec"):
        return None
    try:
        containers: Any = json_format.MessageToDict(pod.pod_spec).get("containers")
    except (ValueError, json_format.Error):
        return None  # NaN and infinity are no JSON
    if not isinstance(containers, list):
        return [] if containers is None else None
    containers = [{} if container is None else container for container in containers]
    if not all(isinstance(container, dict) for container in containers):
        return None
    names = [container.get("name") or "" for container in containers]
    return names if all(isinstance(name, str) for name in names) else None
