"""What a node says of the image and the pod of its task (``with_overrides``).

Rules: ``flyteplugins/go/tasks/pluginmachinery/flytek8s/pod_helper.go`` (BuildRawPod, ApplyContainerImageOverride). What
it says of resources is in ``engine/resources.py``.
"""

from __future__ import annotations

from flyteidl.core import tasks_pb2, workflow_pb2

from flytelite.engine.tasks.pods import PRIMARY_CONTAINER


def as_overridden(
    template: tasks_pb2.TaskTemplate, overrides: workflow_pb2.TaskNodeOverrides
) -> tasks_pb2.TaskTemplate:
    """The template as an attempt of the node runs it; the same one when the node says nothing of image and pod.

    A pod takes the place of the task's container or pod, an image that of the primary container.
    """
    has_pod = overrides.pod_template.HasField("pod_spec")
    target = template.WhichOneof("target")
    if target not in ("container", "k8s_pod") or not (has_pod or overrides.container_image):
        return template
    changed = tasks_pb2.TaskTemplate()
    changed.CopyFrom(template)
    if has_pod:
        own = template.container if target == "container" else template.k8s_pod
        changed.k8s_pod.CopyFrom(overrides.pod_template)
        if own.HasField("data_config"):
            changed.k8s_pod.data_config.CopyFrom(own.data_config)
        changed.config[PRIMARY_CONTAINER] = overrides.pod_template.primary_container_name
    if overrides.container_image:
        _set_image(changed, overrides.container_image)
    return changed


def _set_image(template: tasks_pb2.TaskTemplate, image: str) -> None:
    if template.WhichOneof("target") == "container":
        template.container.image = image
        return
    for container in template.k8s_pod.pod_spec.fields["containers"].list_value.values:
        fields = container.struct_value.fields
        if fields["name"].string_value == template.config[PRIMARY_CONTAINER]:
            fields["image"].string_value = image
