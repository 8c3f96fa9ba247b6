"""Workflows whose tasks are jobs of filing.py's connectors, and the directory that is a job."""

from __future__ import annotations

import json
from pathlib import Path

from flyteidl.event import event_pb2

SOURCE = """
from typing import Optional
from flytekit import map_task, task, workflow
from flytekit.core.base_task import PythonTask
from flytekit.core.interface import Interface
from flytekit.core.python_function_task import PythonFunctionTask
from flytekit.extend.backend.base_connector import AsyncConnectorExecutorMixin, SyncConnectorExecutorMixin

class FilingTask(AsyncConnectorExecutorMixin, PythonTask):
    pass

class DoublingTask(SyncConnectorExecutorMixin, PythonTask):
    pass

file = FilingTask("filing", "file", task_config=None, interface=Interface({"place": str}, {"o0": int}))
double = DoublingTask("doubling", "double", task_config=None, interface=Interface({"n": int}, {"o0": int}))
unheard = DoublingTask("unheard", "unheard", task_config=None, interface=Interface({"n": int}, {"o0": int}))

@task
def same(n: int) -> int:
    return n

@workflow
def wf(place: str) -> int:
    return double(n=file(place=place))

@workflow
def filed(place: str) -> int:
    return file(place=place)

@workflow
def doubled(n: int) -> int:
    return double(n=n)

@workflow
def unserved(n: int) -> int:
    return unheard(n=n)

class FilingFunction(AsyncConnectorExecutorMixin, PythonFunctionTask):
    def __init__(self, task_config, task_function, **kwargs):
        super().__init__(task_config, task_function, task_type="filing", **kwargs)

class DoublingFunction(SyncConnectorExecutorMixin, PythonFunctionTask):
    def __init__(self, task_config, task_function, **kwargs):
        super().__init__(task_config, task_function, task_type="doubling", **kwargs)

def file_one(place: str) -> int:
    return 1 // 0  # it is the connector's to do

def double_one(n: int) -> int:
    return 1 // 0  # it is the connector's to do

file_each = FilingFunction(None, file_one)
double_each = DoublingFunction(None, double_one)

@workflow
def all_filed(places: list[str]) -> list[int]:
    return map_task(file_each)(place=places)

@workflow
def all_doubled(numbers: list[int]) -> list[int]:
    return map_task(double_each)(n=numbers)

@workflow
def most_doubled(numbers: list[int]) -> list[Optional[int]]:
    return map_task(double_each, min_success_ratio=0.5)(n=numbers)
"""


class Place:
    """The directory that is a job."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def state(self, phase: str, **more) -> None:
        temporary = self.path / "new"
        temporary.write_text(json.dumps({"phase": phase, **more}))
        temporary.replace(self.path / "state")

    @property
    def calls(self) -> list[str]:
        path = self.path / "calls"
        return path.read_text().splitlines() if path.exists() else []


def tasks(bench, node="n0"):
    return [one for one in bench.ledger.of(node) if isinstance(one, event_pb2.TaskExecutionEvent)]
