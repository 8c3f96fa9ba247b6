"""How soon the engine acts on what happens: a signal, an abort, the end of a process.

Run as ``python tests/benchmarks/bench_promptness.py [--rounds N]``. A whole server on disk, called over gRPC from the
same process. Prints medians and maxima in milliseconds:

- from calling SetSignal to the gate's SUCCEEDED event
- from calling TerminateExecution to the execution's ABORTED event, and to the death of the task's process
- from the last thing that a task's process does to its node's SUCCEEDED event
- for reference, an unary read by the same client
"""

from __future__ import annotations

import argparse
import asyncio
import os
import statistics
import tempfile
import time
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from pathlib import Path

import grpc.aio
from flyteidl.admin import (
    execution_pb2,
    launch_plan_pb2,
    node_execution_pb2,
    signal_pb2,
    task_pb2,
    version_pb2,
    workflow_pb2,
)
from flyteidl.core import execution_pb2 as phases
from flyteidl.core import identifier_pb2, literals_pb2, tasks_pb2
from flyteidl.core import workflow_pb2 as core
from flyteidl.service import admin_pb2_grpc, signal_pb2_grpc

from flytelite.config import Settings
from flytelite.server.app import running

SCOPE = {"project": "flytesnacks", "domain": "development"}
PAUSE = 0.001
"""Between two looks of this client, which its figures do not contain: events say when they occurred."""
NODE = phases.NodeExecution
EXECUTION = phases.WorkflowExecution


def identifier(kind: int, name: str) -> identifier_pb2.Identifier:
    return identifier_pb2.Identifier(resource_type=kind, name=name, version="v1", **SCOPE)


def command(name: str, script: str) -> tasks_pb2.TaskTemplate:
    metadata = tasks_pb2.TaskMetadata(runtime=tasks_pb2.RuntimeMetadata(version="1"))
    template = tasks_pb2.TaskTemplate(id=identifier(identifier_pb2.TASK, name), type="python-task", metadata=metadata)
    template.interface.inputs.SetInParent()
    template.container.image = "none"
    template.container.args.extend(["sh", "-c", script])
    return template


class Client:
    """A server's client, and the few calls that are needed here."""

    def __init__(self, channel: grpc.aio.Channel) -> None:
        self.admin = admin_pb2_grpc.AdminServiceStub(channel)
        self.signals = signal_pb2_grpc.SignalServiceStub(channel)

    async def register(self, name: str, node: core.Node, task: tasks_pb2.TaskTemplate | None = None) -> None:
        if task is not None:
            spec = task_pb2.TaskSpec(template=task)
            await self.admin.CreateTask(task_pb2.TaskCreateRequest(id=task.id, spec=spec))
        id = identifier(identifier_pb2.WORKFLOW, name)
        spec = workflow_pb2.WorkflowSpec(template=core.WorkflowTemplate(id=id, nodes=[node]))
        await self.admin.CreateWorkflow(workflow_pb2.WorkflowCreateRequest(id=id, spec=spec))
        request = launch_plan_pb2.LaunchPlanCreateRequest(id=identifier(identifier_pb2.LAUNCH_PLAN, name))
        request.spec.workflow_id.CopyFrom(id)
        await self.admin.CreateLaunchPlan(request)

    async def launch(self, name: str) -> identifier_pb2.WorkflowExecutionIdentifier:
        spec = execution_pb2.ExecutionSpec(launch_plan=identifier(identifier_pb2.LAUNCH_PLAN, name))
        return (await self.admin.CreateExecution(execution_pb2.ExecutionCreateRequest(spec=spec, **SCOPE))).id

    async def node(self, id: identifier_pb2.WorkflowExecutionIdentifier, phase: int) -> float:
        """When the node came to that phase."""
        node = identifier_pb2.NodeExecutionIdentifier(node_id="n0", execution_id=id)
        request = node_execution_pb2.NodeExecutionGetRequest(id=node)

        async def look() -> float | None:
            try:
                closure = (await self.admin.GetNodeExecution(request)).closure
            except grpc.aio.AioRpcError as error:
                assert error.code() == grpc.StatusCode.NOT_FOUND, error
                return None
            return closure.updated_at.ToNanoseconds() / 1e9 if closure.phase == phase else None

        return await until(look)

    async def execution(self, id: identifier_pb2.WorkflowExecutionIdentifier, phase: int) -> float:
        """When the execution came to that phase."""
        request = execution_pb2.WorkflowExecutionGetRequest(id=id)

        async def look() -> float | None:
            closure = (await self.admin.GetExecution(request)).closure
            return closure.updated_at.ToNanoseconds() / 1e9 if closure.phase == phase else None

        return await until(look)


