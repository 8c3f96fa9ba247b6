"""What the nodes of a workflow may refer to: tasks, sub-workflows and launch plans, by identifier."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeAlias

from flyteidl.core import compiler_pb2, identifier_pb2, interface_pb2

from flytelite.compiler.errors import CompileErrors, duplicate_id
from flytelite.compiler.text import proto_text

Key: TypeAlias = tuple[int, str, str, str, str, str]


def identifier_key(id: identifier_pb2.Identifier) -> Key:
    """A ``flyteidl.core.Identifier`` as a key; keys sort the way FlyteAdmin sorts identifiers."""
    return (id.resource_type, id.project, id.domain, id.name, id.version, id.org)


def launch_plan_key(id: identifier_pb2.Identifier) -> Key:
    """FlyteAdmin finds a launch plan for a reference of any resource type."""
    return (identifier_pb2.LAUNCH_PLAN, *identifier_key(id)[1:])


@dataclass(frozen=True)
class LaunchPlanInterface:
    """What a node that runs a launch plan has to know of it."""

    id: identifier_pb2.Identifier
    expected_inputs: interface_pb2.ParameterMap = field(default_factory=interface_pb2.ParameterMap)
    expected_outputs: interface_pb2.VariableMap = field(default_factory=interface_pb2.VariableMap)

    @classmethod
    def of(cls, launch_plan: Any) -> LaunchPlanInterface:
        """From a ``flyteidl.admin.LaunchPlan``, whose closure says what it expects."""
        closure = launch_plan.closure
        return cls(launch_plan.id, closure.expected_inputs, closure.expected_outputs)


@dataclass(frozen=True)
class Library:
    """The compiler changes the tasks and sub-workflows it holds: they are the ones of the closure it builds."""

    tasks: Mapping[Key, Any]
    sub_workflows: Mapping[Key, compiler_pb2.CompiledWorkflow]
    launch_plans: Mapping[Key, LaunchPlanInterface]

    def task(self, id: identifier_pb2.Identifier) -> Any:
        """The ``TaskTemplate``, or None."""
        return self.tasks.get(identifier_key(id))

    def sub_workflow(self, id: identifier_pb2.Identifier) -> compiler_pb2.CompiledWorkflow | None:
        """None when no such sub-workflow came along."""
        return self.sub_workflows.get(identifier_key(id))

    def launch_plan(self, id: identifier_pb2.Identifier) -> LaunchPlanInterface | None:
        """None when there is no such launch plan."""
        return self.launch_plans.get(launch_plan_key(id))


def index_sub_workflows(
    sub_workflows: Sequence[compiler_pb2.CompiledWorkflow], errors: CompileErrors
) -> dict[Key, compiler_pb2.CompiledWorkflow]:
    """By identifier; two of the same are an error."""
    index: dict[Key, compiler_pb2.CompiledWorkflow] = {}
    for workflow in sub_workflows:
        if index.setdefault(identifier_key(workflow.template.id), workflow) is not workflow:
            errors.collect(duplicate_id(proto_text(workflow.template.id)))
    return index


def index_launch_plans(launch_plans: Iterable[Any]) -> dict[Key, LaunchPlanInterface]:
    """By identifier, from ``flyteidl.admin.LaunchPlan`` messages or interfaces."""
    interfaces = (one if isinstance(one, LaunchPlanInterface) else LaunchPlanInterface.of(one) for one in launch_plans)
    return {launch_plan_key(interface.id): interface for interface in interfaces}
