"""What the engine itself costs for a node that does nothing, and how that grows.

Run as ``python tests/benchmarks/bench_engine.py [SHAPE ...] [--nodes N ...] [--directory D]``; a directory in memory,
such as /dev/shm, leaves out what the disk costs, where every node has two small files and three directories.

Engine, control plane and the journal store run in this process as they do in the server; the nodes are echo tasks,
which the engine answers itself, so that no process of a task is in the figures. The nodes of ``tasks``, the elements of
the map and the task that makes the dynamic's nodes are processes in real life: an executor that writes their results at
once stands in for them. Prints milliseconds for each node of an execution, as it passed and of CPU.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import tempfile
import time
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import grpc.aio
from flyteidl.admin import execution_pb2, launch_plan_pb2, task_pb2, workflow_pb2
from flyteidl.core import dynamic_job_pb2, identifier_pb2, literals_pb2, tasks_pb2, types_pb2
from flyteidl.core import execution_pb2 as phases
from flyteidl.core import workflow_pb2 as core

from flytelite.config import Settings
from flytelite.engine.executors.interface import Command, Outcome
from flytelite.engine.propeller import Propeller
from flytelite.server.admin.changes import Changes, ExecutionChanged
from flytelite.server.admin.control_plane import ControlPlane
from flytelite.server.engine_record import EngineRecord
from flytelite.server.file_log import FileLog
from flytelite.server.objects import Bucket
from flytelite.server.store.journal import JournalStore

SCOPE = {"project": "flytesnacks", "domain": "development"}
NUMBER = types_pb2.LiteralType(simple=types_pb2.INTEGER)


def identifier(kind: int, name: str) -> identifier_pb2.Identifier:
    return identifier_pb2.Identifier(resource_type=kind, name=name, version="v1", **SCOPE)


class AtOnce:
    """An executor whose attempts have ended when they start: the files are there."""

    def __init__(self, write: Callable[[Path], None]) -> None:
        self._write = write

    async def start(self, directory: Path, token: str, command: Command) -> AtOnce:
        outputs = Path(command.argv[-1])
        outputs.mkdir(parents=True, exist_ok=True)
        self._write(outputs)
        return self

    async def adopt(self, directory: Path, token: str) -> AtOnce:
        return self

    ended = True

    async def wait(self) -> Outcome:
        return Outcome()

    def cancel(self) -> None: ...

    def warm(self) -> None: ...

    async def close(self) -> None: ...


def echo_template(name: str = "echo") -> tasks_pb2.TaskTemplate:
    metadata = tasks_pb2.TaskMetadata(runtime=tasks_pb2.RuntimeMetadata(version="1"))
    template = tasks_pb2.TaskTemplate(id=identifier(identifier_pb2.TASK, name), type="echo", metadata=metadata)
    template.interface.inputs.variables["x"].type.CopyFrom(NUMBER)
    template.interface.outputs.variables["x"].type.CopyFrom(NUMBER)
    return template


def command_template(name: str, lists: bool) -> tasks_pb2.TaskTemplate:
    """A task that is a process; the stand-in is told where its outputs belong."""
    metadata = tasks_pb2.TaskMetadata(runtime=tasks_pb2.RuntimeMetadata(version="1"))
    template = tasks_pb2.TaskTemplate(id=identifier(identifier_pb2.TASK, name), type="python-task", metadata=metadata)
    kind = types_pb2.LiteralType(collection_type=NUMBER) if lists else NUMBER
    template.interface.inputs.variables["x"].type.CopyFrom(kind)
    template.interface.outputs.variables["x"].type.CopyFrom(kind)
    template.container.image = "none"
    template.container.args.extend(["true", "{{.outputPrefix}}"])
    return template


def echo_node(id: str, upstream: str, var: str = "x") -> core.Node:
    node = core.Node(id=id, task_node=core.TaskNode(reference_id=echo_template().id))
    promise = types_pb2.OutputReference(node_id=upstream, var=var)
    node.inputs.add(var="x", binding=literals_pb2.BindingData(promise=promise))
    return node


def workflow(name: str, nodes: list[core.Node], last: str, lists: bool = False) -> core.WorkflowTemplate:
    template = core.WorkflowTemplate(id=identifier(identifier_pb2.WORKFLOW, name), nodes=nodes)
    kind = types_pb2.LiteralType(collection_type=NUMBER) if lists else NUMBER
    template.interface.inputs.variables["x"].type.CopyFrom(kind)
    template.interface.outputs.variables["x"].type.CopyFrom(kind)
    promise = types_pb2.OutputReference(node_id=last, var="x")
    template.outputs.add(var="x", binding=literals_pb2.BindingData(promise=promise))
    return template


@dataclass
class Shape:
    """A workflow with its sub-workflows and its one task that is a process, if there is any."""

    template: core.WorkflowTemplate
    inputs: literals_pb2.LiteralMap
    sub_workflows: tuple[core.WorkflowTemplate, ...] = ()
    task: tasks_pb2.TaskTemplate | None = None
    write: Callable[[Path], None] = lambda outputs: None


def number(value: int) -> literals_pb2.Literal:
    return literals_pb2.Literal(scalar=literals_pb2.Scalar(primitive=literals_pb2.Primitive(integer=value)))


ONE = literals_pb2.LiteralMap(literals={"x": number(1)})


def chain(size: int) -> Shape:
    nodes = [echo_node(f"n{i}", f"n{i - 1}" if i else "") for i in range(size)]
    return Shape(workflow("chain", nodes, f"n{size - 1}"), ONE)


def fan(size: int) -> Shape:
    return Shape(workflow("fan", [echo_node(f"n{i}", "") for i in range(size)], "n0"), ONE)


def tasks(size: int) -> Shape:
    """A chain of tasks that are processes elsewhere: all that the engine does for one, but the process."""
    task = command_template("plain", lists=False)
    nodes = []
    for i in range(size):
        node = core.Node(id=f"n{i}", task_node=core.TaskNode(reference_id=task.id))
        promise = types_pb2.OutputReference(node_id=f"n{i - 1}" if i else "", var="x")
        node.inputs.add(var="x", binding=literals_pb2.BindingData(promise=promise))
        nodes.append(node)
    return Shape(workflow("tasks", nodes, f"n{size - 1}"), ONE, task=task, write=_write_one)


def _write_one(outputs: Path) -> None:
    (outputs / "outputs.pb").write_bytes(ONE.SerializeToString())


def nested(size: int) -> Shape:
    """Sub-workflows in each other, 20 deep, each with an equal share of the nodes."""
    depth = min(20, size)
    below: list[core.WorkflowTemplate] = []
    for level in range(depth):
        nodes = [echo_node(f"n{i}", f"n{i - 1}" if i else "") for i in range(max(1, size // depth))]
        last = nodes[-1].id
        if below:
            deeper = core.Node(id="deeper")
            deeper.workflow_node.sub_workflow_ref.CopyFrom(below[-1].id)
            promise = types_pb2.OutputReference(node_id=last, var="x")
            deeper.inputs.add(var="x", binding=literals_pb2.BindingData(promise=promise))
            nodes.append(deeper)
            last = "deeper"
        below.append(workflow(f"level{level}", nodes, last))
    return Shape(below[-1], ONE, tuple(below[:-1]))


def mapped(size: int) -> Shape:
    task = command_template("square", lists=True)
    node = core.Node(id="n0")
    node.array_node.node.CopyFrom(core.Node(id="n0", task_node=core.TaskNode(reference_id=task.id)))
    node.inputs.add(var="x", binding=literals_pb2.BindingData(promise=types_pb2.OutputReference(var="x")))
    inputs = literals_pb2.LiteralMap()
    inputs.literals["x"].collection.literals.extend(number(i) for i in range(size))
    return Shape(workflow("mapped", [node], "n0", lists=True), inputs, task=task, write=_write_one)


def dynamic(size: int) -> Shape:
    task = command_template("maker", lists=False)
    node = core.Node(id="n0", task_node=core.TaskNode(reference_id=task.id))
    node.inputs.add(var="x", binding=literals_pb2.BindingData(promise=types_pb2.OutputReference(var="x")))
    made = dynamic_job_pb2.DynamicJobSpec(min_successes=size, tasks=[echo_template()])
    for i in range(size):
        inner = core.Node(id=f"dn{i}", task_node=core.TaskNode(reference_id=echo_template().id))
        inner.inputs.add(var="x", binding=literals_pb2.BindingData(scalar=number(i).scalar))
        made.nodes.append(inner)
    promise = types_pb2.OutputReference(node_id="dn0", var="x")
    made.outputs.add(var="x", binding=literals_pb2.BindingData(promise=promise))
    content = made.SerializeToString()
    write = lambda outputs: (outputs / "futures.pb").write_bytes(content)  # noqa: E731
    return Shape(workflow("dynamic", [node], "n0"), ONE, task=task, write=write)


SHAPES: dict[str, Callable[[int], Shape]] = {
    "chain": chain,
    "fan": fan,
    "tasks": tasks,
    "nested": nested,
    "mapped": mapped,
    "dynamic": dynamic,
}


class Bench:
    """A control plane with its engine, on a journal."""

    def __init__(self, control_plane: ControlPlane, propeller: Propeller, changes: Changes) -> None:
        self.control_plane = control_plane
        self.propeller = propeller
        self.over = asyncio.Event()
        self.stack = contextlib.ExitStack()
        self.stack.enter_context(changes.listening(self._hear))

    def _hear(self, change: Any) -> None:
        if isinstance(change, ExecutionChanged) and change.terminal:
            self.over.set()

    def register(self, shape: Shape) -> identifier_pb2.Identifier:
        plane = self.control_plane
        for template in filter(None, (echo_template(), shape.task)):
            plane.tasks.create(task_pb2.TaskCreateRequest(id=template.id, spec=task_pb2.TaskSpec(template=template)))
        spec = workflow_pb2.WorkflowSpec(template=shape.template, sub_workflows=shape.sub_workflows)
        id = shape.template.id
        plane.workflows.create(workflow_pb2.WorkflowCreateRequest(id=id, spec=spec))
        plan = identifier(identifier_pb2.LAUNCH_PLAN, id.name)
        request = launch_plan_pb2.LaunchPlanCreateRequest(id=plan)
        request.spec.workflow_id.CopyFrom(id)
        for name, variable in shape.template.interface.inputs.variables.items():
            request.spec.default_inputs.parameters[name].var.CopyFrom(variable)
            request.spec.default_inputs.parameters[name].required = True
        plane.launch_plans.create(request)
        return plan

    async def run(self, plan: identifier_pb2.Identifier, inputs: literals_pb2.LiteralMap) -> tuple[float, float]:
        """Seconds as they passed and of CPU."""
        self.over.clear()
        spec = execution_pb2.ExecutionSpec(launch_plan=plan, max_parallelism=25)
        request = execution_pb2.ExecutionCreateRequest(spec=spec, inputs=inputs, **SCOPE)
        passed, used = time.perf_counter(), time.process_time()
        id = self.control_plane.executions.create(request).id
        self.propeller.launch(id)
        async with asyncio.timeout(600):
            await self.over.wait()
        passed, used = time.perf_counter() - passed, time.process_time() - used
        execution = self.control_plane.executions.find(id)
        assert execution is not None
        assert execution.closure.phase == phases.WorkflowExecution.SUCCEEDED, execution.closure
        return passed, used


@contextlib.asynccontextmanager
async def bench(directory: Path, shape: Shape) -> AsyncIterator[Bench]:
    settings = Settings(data_dir=directory)
    directory.mkdir()
    store = JournalStore.open(settings.store)
    changes = Changes()
    control_plane = ControlPlane(settings, store, Bucket.open(settings), changes)
    files = FileLog(store, settings.bucket)
    record = EngineRecord(control_plane, store, files)
    propeller = Propeller(record, record, settings, "localhost:30080", AtOnce(shape.write))
    await propeller.start()
    made = Bench(control_plane, propeller, changes)
    try:
        yield made
    finally:
        made.stack.close()
        await propeller.stop()
        await files.close()
        await store.close()


async def measure(name: str, size: int, rounds: int = 2, parent: str | None = None) -> tuple[float, float]:
    """Seconds of the last of some rounds, as they passed and of CPU; each round has to succeed."""
    shape = SHAPES[name](size)
    with tempfile.TemporaryDirectory(dir=parent) as directory:
        async with bench(Path(directory) / "data", shape) as made:
            plan = made.register(shape)
            for _ in range(rounds):
                passed, used = await made.run(plan, shape.inputs)
    return passed, used


async def reference(calls: int = 500) -> float:
    """Seconds of CPU for a call of a grpc.aio server that does nothing, client included: what this machine is like."""

    async def answer(request: bytes, context: Any) -> bytes:
        return b""

    method = grpc.unary_unary_rpc_method_handler(answer)
    server = grpc.aio.server()
    server.add_generic_rpc_handlers([grpc.method_handlers_generic_handler("reference.Empty", {"Call": method})])
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    async with grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel:
        call = channel.unary_unary("/reference.Empty/Call")
        await call(b"")
        used = time.process_time()
        for _ in range(calls):
            await call(b"")
        used = time.process_time() - used
    await server.stop(None)
    return used / calls


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--nodes", type=int, nargs="+", default=[200, 1000])
    parser.add_argument("shapes", nargs="*", default=list(SHAPES), metavar="SHAPE")
    parser.add_argument("--directory", help="where the data directory is made")
    arguments = parser.parse_args()
    print(f"for reference: an empty grpc.aio call takes {asyncio.run(reference()) * 1e3:.2f} ms of CPU")
    print(f"{'shape':10} {'nodes':>6} {'ms per node':>12} {'ms of CPU':>10} {'s in all':>9}")
    for name in arguments.shapes:
        for size in arguments.nodes:
            passed, used = asyncio.run(measure(name, size, parent=arguments.directory))
            print(f"{name:10} {size:6} {passed / size * 1e3:12.2f} {used / size * 1e3:10.2f} {passed:9.2f}")


if __name__ == "__main__":
    main()
