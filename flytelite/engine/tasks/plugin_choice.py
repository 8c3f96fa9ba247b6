"""Whether the execution's PLUGIN_OVERRIDE attributes let a plugin run tasks of a type.

Rules: ``flytepropeller/pkg/controller/nodes/task/handler.go`` (ResolvePlugin). Here each type of task has one plugin.
"""

from __future__ import annotations

from flyteidl.admin import matchable_resource_pb2


def refusal(task_type: str, plugin: str, overrides: matchable_resource_pb2.PluginOverrides) -> str | None:
    """Why the plugin may not run the task: an override demands plugins that are not here, and nothing else will do.

    None when it may, which it also may in the place of missing ones (USE_DEFAULT).
    """
    for override in overrides.overrides:
        if override.task_type != task_type or not override.plugin_id or plugin in override.plugin_id:
            continue
        if override.missing_plugin_behavior == matchable_resource_pb2.PluginOverride.FAIL:
            return (
                f"no matching plugin overrides defined for task type [{task_type}]: PLUGIN_OVERRIDE attributes "
                f"demand [{', '.join(override.plugin_id)}], and flytelite has only [{plugin}]. Change the attributes, "
                "or their missing_plugin_behavior to USE_DEFAULT"
            )
    return None
