"""A server whose disk is full: it refuses writes, answers reads, keeps executions waiting, and recovers by itself."""

from __future__ import annotations

import resource
import subprocess
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any

import grpc
import pytest
from flyteidl.admin import common_pb2, execution_pb2, node_execution_pb2, task_execution_pb2
from flyteidl.core import identifier_pb2
from flyteidl.core.execution_pb2 import WorkflowExecution
from flyteidl.service.admin_pb2_grpc import AdminServiceStub

from .copying import (
    execution_id,
    execution_request,
    executions,
    identifier,
    launch_plan_request,
    task_request,
    workflow_request,
)

REFUSALS = (grpc.StatusCode.RESOURCE_EXHAUSTED, grpc.StatusCode.UNAVAILABLE)
COUNT = 3
Squeeze = Callable[[], AbstractContextManager[None]]


def refused(rpc: Callable[[Any], Any], request: Any) -> bool:
    try:
        rpc(request)
    except grpc.RpcError as error:
        assert error.code() in REFUSALS, error
        assert "free some space" in error.details(), error
        return True
    return False


def soon_refused(admin: AdminServiceStub, name: str) -> bool:
    """Whether the server comes to refuse: the journal has room for some entries more, of which these are large."""
    script = "true" + " " * 20_000
    return any(refused(admin.CreateTask, task_request(f"{name}-{number}", script)) for number in range(40))


def begun(place: Path) -> int:
    return len(list(place.glob("begun-*")))


def start(admin: AdminServiceStub, place: Path) -> None:
    """Executions whose first tasks have begun and wait for the file ``go``."""
    script = f'touch {place}/begun-$$; while [ ! -e {place}/go ]; do sleep 0.05; done; cp "$0" "$1/outputs.pb"'
    admin.CreateTask(task_request("v", script))
    admin.CreateWorkflow(workflow_request("v"))
    admin.CreateLaunchPlan(launch_plan_request("v"))
    for number in range(COUNT):
        admin.CreateExecution(execution_request(f"e{number}", "v", number))


def next_step_waits(admin: AdminServiceStub, name: str) -> bool:
    """Whether the engine has seen the first task end: the second is there, or, when the end left no trace on the full
    disk, a second attempt of the first."""
    nodes = node_execution_pb2.NodeExecutionListRequest(workflow_execution_id=execution_id(name), limit=100)
    found = {node.id.node_id: node.id for node in admin.ListNodeExecutions(nodes).node_executions}
    attempts = task_execution_pb2.TaskExecutionListRequest(node_execution_id=found["n0"], limit=100)
    return "n1" in found or len(admin.ListTaskExecutions(attempts).task_executions) > 1


def check_reads(admin: AdminServiceStub) -> None:
    assert admin.GetTask(common_pb2.ObjectGetRequest(id=identifier(identifier_pb2.TASK, "v"))).id.version == "v"
    assert {f"e{number}" for number in range(COUNT)} <= executions(admin).keys()
    assert admin.GetExecutionData(execution_pb2.WorkflowExecutionGetDataRequest(id=execution_id("e0"))).full_inputs


def survive(server: Any, launch: Any, wait_until: Any, place: Path, squeeze: Squeeze) -> None:
    place.mkdir()
    with grpc.insecure_channel(server.endpoint) as channel:
        admin = AdminServiceStub(channel)
        start(admin, place)
        wait_until(lambda: begun(place) == COUNT, "the first tasks to begin")
        with squeeze():
            assert soon_refused(admin, "refused")
            check_reads(admin)
            (place / "go").touch()
            wait_until(lambda: all(next_step_waits(admin, f"e{number}") for number in range(COUNT)), "the next steps")
            assert soon_refused(admin, "refused-again")
            check_reads(admin)
            assert all(one.closure.phase == WorkflowExecution.RUNNING for one in executions(admin).values())
            assert begun(place) == COUNT, "no task may begin before its intent is on disk"
        wait_until(
            lambda: all(one.closure.phase == WorkflowExecution.SUCCEEDED for one in executions(admin).values()),
            f"success; phases: {[one.closure for one in executions(admin).values()]}",
        )
        admin.CreateTask(task_request("accepted"))
    assert server.stop() == 0
    again = launch(server.data_dir)
    with grpc.insecure_channel(again.endpoint) as channel:
        admin = AdminServiceStub(channel)
        assert all(one.closure.phase == WorkflowExecution.SUCCEEDED for one in executions(admin).values())
        for number in range(COUNT):
            request = execution_pb2.WorkflowExecutionGetDataRequest(id=execution_id(f"e{number}"))
            assert admin.GetExecutionData(request).full_outputs.literals["x"].scalar.primitive.integer == number
        for version in ("v", "accepted"):
            assert admin.GetTask(common_pb2.ObjectGetRequest(id=identifier(identifier_pb2.TASK, version))).id.version
    assert again.stop() == 0
    assert "Traceback" not in server.printed()


def test_a_journal_that_cannot_grow(launch: Any, wait_until: Any, tmp_path: Path) -> None:
    server = launch(tmp_path / "data", "--executor", "subprocess")

    @contextmanager
    def squeeze() -> Iterator[None]:
        """No file of the server may be larger than its journal is; all others are far smaller."""
        (journal,) = (server.data_dir / "store").glob("journal-*.jsonl")
        resource.prlimit(server.process.pid, resource.RLIMIT_FSIZE, (journal.stat().st_size, resource.RLIM_INFINITY))
        yield
        resource.prlimit(server.process.pid, resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))

    survive(server, launch, wait_until, tmp_path / "place", squeeze)


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 16 MiB, where this machine lets us have one."""
    disk = tmp_path / "disk"
    disk.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=16m", "tmpfs", str(disk)]
    try:
        subprocess.run(mount, check=True, capture_output=True)
    except (OSError, subprocess.CalledProcessError) as error:
        pytest.skip(f"no file system can be mounted: {error}")
    yield disk
    subprocess.run(["umount", "--lazy", str(disk)], check=True)


def test_a_disk_without_space(launch: Any, wait_until: Any, small_disk: Path, tmp_path: Path) -> None:
    server = launch(small_disk / "data", "--executor", "subprocess")

    @contextmanager
    def squeeze() -> Iterator[None]:
        ballast = small_disk / "ballast"
        with ballast.open("wb", buffering=0) as file, pytest.raises(OSError, match="No space left"):
            while True:
                file.write(bytes(4096))
        yield
        ballast.unlink()

    survive(server, launch, wait_until, tmp_path / "place", squeeze)
