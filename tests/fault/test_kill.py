"""A server that is killed again and again while clients register, run and it compacts: `make soak` for 200 rounds."""

from __future__ import annotations

import itertools
import json
import os
import random
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import grpc
import pytest
from flyteidl.admin import common_pb2, execution_pb2, node_execution_pb2
from flyteidl.core import identifier_pb2
from flyteidl.core.execution_pb2 import NodeExecution, WorkflowExecution
from flyteidl.service.admin_pb2_grpc import AdminServiceStub

from .copying import (
    COPY,
    EVERYTHING,
    description_request,
    execution_id,
    execution_request,
    executions,
    identifier,
    launch_plan_request,
    task_request,
    workflow_request,
)

UNDER_WAY = 4
"""Executions that a client lets run at the same time."""
REGISTER_EVERY = 0.05

# Small files, so that compaction is nearly always under way.
SERVER = """
import sys
from flytelite.server.store.journal import JournalStore
JournalStore.open.__func__.__kwdefaults__["segment_bytes"] = 48 * 1024
from flytelite.cli.application import run
sys.exit(run(["up", "--port", "0", "--executor", "subprocess", "--data-dir", sys.argv[1]]))
"""

ENDED = (WorkflowExecution.SUCCEEDED, WorkflowExecution.FAILED)
"""FAILING and SUCCEEDING are on the way there."""


@dataclass
class Told:
    """What clients asked for, what of it was acknowledged, and which ends they have seen.

    ``described`` is the last description that was acknowledged or read, and the last that was tried.
    """

    tried: set[tuple[str, str]] = field(default_factory=set)
    acknowledged: set[tuple[str, str]] = field(default_factory=set)
    inputs: dict[str, int] = field(default_factory=dict)
    ended: dict[str, int] = field(default_factory=dict)
    versions: list[str] = field(default_factory=list)
    described: tuple[int, int] = 0, 0
    numbers: Iterator[int] = field(default_factory=itertools.count)

    def call(self, kind: str, name: str, rpc: Callable[..., Any], request: Any) -> None:
        self.tried.add((kind, name))
        rpc(request, timeout=20)
        self.acknowledged.add((kind, name))


class Clients:
    """Threads that write until the server is gone."""

    def __init__(self, admin: AdminServiceStub, told: Told) -> None:
        self.admin, self.told = admin, told
        self.unexpected: list[BaseException] = []
        self.next_version = 0.0
        self.threads = [threading.Thread(target=self._write, args=(step,)) for step in (self.register, self.execute)]
        for thread in self.threads:
            thread.start()

    def join(self) -> None:
        for thread in self.threads:
            thread.join()
        assert not self.unexpected, self.unexpected

    def register(self) -> None:
        """A new version now and then; else a change of what is there, so that there is history to compact."""
        if time.monotonic() < self.next_version:
            self.describe()
            return
        self.next_version = time.monotonic() + REGISTER_EVERY
        version = f"v{next(self.told.numbers)}"
        self.told.call("task", version, self.admin.CreateTask, task_request(version))
        self.told.call("workflow", version, self.admin.CreateWorkflow, workflow_request(version))
        self.told.call("launch plan", version, self.admin.CreateLaunchPlan, launch_plan_request(version))
        self.told.versions.append(version)

    def describe(self) -> None:
        number = next(self.told.numbers)
        self.told.described = self.told.described[0], number
        self.admin.UpdateNamedEntity(description_request(number), timeout=20)
        self.told.described = number, number

    def execute(self) -> None:
        listed = executions(self.admin)
        running = sum(execution.closure.phase in (0, 1, 2) for execution in listed.values())
        if running >= UNDER_WAY or not self.told.versions:
            # Something to do for the server all the same: the list that was just asked for.
            return
        number = next(self.told.numbers)
        name, number = f"e{number}", -1 if number % 7 == 0 else number % 100
        self.told.inputs[name] = number
        request = execution_request(name, self.told.versions[-1], number)
        self.told.call("execution", name, self.admin.CreateExecution, request)

    def _write(self, step: Callable[[], None]) -> None:
        try:
            while True:
                step()
        except grpc.RpcError as error:
            if error.code() not in (grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.CANCELLED):
                self.unexpected.append(error)


def written(admin: AdminServiceStub) -> set[tuple[str, str]]:
    """Everything that the server has, by kind and name."""
    request = common_pb2.ResourceListRequest(id=COPY, limit=EVERYTHING)
    return {
        *(("task", task.id.version) for task in admin.ListTasks(request, timeout=20).tasks),
        *(("workflow", workflow.id.version) for workflow in admin.ListWorkflows(request, timeout=20).workflows),
        *(("launch plan", plan.id.version) for plan in admin.ListLaunchPlans(request, timeout=20).launch_plans),
        *(("execution", name) for name in executions(admin)),
    }


def check_whole(admin: AdminServiceStub, kind: str, name: str, told: Told) -> None:
    """A write nobody was told of is there whole: with everything that belongs to it."""
    if kind == "task":
        task = admin.GetTask(common_pb2.ObjectGetRequest(id=identifier(identifier_pb2.TASK, name)))
        assert task.closure.compiled_task.template.container == task_request(name).spec.template.container
    elif kind == "workflow":
        found = admin.GetWorkflow(common_pb2.ObjectGetRequest(id=identifier(identifier_pb2.WORKFLOW, name)))
        nodes = found.closure.compiled_workflow.primary.template.nodes
        assert {"n0", "n1"} <= {node.id for node in nodes}
    elif kind == "launch plan":
        plan = admin.GetLaunchPlan(common_pb2.ObjectGetRequest(id=identifier(identifier_pb2.LAUNCH_PLAN, name)))
        assert plan.spec == launch_plan_request(name).spec
    else:
        data = admin.GetExecutionData(execution_pb2.WorkflowExecutionGetDataRequest(id=execution_id(name)))
        assert data.full_inputs.literals["x"].scalar.primitive.integer == told.inputs[name]


