"""Homes: data directories with a whole control plane in them, and executions that have come to their ends."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest
from flyteidl.admin import event_pb2 as event_requests
from flyteidl.admin import execution_pb2, launch_plan_pb2, node_execution_pb2, task_pb2, workflow_pb2
from flyteidl.core import compiler_pb2, identifier_pb2, interface_pb2, literals_pb2, tasks_pb2, types_pb2
from flyteidl.core import execution_pb2 as core_execution_pb2
from flyteidl.core import workflow_pb2 as core_workflow_pb2
from flyteidl.event import event_pb2
from google.protobuf import timestamp_pb2

from flytelite.config import Settings
from flytelite.engine import data, naming
from flytelite.server.admin.changes import Changes
from flytelite.server.admin.control_plane import ControlPlane
from flytelite.server.cleaning import Cleaning
from flytelite.server.objects import Bucket
from flytelite.server.snapshots import Archives
from flytelite.server.store.journal import JournalStore

START = 1_700_000_000
WorkflowPhase = core_execution_pb2.WorkflowExecution
BLOB = types_pb2.LiteralType(blob=types_pb2.BlobType(format="txt"))


def stamp(seconds: float) -> timestamp_pb2.Timestamp:
    return timestamp_pb2.Timestamp(seconds=START + int(seconds))


def identifier(resource_type: int, name: str, version: str) -> identifier_pb2.Identifier:
    return identifier_pb2.Identifier(
        resource_type=resource_type, project="flytesnacks", domain="development", name=name, version=version
    )


def blob(uri: str | Path) -> literals_pb2.Literal:
    made = literals_pb2.Literal()
    made.scalar.blob.metadata.type.format = "txt"
    made.scalar.blob.uri = str(uri)
    return made


class Home:
    """A data directory whose control plane is at rest between calls; ``now`` is its clock, in seconds."""

    def __init__(self, path: Path) -> None:
        port = path.stat().st_ino % 20000 + 20000
        self.settings = Settings(data_dir=path, port=port, environments=path / "environments")
        self.now = 0.0
        self.store = JournalStore.open(self.settings.store)
        self.bucket = self.settings.bucket
        self.changes = Changes()
        self.plane = ControlPlane(
            self.settings, self.store, Bucket.open(self.settings), self.changes, lambda: stamp(self.now)
        )
        lock = asyncio.Lock()
        self.archives = Archives(self.settings, self.store, lock)
        self.cleaning = Cleaning(self.settings, self.store, lock, lambda: stamp(self.now))

    def close(self) -> None:
        asyncio.run(self.store.close())

    def export(self, target: Path, *names: str) -> Any:
        return asyncio.run(self.archives.export([self.id(name) for name in names], target))

    def take_in(self, archive: Path) -> Any:
        return asyncio.run(self.archives.take_in(archive))

    def id(self, name: str) -> identifier_pb2.WorkflowExecutionIdentifier:
        return identifier_pb2.WorkflowExecutionIdentifier(project="flytesnacks", domain="development", name=name)

    def register(
        self, name: str = "w", version: str = "1", arg: str = "", schedule: bool = False, image: str = "image"
    ) -> None:
        """A task whose command names a bundle in the bucket, a workflow of it and an active launch plan."""
        variables = interface_pb2.VariableMap(variables={"x": interface_pb2.Variable(type=BLOB)})
        interface = interface_pb2.TypedInterface(inputs=variables, outputs=variables)
        bundle = self.write("flytesnacks/development/HASH/code.tar.gz", b"the code")
        template = tasks_pb2.TaskTemplate(type="python-task", interface=interface)
        template.metadata.runtime.version = "1.16"
        template.container.image = image
        template.container.args.extend(["--additional-distribution", str(bundle), arg])
        task = identifier(identifier_pb2.TASK, f"{name}.task", version)
        self.plane.tasks.create(task_pb2.TaskCreateRequest(id=task, spec=task_pb2.TaskSpec(template=template)))
        binding = literals_pb2.Binding(var="x")
        binding.binding.promise.var = "x"
        node = core_workflow_pb2.Node(id="n0", inputs=[binding])
        node.task_node.reference_id.CopyFrom(task)
        output = literals_pb2.Binding(var="x")
        output.binding.promise.node_id, output.binding.promise.var = "n0", "x"
        workflow = core_workflow_pb2.WorkflowTemplate(interface=interface, nodes=[node], outputs=[output])
        id = identifier(identifier_pb2.WORKFLOW, name, version)
        self.plane.workflows.create(
            workflow_pb2.WorkflowCreateRequest(id=id, spec=workflow_pb2.WorkflowSpec(template=workflow))
        )
        plan = launch_plan_pb2.LaunchPlanCreateRequest(id=identifier(identifier_pb2.LAUNCH_PLAN, name, version))
        plan.spec.workflow_id.CopyFrom(id)
        if schedule:
            plan.spec.fixed_inputs.literals["x"].CopyFrom(blob("s3://elsewhere/x"))
            plan.spec.entity_metadata.schedule.rate.value = 1
        self.plane.launch_plans.create(plan)
        self.plane.launch_plans.update(
            launch_plan_pb2.LaunchPlanUpdateRequest(id=plan.id, state=launch_plan_pb2.ACTIVE)
        )

    def start(
        self, name: str, workflow: str = "w", version: str = "1", uri: str | Path = "/tmp/x", **spec: Any
    ) -> None:
        plan = identifier(identifier_pb2.LAUNCH_PLAN, workflow, version)
        inputs = literals_pb2.LiteralMap(literals={"x": blob(uri)})
        request = execution_pb2.ExecutionCreateRequest(
            project="flytesnacks",
            domain="development",
            name=name,
            spec=execution_pb2.ExecutionSpec(launch_plan=plan, **spec),
            inputs=inputs,
        )
        self.plane.executions.create(request)

    def end(self, name: str, phase: int = WorkflowPhase.FAILED, outputs: literals_pb2.LiteralMap | None = None) -> None:
        """One node, one attempt with a log, raw data, a deck and outputs; then the end of the execution."""
        id, at = self.id(name), stamp(self.now)
        files = data.execution_directory(self.settings, id) / "n0" / "data"
        if outputs is None:
            outputs = literals_pb2.LiteralMap(literals={"x": blob(self.raw(name) / "out.txt")})
        self.raw(name).mkdir(parents=True)
        (self.raw(name) / "out.txt").write_text(f"raw data of {name}")
        data.write_bytes(files / "inputs.pb", outputs.SerializeToString())
        data.write_bytes(files / "0" / "outputs.pb", outputs.SerializeToString())
        data.write_bytes(files / "0" / "deck.html", b"<html>")
        log = data.log_path(self.settings, id.project, id.domain, id.name, "n0", 0)
        log.parent.mkdir(parents=True)
        log.write_text("printed")
        (log.parent / "process").write_text("token 1\npid 1\n")
        node = identifier_pb2.NodeExecutionIdentifier(execution_id=id, node_id="n0")
        events = self.plane.events
        for node_phase, fields in (
            (core_execution_pb2.NodeExecution.RUNNING, {"input_uri": str(files / "inputs.pb")}),
            (
                core_execution_pb2.NodeExecution.SUCCEEDED,
                {"output_uri": str(files / "0" / "outputs.pb"), "deck_uri": str(files / "0" / "deck.html")},
            ),
        ):
            event = event_pb2.NodeExecutionEvent(
                id=node, phase=node_phase, occurred_at=at, spec_node_id="n0", event_version=1, **fields
            )
            if node_phase == core_execution_pb2.NodeExecution.RUNNING:
                events.create_workflow_event(
                    event_requests.WorkflowExecutionEventRequest(
                        event=event_pb2.WorkflowExecutionEvent(
                            execution_id=id, phase=WorkflowPhase.RUNNING, occurred_at=at
                        )
                    )
                )
            events.create_node_event(event_requests.NodeExecutionEventRequest(event=event))
            if node_phase == core_execution_pb2.NodeExecution.RUNNING:
                self._attempt(node, log)
        ended = event_pb2.WorkflowExecutionEvent(execution_id=id, phase=phase, occurred_at=at)
        if phase == WorkflowPhase.FAILED:
            ended.error.code, ended.error.message = "USER:Broken", f"see {log.parent}/work/x.py and {files}2"
        else:
            ended.output_uri = str(files / "0" / "outputs.pb")
        events.create_workflow_event(event_requests.WorkflowExecutionEventRequest(event=ended))

    def make_dynamic(self, name: str, version: str, arg: str = "") -> None:
        """A dynamic node that made a workflow of that version, in which ``arg`` is bound."""
        closure = compiler_pb2.CompiledWorkflowClosure()
        closure.primary.template.id.CopyFrom(identifier(identifier_pb2.WORKFLOW, "dynamic_d", version))
        inner = closure.primary.template.nodes.add(id="dn0")
        inner.task_node.reference_id.CopyFrom(identifier(identifier_pb2.TASK, "w.task", "1"))
        bound = literals_pb2.Scalar(primitive=literals_pb2.Primitive(string_value=arg))
        inner.inputs.add(var="x").binding.scalar.CopyFrom(bound)
        event = event_pb2.NodeExecutionEvent(
            id=identifier_pb2.NodeExecutionIdentifier(execution_id=self.id(name), node_id="d"),
            phase=core_execution_pb2.NodeExecution.SUCCEEDED,
            occurred_at=stamp(self.now),
            spec_node_id="d",
            event_version=1,
            is_dynamic=True,
            is_parent=True,
        )
        event.task_node_metadata.dynamic_workflow.id.CopyFrom(closure.primary.template.id)
        event.task_node_metadata.dynamic_workflow.compiled_workflow.CopyFrom(closure)
        self.plane.events.create_node_event(event_requests.NodeExecutionEventRequest(event=event))

    def dynamic(self, name: str) -> compiler_pb2.CompiledWorkflowClosure:
        """The workflow that it made."""
        request = node_execution_pb2.GetDynamicNodeWorkflowRequest()
        request.id.node_id = "d"
        request.id.execution_id.CopyFrom(self.id(name))
        return self.plane.node_executions.dynamic_workflow(request).compiled_workflow

    def raw(self, name: str) -> Path:
        generated = naming.generated_name(name, "n0", 0)
        return self.bucket / "data" / naming.shard(generated) / generated

    def write(self, key: str, content: bytes) -> Path:
        path = self.bucket / key
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
        return path

    def execution(self, name: str) -> execution_pb2.Execution | None:
        return self.plane.executions.find(self.id(name))

    def _attempt(self, node: identifier_pb2.NodeExecutionIdentifier, log: Path) -> None:
        link = f"http://{self.settings.authority}/logs/flytesnacks/development/{node.execution_id.name}/n0/0"
        event = event_pb2.TaskExecutionEvent(
            task_id=identifier(identifier_pb2.TASK, "w.task", "1"),
            parent_node_execution_id=node,
            phase=core_execution_pb2.TaskExecution.RUNNING,
            occurred_at=stamp(self.now),
            logs=[
                core_execution_pb2.TaskLog(name="task log", uri=link),
                core_execution_pb2.TaskLog(name="log file", uri=f"file://{log}"),
            ],
        )
        self.plane.events.create_task_event(event_requests.TaskExecutionEventRequest(event=event))


@pytest.fixture
def make_home(tmp_path: Path) -> Any:
    """``make_home(name)``: a data directory of that name."""
    made: list[Home] = []

    def make(name: str) -> Home:
        path = tmp_path / name
        path.mkdir(exist_ok=True)
        made.append(Home(path))
        return made[-1]

    yield make
    for one in made:
        one.close()
