"""Tasks with a pod: of its containers the primary one is run.

Rules: ``flyteplugins/go/tasks/plugins/k8s/pod/plugin.go`` and ``.../flytek8s/pod_helper.go``.
"""

from __future__ import annotations

from typing import Any

from flyteidl.core import literals_pb2, tasks_pb2
from google.protobuf import json_format

from flytelite.engine.tasks.refusals import BadTaskFormat
from flytelite.quantities import parse, text_of

SIDECAR = "sidecar"
PRIMARY_CONTAINER = "primary_container_name"


def container_of(template: tasks_pb2.TaskTemplate) -> tasks_pb2.Container:
    """The container of the task; of a pod its primary one. Raises BadTaskFormat when it has none."""
    if template.WhichOneof("target") == "container":
        return template.container
    pod = _pod(template)
    if pod is None:
        raise BadTaskFormat(
            f"a task of type [{template.type}] runs no command; flytelite has no plugin for it"
            " and it can only run tasks with a container"
        )
    found = _primary(template, pod)
    _check_resources(found.get("resources") or {})
    container = tasks_pb2.Container(
        image=found.get("image", ""), command=found.get("command", []), args=found.get("args", [])
    )
    for variable in found.get("env", []):
        container.env.append(literals_pb2.KeyValuePair(key=variable["name"], value=variable.get("value", "")))
    if template.k8s_pod.HasField("data_config"):
        container.data_config.CopyFrom(template.k8s_pod.data_config)
    return container


def _check_resources(resources: dict[str, Any]) -> None:
    """CreateTask has checked the pod of a task; a node may have brought another one."""
    for kind in ("requests", "limits"):
        for name, value in (resources.get(kind) or {}).items():
            if isinstance(value, dict):
                continue  # as version 0 of the templates has them
            try:
                parse(text_of(value))
            except ValueError as error:
                raise BadTaskFormat(f"resources.{kind}.{name} [{value}] of the pod: {error}") from error


def remarks(template: tasks_pb2.TaskTemplate) -> tuple[str, ...]:
    """What of a pod is not run."""
    pod = _pod(template)
    if pod is None:
        return ()
    primary = _primary(template, pod)
    found = [*pod.get("initContainers", []), *pod.get("containers", [])]
    others = ", ".join(str(item.get("name", "")) for item in found if item is not primary)
    if not others:
        return ()
    return (f"of the task's pod only the primary container [{primary.get('name', '')}] runs, not [{others}]",)


def _pod(template: tasks_pb2.TaskTemplate) -> dict[str, Any] | None:
    if template.WhichOneof("target") == "k8s_pod":
        return json_format.MessageToDict(template.k8s_pod.pod_spec)
    if template.type == SIDECAR and template.HasField("custom"):
        custom = json_format.MessageToDict(template.custom)
        return dict(custom.get("podSpec", custom))  # version 0 of the templates, and version 1
    return None


def _primary(template: tasks_pb2.TaskTemplate, pod: dict[str, Any]) -> dict[str, Any]:
    name = template.config.get(PRIMARY_CONTAINER, "")
    if not name and template.HasField("custom"):
        name = json_format.MessageToDict(template.custom).get("primaryContainerName", "")
    containers = pod.get("containers", [])
    for item in containers:
        if item.get("name") == name or (not name and len(containers) == 1):
            return item  # type: ignore[no-any-return]
    raise BadTaskFormat(f"Primary container [{name}] not found in the task's pod specification")