def check(admin: AdminServiceStub, told: Told, version: str) -> None:
    """What was acknowledged is there, what was not is there whole or not at all, and no end was undone."""
    there = written(admin)
    assert told.acknowledged <= there, f"acknowledged and lost: {sorted(told.acknowledged - there)}"
    assert there <= told.tried, f"nobody asked for {sorted(there - told.tried)}"
    for kind, name in sorted(there - told.acknowledged):
        check_whole(admin, kind, name, told)
    told.acknowledged |= there
    listed = executions(admin)
    ended = {name: found.closure.phase for name, found in listed.items() if found.closure.phase in ENDED}
    assert {name: ended.get(name) for name in told.ended} == told.ended
    # A write that is acknowledged says that all before it, and so all that was read, is on disk.
    told.call("task", version, admin.CreateTask, task_request(version))
    told.ended = ended
    entity = admin.GetNamedEntity(common_pb2.NamedEntityGetRequest(resource_type=identifier_pb2.TASK, id=COPY))
    described = int(entity.metadata.description or 0)
    assert described in told.described
    told.described = described, described


def check_end(admin: AdminServiceStub, name: str, number: int) -> None:
    """The execution came to the end that its input asks for, each node once."""
    execution = admin.GetExecution(execution_pb2.WorkflowExecutionGetRequest(id=execution_id(name)))
    request = node_execution_pb2.NodeExecutionListRequest(workflow_execution_id=execution_id(name), limit=100)
    phases = {
        node.metadata.spec_node_id: node.closure.phase for node in admin.ListNodeExecutions(request).node_executions
    }
    if number == -1:
        assert execution.closure.phase == WorkflowExecution.FAILED, execution
        assert phases["n0"] == NodeExecution.FAILED
        assert "n1" not in phases
        return
    assert execution.closure.phase == WorkflowExecution.SUCCEEDED, execution
    assert phases == dict.fromkeys(("start-node", "n0", "n1", "end-node"), NodeExecution.SUCCEEDED) or phases == (
        dict.fromkeys(("start-node", "n0", "n1"), NodeExecution.SUCCEEDED)
    ), phases
    data = admin.GetExecutionData(execution_pb2.WorkflowExecutionGetDataRequest(id=execution_id(name)))
    assert data.full_outputs.literals["x"].scalar.primitive.integer == number


@dataclass
class Place:
    """A data directory, and the server that is started on it again and again."""

    data_dir: Path
    environ: Mapping[str, str]
    wait_until: Callable[..., Any]
    process: subprocess.Popen[bytes] | None = None

    def start(self) -> subprocess.Popen[bytes]:
        with (self.data_dir.parent / "screen").open("ab") as screen:
            self.process = subprocess.Popen(
                [sys.executable, "-c", SERVER, str(self.data_dir)],
                stdin=subprocess.DEVNULL,
                stdout=screen,
                stderr=screen,
                env=dict(self.environ),
                cwd=self.data_dir.parent,
                start_new_session=True,
            )
        return self.process

    def kill(self) -> None:
        if self.process is not None:
            self.process.kill()
            self.process.wait()
            self.process = None

    @contextmanager
    def connected(self) -> Iterator[AdminServiceStub]:
        endpoint = self.wait_until(self._endpoint, "the server to answer", 60)
        options = [("grpc.max_receive_message_length", -1), ("grpc.use_local_subchannel_pool", 1)]
        with grpc.insecure_channel(endpoint, options) as channel:
            yield AdminServiceStub(channel)

    def _endpoint(self) -> str | None:
        assert self.process is not None
        assert self.process.poll() is None, (self.data_dir.parent / "screen").read_text()[-5000:]
        try:
            running = json.loads((self.data_dir / "server.json").read_text())
        except (OSError, ValueError):
            return None
        return str(running["endpoint"]) if running["pid"] == self.process.pid else None


@pytest.fixture
def place(tmp_path: Path, environ: dict[str, str], wait_until: Callable[..., Any]) -> Iterator[Place]:
    place = Place(tmp_path / "data", environ, wait_until)
    yield place
    place.kill()


def kill_again_and_again(place: Place, rounds: int, seed: int) -> None:
    chance, told = random.Random(seed), Told()
    for number in range(rounds):
        place.start()
        if number % 5 == 4:  # while it starts, and so reads, cuts and tidies
            time.sleep(chance.uniform(0, 0.8))
            place.kill()
            place.start()
        with place.connected() as admin:
            check(admin, told, f"check{number}")
            clients = Clients(admin, told)
            time.sleep(chance.uniform(0, 1.6))
            place.kill()
            clients.join()
    place.start()
    with place.connected() as admin:
        check(admin, told, "last")
        place.wait_until(
            lambda: all(found.closure.phase in ENDED for found in executions(admin).values()), "all ends", 120
        )
        for name in executions(admin):
            check_end(admin, name, told.inputs[name])
    assert len(told.inputs) >= rounds / 2
    assert "is damaged" not in (place.data_dir.parent / "screen").read_text()


def test_a_few_kills(place: Place) -> None:
    kill_again_and_again(place, 3, seed=3)


@pytest.mark.soak
@pytest.mark.timeout(1500)
def test_two_hundred_kills(place: Place) -> None:
    kill_again_and_again(place, 200, seed=int(os.environ.get("SEED", "200")))
    compacted = list((place.data_dir / "store").glob("journal-*-*.jsonl"))
    assert compacted, "compaction has been under way"
    assert place.process is not None
    place.process.send_signal(signal.SIGTERM)
    assert place.process.wait(30) == 0
