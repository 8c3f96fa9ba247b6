"""A bench that runs real flytekit workflows on the engine."""

from __future__ import annotations

import asyncio
import importlib.util
import itertools
import os
import pickle
import signal
import sys
import tarfile
from collections import OrderedDict
from collections.abc import Callable
from pathlib import Path

from flyteidl.admin import launch_plan_pb2
from flyteidl.core import identifier_pb2, literals_pb2

from flytelite.compiler.tasks import compile_task
from flytelite.compiler.workflows import compile_workflow
from flytelite.config import Settings
from flytelite.engine.propeller import Propeller
from flytelite.errors import NotFound

from .fresh_process import in_fresh_process
from .ledger import DOMAIN, PROJECT, Ledger, key_of


class Bench:
    """Registers source code and runs it on a propeller over one ledger and one data directory."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        executor = os.environ.get("FLYTELITE_EXECUTOR", "fork")
        self.settings = Settings(data_dir=directory / "data", executor=executor)
        self.ledger = Ledger()
        self.ledger.on_create = self._create_child
        self._count = itertools.count()
        self.module = None
        self.propeller = None

    def build(self, source: str, name: str = "wf"):
        """Serialise the workflow with flytekit, as `pyflyte register` does, and compile it."""
        from flytekit import LaunchPlan
        from flytekit.configuration import FastSerializationSettings, ImageConfig, SerializationSettings
        from flytekit.models import launch_plan as launch_plan_models
        from flytekit.models import task as task_models
        from flytekit.models.admin import workflow as workflow_models
        from flytekit.tools.translator import get_serializable

        project = self.directory / f"project{next(self._count)}"
        project.mkdir()
        path = project / "flow.py"
        path.write_text(source)
        archive = self.directory / f"{project.name}.tar.gz"
        with tarfile.open(archive, "w:gz") as tar:
            tar.add(path, "flow.py")
        LaunchPlan.CACHE.clear()  # the projects of all tests use the same names
        spec = importlib.util.spec_from_file_location("flow", path)
        module = importlib.util.module_from_spec(spec)
        sys.modules["flow"] = module
        spec.loader.exec_module(module)
        self.module = module
        settings = SerializationSettings(
            image_config=ImageConfig.auto_default_image(),
            project=PROJECT,
            domain=DOMAIN,
            version="v1",
            fast_serialization_settings=FastSerializationSettings(
                enabled=True, destination_dir=".", distribution_location=str(archive)
            ),
        )
        entities = OrderedDict()
        get_serializable(entities, settings, getattr(module, name))
        tasks, workflows, plans = [], {}, []
        for entity in entities.values():
            if isinstance(entity, task_models.TaskSpec):
                tasks.append(compile_task(entity.template.to_flyte_idl()))
            elif isinstance(entity, workflow_models.WorkflowSpec):
                message = entity.to_flyte_idl()
                workflows[message.template.id.name] = message
            elif isinstance(entity, launch_plan_models.LaunchPlan):
                plans.append(self._launch_plan(entity.to_flyte_idl(), workflows))
        self.closures = {
            spec.template.id.name: compile_workflow(spec.template, spec.sub_workflows, tasks, plans)
            for spec in workflows.values()
        }
        return self.closures[f"flow.{name}"]

    def _launch_plan(self, message, workflows):
        plan = launch_plan_pb2.LaunchPlan(id=message.id, spec=message.spec)
        plan.closure.expected_inputs.CopyFrom(message.spec.default_inputs)
        plan.closure.expected_outputs.CopyFrom(workflows[message.spec.workflow_id.name].template.interface.outputs)
        self.ledger.plans[key_of(message.id)] = plan
        return plan

    def _create_child(self, ledger, id, request):
        plan = ledger.launch_plan(request.spec.launch_plan)
        if plan is None:
            raise NotFound("no such launch plan")
        closure = self.closures[plan.spec.workflow_id.name]
        inputs = literals_pb2.LiteralMap()
        for name, parameter in plan.closure.expected_inputs.parameters.items():
            if parameter.HasField("default"):
                inputs.literals[name].CopyFrom(parameter.default)
        inputs.MergeFrom(request.inputs)
        ledger.create(id.name, closure, inputs)
        ledger.executions[key_of(id)].spec.CopyFrom(request.spec)
        self.propeller.launch(id)
        return id

    def literals(self, **values):
        """Python values of plain types as a literal map."""
        from flytekit.core.context_manager import FlyteContextManager
        from flytekit.core.type_engine import TypeEngine

        context = FlyteContextManager.current_context()
        result = literals_pb2.LiteralMap()
        for name, value in values.items():
            kind = (
                list[type(value[0])] if isinstance(value, list) and value else list[int] if value == [] else type(value)
            )
            literal = TypeEngine.to_literal(context, value, kind, TypeEngine.to_literal_type(kind))
            result.literals[name].CopyFrom(literal.to_flyte_idl())
        return result

    def engine(self) -> Propeller:
        self.propeller = Propeller(self.ledger, self.ledger, self.settings, "localhost:30080")
        self.ledger.on_terminal = self.propeller.execution_ended
        self.ledger.on_terminate = self.propeller.abort
        return self.propeller

    def run(self, source: str, name: str = "wf", inputs=None, execution="exec", **spec):
        """Register, run to the end, and answer the execution's closure."""
        closure = self.build(source, name)
        id = self.ledger.create(execution, closure, self.literals(**(inputs or {})), **spec)
        self.id = id
        return self.go(id)

    def go(self, id):
        async def main():
            propeller = self.engine()
            await propeller.start()
            closure = await asyncio.wait_for(self.ledger.ended(id), 120)
            await propeller.stop()
            return closure

        return asyncio.run(main())

    def crash(self, condition: str | Callable[[Bench], bool]) -> None:
        """Run an engine in a process of its own that is killed once the condition holds.

        The condition is a line of the ledger, or a function of a module that looks at the bench.
        """
        state = self.directory / "ledger.pickle"
        told = (self.directory, self.settings, self.closures, self.ledger.state())
        assert in_fresh_process(_crash, condition, state, *told) == -signal.SIGKILL
        self.ledger.restore(pickle.loads(state.read_bytes()))

    async def stop_when(self, id, condition) -> None:
        """Run an engine and stop it cleanly once the condition holds."""
        propeller = self.engine()
        await propeller.start()
        await asyncio.wait_for(self.ledger.until(condition), 60)
        await propeller.stop()

    def outputs(self, id=None):
        """The outputs of the execution as plain values."""
        from flytelite.engine.tasks.templates import text

        found = self.ledger.execution_outputs(id or self.id)
        return {name: text(literal) for name, literal in found.literals.items()}

    def node(self, unique_id: str):
        id = identifier_pb2.NodeExecutionIdentifier(node_id=unique_id, execution_id=self.id)
        return self.ledger.nodes[key_of(id)]


def _crash(condition, state, directory, settings, closures, ledger) -> None:
    bench = Bench(directory)
    bench.settings, bench.closures = settings, closures
    bench.ledger.restore(ledger)

    def met() -> bool:
        return condition in bench.ledger.lines() if isinstance(condition, str) else condition(bench)

    async def main() -> None:
        await bench.engine().start()
        await asyncio.wait_for(bench.ledger.until(met), 60)
        state.write_bytes(pickle.dumps(bench.ledger.state()))
        os.kill(os.getpid(), signal.SIGKILL)

    asyncio.run(main())
