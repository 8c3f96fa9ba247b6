"""Connectors of a service that is a directory: what its jobs do is what tests write there."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

from flyteidl.core.execution_pb2 import TaskExecution, TaskLog
from flytekit.extend.backend.base_connector import (
    AsyncConnectorBase,
    ConnectorRegistry,
    Resource,
    ResourceMeta,
    SyncConnectorBase,
)


@dataclass
class Job(ResourceMeta):
    """A job is the directory that it was given."""

    place: str


def note(place: str, line: str) -> None:
    with (Path(place) / "calls").open("a") as file:
        file.write(f"{line}\n")


class Filing(AsyncConnectorBase):
    """Jobs whose state is in the file ``state``."""

    name = "Filing"

    def __init__(self) -> None:
        super().__init__(task_type_name="filing", metadata_type=Job)

    def create(self, task_template, inputs=None, output_prefix="", task_execution_metadata=None, **kwargs) -> Job:
        place = inputs.literals["place"].scalar.primitive.string_value
        id = task_execution_metadata.task_execution_id
        note(place, f"create {id.node_execution_id.node_id} {task_execution_metadata.namespace}")
        if (Path(place) / "refuse").exists():
            raise ValueError("no jobs today")
        return Job(place=place)

    def get(self, resource_meta: Job, **kwargs) -> Resource:
        state = json.loads((Path(resource_meta.place) / "state").read_text())
        print(state.get("prints", ""))
        links = [TaskLog(uri=uri, name="there") for uri in state.get("logs", [])]
        return Resource(
            phase=TaskExecution.Phase.Value(state["phase"]),
            message=state.get("message"),
            log_links=links or None,
            outputs=state.get("outputs"),
            custom_info=state.get("info"),
        )

    def delete(self, resource_meta: Job, **kwargs) -> None:
        note(resource_meta.place, "delete")


class Doubling(SyncConnectorBase):
    """Doubles a number at once."""

    name = "Doubling"

    def __init__(self) -> None:
        super().__init__(task_type_name="doubling")

    def do(self, task_template, output_prefix="", inputs=None, **kwargs) -> Resource:
        n = inputs.literals["n"].scalar.primitive.integer
        if n < 0:
            return Resource(phase=TaskExecution.FAILED, message="n is negative")
        return Resource(phase=TaskExecution.SUCCEEDED, outputs={"o0": 2 * n})


ConnectorRegistry.register(Filing())
ConnectorRegistry.register(Doubling())
