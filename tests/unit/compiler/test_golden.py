"""Real flytekit workflows, compiled: the closures that FlyteAdmin 1.16.8 stores for them, compared field by field.

Each golden file is the closure's proto3 JSON, with every task shortened to its name. FLYTELITE_UPDATE_GOLDEN=1 writes
them anew; look at the difference before you believe it.
"""

from __future__ import annotations

import importlib.util
import json
import os
import sys
from collections import OrderedDict
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from flyteidl.admin import launch_plan_pb2
from flyteidl.core import compiler_pb2, identifier_pb2
from google.protobuf import json_format

from flytelite.compiler.tasks import compile_task
from flytelite.compiler.workflows import compile_dynamic, compile_workflow, dynamic_template, required

HERE = Path(__file__).parent
NAMES = ["linear", "fan", "without_outputs", "parent", "branching", "two_branches", "mapped", "guarded"]
NAMES += ["gated", "planned", "attributes", "optional", "spreading"]


@pytest.fixture(scope="module")
def samples() -> ModuleType:
    spec = importlib.util.spec_from_file_location("sample_workflows", HERE / "sample_workflows.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def settings() -> Any:
    from flytekit.configuration import Image, ImageConfig, SerializationSettings

    image = ImageConfig(default_image=Image(name="default", fqn="image", tag="1"))
    return SerializationSettings(project="p", domain="development", version="v1", image_config=image)


def serialize(entity: Any, settings: Any) -> tuple[Any, OrderedDict[Any, Any]]:
    from flytekit.tools.translator import get_serializable

    found: OrderedDict[Any, Any] = OrderedDict()
    return get_serializable(found, settings, entity).to_flyte_idl(), found


def compiled_tasks(found: OrderedDict[Any, Any]) -> dict[str, Any]:
    from flytekit.models.task import TaskSpec

    specs = [entity.to_flyte_idl() for entity in found.values() if isinstance(entity, TaskSpec)]
    return {spec.template.id.name: compile_task(spec.template) for spec in specs}


def launch_plans(found: OrderedDict[Any, Any]) -> dict[str, Any]:
    """As FlyteAdmin would answer them: fixed inputs are gone from the expected ones, the others completed."""
    from flytekit.models.admin.workflow import WorkflowSpec
    from flytekit.models.launch_plan import LaunchPlan

    specs = [entity.to_flyte_idl() for entity in found.values() if isinstance(entity, WorkflowSpec)]
    workflows = {spec.template.id.name: spec.template for spec in specs}
    plans = {}
    for entity in found.values():
        if not isinstance(entity, LaunchPlan):
            continue
        plan = launch_plan_pb2.LaunchPlan(id=entity.id.to_flyte_idl(), spec=entity.spec.to_flyte_idl())
        interface = workflows[plan.spec.workflow_id.name].interface
        plan.closure.expected_inputs.CopyFrom(plan.spec.default_inputs)
        for name, variable in interface.inputs.variables.items():
            if name not in plan.spec.default_inputs.parameters and name not in plan.spec.fixed_inputs.literals:
                plan.closure.expected_inputs.parameters[name].var.CopyFrom(variable)
                plan.closure.expected_inputs.parameters[name].required = True
        plan.closure.expected_outputs.CopyFrom(interface.outputs)
        plans[plan.id.name] = plan
    return plans


def check_golden(name: str, closure: compiler_pb2.CompiledWorkflowClosure) -> None:
    shown = json_format.MessageToDict(closure)
    shown["tasks"] = [task.template.id.name for task in closure.tasks]
    path = HERE / "golden" / f"{name}.json"
    if os.environ.get("FLYTELITE_UPDATE_GOLDEN"):
        path.parent.mkdir(exist_ok=True)
        path.write_text(json.dumps(shown, indent=1, sort_keys=True) + "\n")
    assert shown == json.loads(path.read_text())


@pytest.mark.parametrize("name", NAMES)
def test_workflow(name: str, samples: ModuleType, settings: Any) -> None:
    spec, found = serialize(getattr(samples, name), settings)
    requirements = required(spec.template, spec.sub_workflows)
    tasks, plans = compiled_tasks(found), launch_plans(found)
    closure = compile_workflow(
        spec.template,
        spec.sub_workflows,
        [tasks[id.name] for id in requirements.tasks],
        [plans[id.name] for id in requirements.launch_plans],
    )
    check_golden(name, closure)


def test_dynamic(samples: ModuleType, settings: Any) -> None:
    from flytekit.core.context_manager import ExecutionState, FlyteContextManager

    task, _ = serialize(samples.spread, settings)
    _, found = serialize(samples.linear_plan, settings)
    context = FlyteContextManager.current_context().with_serialization_settings(settings).build()
    execution = context.execution_state.with_params(mode=ExecutionState.Mode.TASK_EXECUTION)
    with FlyteContextManager.with_context(context.with_execution_state(execution)) as running:
        job_spec = samples.spread.compile_into_workflow(running, samples.spread._task_function, n=2).to_flyte_idl()

    id = identifier_pb2.Identifier(
        resource_type=identifier_pb2.WORKFLOW, project="p", domain="development", name="dynamic_n0", version="random"
    )
    template = dynamic_template(job_spec, id, task.template.interface)
    needed = required(template, job_spec.subworkflows).launch_plans
    plans = launch_plans(found)
    closure = compile_dynamic(job_spec, id, task.template.interface, [plans[id.name] for id in needed])
    check_golden("dynamic", closure)