async def until(look: Callable[[], Awaitable[float | None]]) -> float:
    async with asyncio.timeout(60):
        while True:
            found = await look()
            if found is not None:
                return found
            await asyncio.sleep(PAUSE)


async def signal(client: Client, directory: Path) -> dict[str, float]:
    id = await client.launch("gate")
    await client.node(id, NODE.RUNNING)
    value = literals_pb2.Literal(scalar=literals_pb2.Scalar(primitive=literals_pb2.Primitive(boolean=True)))
    asked = signal_pb2.SignalSetRequest(
        id=identifier_pb2.SignalIdentifier(signal_id="go", execution_id=id), value=value
    )
    called = time.time()
    await client.signals.SetSignal(asked)
    return {"SetSignal to the gate's SUCCEEDED": await client.node(id, NODE.SUCCEEDED) - called}


async def abort(client: Client, directory: Path) -> dict[str, float]:
    told = directory / "pid"
    told.unlink(missing_ok=True)
    id = await client.launch("sleeper")

    async def pid() -> float | None:
        return float(told.read_text() or 0) or None if told.exists() else None

    process = int(await until(pid))

    async def dead() -> float | None:
        try:
            os.kill(process, 0)
        except ProcessLookupError:
            return time.time()
        return None

    await client.node(id, NODE.RUNNING)
    called = time.time()
    death = asyncio.create_task(until(dead))
    await client.admin.TerminateExecution(execution_pb2.ExecutionTerminateRequest(id=id, cause="enough"))
    aborted = await client.execution(id, EXECUTION.ABORTED)
    return {
        "TerminateExecution to the process's death": await death - called,
        "TerminateExecution to ABORTED": aborted - called,
    }


async def finish(client: Client, directory: Path) -> dict[str, float]:
    id = await client.launch("quick")
    succeeded = await client.node(id, NODE.SUCCEEDED)
    return {"end of a process to the node's SUCCEEDED": succeeded - float((directory / "end").read_text())}


async def read(client: Client, directory: Path) -> dict[str, float]:
    called = time.time()
    await client.admin.GetVersion(version_pb2.GetVersionRequest())
    return {"for reference: GetVersion": time.time() - called}


async def prepare(client: Client, directory: Path) -> None:
    gate = core.Node(id="n0")
    gate.gate_node.approve.signal_id = "go"
    await client.register("gate", gate)
    for name, script in (
        ("sleeper", f"echo $$ > {directory}/new && mv {directory}/new {directory}/pid; exec sleep 600"),
        ("quick", f"exec date +%s.%N > {directory}/end"),
    ):
        task = command(name, script)
        await client.register(name, core.Node(id="n0", task_node=core.TaskNode(reference_id=task.id)), task)


async def measure(rounds: int, directory: Path) -> dict[str, list[float]]:
    found: dict[str, list[float]] = {}
    async with AsyncExitStack() as stack:
        server = await stack.enter_async_context(running(Settings(data_dir=directory / "data", port=0)))
        client = Client(await stack.enter_async_context(grpc.aio.insecure_channel(server.endpoint)))
        await prepare(client, directory)
        for measured in (signal, abort, finish, read):
            for number in range(rounds + 1):
                for name, seconds in (await measured(client, directory)).items():
                    if number:  # the first round warms up
                        found.setdefault(name, []).append(seconds)
    return found


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--rounds", type=int, default=20)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as directory:
        found = asyncio.run(measure(arguments.rounds, Path(directory)))
    print(f"{'ms':45} {'median':>8} {'worst':>8}")
    for name, seconds in found.items():
        print(f"{name:45} {statistics.median(seconds) * 1e3:8.1f} {max(seconds) * 1e3:8.1f}")


if __name__ == "__main__":
    main()
