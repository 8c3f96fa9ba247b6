"""A task that a connector runs: the job is a directory, and whoever writes there does the work."""

from __future__ import annotations

from flytekit import workflow
from flytekit.core.base_task import PythonTask
from flytekit.core.interface import Interface
from flytekit.extend.backend.base_connector import AsyncConnectorExecutorMixin


class FilingTask(AsyncConnectorExecutorMixin, PythonTask):
    """Of the type that the connector serves."""


file = FilingTask("filing", "file", task_config=None, interface=Interface({"place": str}, {"o0": int}))


@workflow
def filed(place: str) -> int:
    return file(place=place)
