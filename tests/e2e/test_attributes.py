"""Attributes that are set while the server runs hold for the next execution."""

from __future__ import annotations

from typing import Any

from flyteidl.admin import matchable_resource_pb2, workflow_attributes_pb2

WORKFLOW = {"project": "flytesnacks", "domain": "development", "workflow": "scheduled.report"}


def override(client: Any, behavior: str) -> None:
    plugin = matchable_resource_pb2.PluginOverride(
        task_type="python-task", plugin_id=["spark"], missing_plugin_behavior=behavior
    )
    matching = matchable_resource_pb2.MatchingAttributes(
        plugin_overrides=matchable_resource_pb2.PluginOverrides(overrides=[plugin])
    )
    attributes = workflow_attributes_pb2.WorkflowAttributes(matching_attributes=matching, **WORKFLOW)
    client.remote.client.raw.update_workflow_attributes(
        workflow_attributes_pb2.WorkflowAttributesUpdateRequest(attributes=attributes)
    )


def test_a_plugin_that_is_demanded_and_not_here(client: Any) -> None:
    override(client, "FAIL")
    failed = client.run("scheduled.report")
    assert client.phase(failed) == "FAILED"
    assert "demand [spark], and flytelite has only [container]" in failed.closure.error.message
    override(client, "USE_DEFAULT")
    assert client.outputs("scheduled.report") == {"o0": "2024-01-01T00:00:00+00:00"}
