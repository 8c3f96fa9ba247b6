"""The order in which a server starts, and what it has loaded when it first answers."""

from __future__ import annotations

import asyncio
import re
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import grpc
import pytest
from flyteidl.admin import execution_pb2
from flyteidl.core.execution_pb2 import WorkflowExecution
from flyteidl.service.admin_pb2_grpc import AdminServiceStub

from flytelite.config import Settings
from flytelite.server import app

sys.path.insert(0, str(Path(__file__).parents[2] / "fault"))
import copying

ANSWER = """
import os, signal, socket, sys, threading, time
from hpack import Encoder
from flytelite.cli.starting import run
from flytelite.server.grpc import frames

UNNEEDED = ("flytekit", "grpc", "rich", "starlette", "uvicorn", "h11", "yaml", "dotenv", "watchfiles", "msgpack",
            "typer", "pydantic", "multiprocessing", "tarfile", "zoneinfo", "importlib.metadata", "sqlite3",
            "http.client", "urllib.request")
port = int(sys.argv[1])

def ask():
    while True:
        try:
            connection = socket.create_connection(("127.0.0.1", port))
            break
        except OSError:
            time.sleep(0.01)
    head = [(":method", "POST"), (":scheme", "http"), (":path", "/flyteidl.service.AdminService/ListProjects"),
            ("te", "trailers"), ("content-type", "application/grpc")]
    connection.sendall(frames.PREFACE + frames.frame(frames.SETTINGS, 0, 0)
        + frames.frame(frames.HEADERS, frames.END_HEADERS, 1, Encoder().encode(head))
        + frames.frame(frames.DATA, frames.END_STREAM, 1, bytes(5)))
    received = b""
    while b"flytesnacks" not in received:
        received += connection.recv(65536)
    print([name for name in UNNEEDED if name in sys.modules])
    os.kill(os.getpid(), signal.SIGINT)

threading.Thread(target=ask, daemon=True).start()
sys.exit(run(["up", "--port", str(port), "--executor", "subprocess", "--data-dir", sys.argv[2]]))
"""


def test_the_first_answer_needs_none_of_what_is_slow_to_import(tmp_path: Path, free_port: int) -> None:
    command = [sys.executable, "-c", ANSWER, str(free_port), str(tmp_path / "data")]
    done = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
    assert re.fullmatch(r"[-0-9]+ [:0-9]+ INFO stopping: .*\n", done.stderr)
    assert "[]" in done.stdout.splitlines(), done.stdout


@pytest.fixture
def free_port() -> int:
    import socket

    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def test_what_is_created_before_the_engine_is_there_runs(
    tmp_path: Path, free_port: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Clients are answered while the engine is still being imported."""
    settings = Settings(port=free_port, data_dir=tmp_path / "data", executor="subprocess")
    go_on, load = threading.Event(), app._load_engine

    def load_late() -> Any:
        assert go_on.wait(60)
        return load()

    async def create(admin: Any) -> None:
        await admin.CreateTask(copying.task_request("v"), wait_for_ready=True)
        await admin.CreateWorkflow(copying.workflow_request("v", 1))
        await admin.CreateLaunchPlan(copying.launch_plan_request("v"))
        for name in ("runs", "aborted"):
            await admin.CreateExecution(copying.execution_request(name, "v", 1))
        request = execution_pb2.ExecutionTerminateRequest(id=copying.execution_id("aborted"), cause="too early")
        await admin.TerminateExecution(request)

    async def phase(admin: Any, name: str) -> int:
        request = execution_pb2.WorkflowExecutionGetRequest(id=copying.execution_id(name))
        while True:
            found = (await admin.GetExecution(request)).closure.phase
            if found in (WorkflowExecution.SUCCEEDED, WorkflowExecution.FAILED, WorkflowExecution.ABORTED):
                return int(found)
            await asyncio.sleep(0.02)

    async def start() -> None:
        async with grpc.aio.insecure_channel(f"127.0.0.1:{free_port}") as channel:
            admin = AdminServiceStub(channel)
            created = asyncio.create_task(create(admin))
            created.add_done_callback(lambda _: go_on.set())
            async with app.running(settings):
                await created
                assert await asyncio.wait_for(phase(admin, "runs"), 60) == WorkflowExecution.SUCCEEDED
                assert await asyncio.wait_for(phase(admin, "aborted"), 60) == WorkflowExecution.ABORTED

    monkeypatch.setattr(app, "_load_engine", load_late)
    asyncio.run(start())
