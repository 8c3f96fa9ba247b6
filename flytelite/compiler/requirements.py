"""The tasks and launch plans that a workflow cannot be compiled without.

Rules: ``flytepropeller/pkg/compiler/requirements.go``.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from flyteidl.core import compiler_pb2, identifier_pb2, workflow_pb2

from flytelite.compiler import errors as problem
from flytelite.compiler.branches import arms
from flytelite.compiler.errors import CompilationFailed, CompileErrors
from flytelite.compiler.graph import START_NODE
from flytelite.compiler.library import Key, identifier_key, index_sub_workflows
from flytelite.compiler.text import proto_text


@dataclass(frozen=True)
class Requirements:
    """Identifiers in FlyteAdmin's order, each once."""

    tasks: list[identifier_pb2.Identifier]
    launch_plans: list[identifier_pb2.Identifier]


def required(
    template: workflow_pb2.WorkflowTemplate, sub_workflows: Sequence[workflow_pb2.WorkflowTemplate] = ()
) -> Requirements:
    """What to load before ``compile_workflow``: all that the workflow and the sub-workflows it uses refer to.

    References to sub-workflows that did not come along are left for the compiler to report. Raises CompilationFailed
    when two sub-workflows have the same identifier.
    """
    errors = CompileErrors()
    compiled = [compiler_pb2.CompiledWorkflow(template=one) for one in sub_workflows]
    index = index_sub_workflows(compiled, errors)
    if not errors.ok:
        raise CompilationFailed(errors)
    return collect_requirements(template, index, errors)


def collect_requirements(
    template: workflow_pb2.WorkflowTemplate,
    sub_workflows: Mapping[Key, compiler_pb2.CompiledWorkflow],
    errors: CompileErrors,
) -> Requirements:
    """As ``required``; collects an error for a reference to an unknown sub-workflow, and for workflows in a cycle."""
    search = _Search(sub_workflows, errors)
    search.workflow(template)
    return Requirements(
        [search.tasks[key] for key in sorted(search.tasks)],
        [search.launch_plans[key] for key in sorted(search.launch_plans)],
    )


@dataclass
class _Search:
    sub_workflows: Mapping[Key, compiler_pb2.CompiledWorkflow]
    errors: CompileErrors
    tasks: dict[Key, identifier_pb2.Identifier] = field(default_factory=dict)
    launch_plans: dict[Key, identifier_pb2.Identifier] = field(default_factory=dict)
    _done: set[Key] = field(default_factory=set)
    _path: list[Key] = field(default_factory=list)

    def workflow(self, template: workflow_pb2.WorkflowTemplate) -> None:
        for node in template.nodes:
            self._node(node)
        if template.HasField("failure_node"):
            self._node(template.failure_node)

    def _node(self, node: workflow_pb2.Node) -> None:
        kind = node.WhichOneof("target")
        if kind == "task_node" and node.task_node.HasField("reference_id"):
            self.tasks.setdefault(identifier_key(node.task_node.reference_id), node.task_node.reference_id)
        elif kind == "workflow_node" and node.workflow_node.HasField("launchplan_ref"):
            reference = node.workflow_node.launchplan_ref
            self.launch_plans.setdefault(identifier_key(reference), reference)
        elif kind == "workflow_node" and node.workflow_node.HasField("sub_workflow_ref"):
            self._sub_workflow(node.id, node.workflow_node.sub_workflow_ref)
        elif kind == "branch_node":
            for arm in arms(node.branch_node):
                self._node(arm)
        elif kind == "array_node":
            self._node(node.array_node.node)

    def _sub_workflow(self, node_id: str, reference: identifier_pb2.Identifier) -> None:
        key = identifier_key(reference)
        found = self.sub_workflows.get(key)
        if found is None:
            self.errors.collect(problem.workflow_reference_not_found(node_id, proto_text(reference)))
        elif key in self._path:
            # FlyteAdmin does not survive this one
            names = [key[3] for key in [*self._path[self._path.index(key) :], key]]
            self.errors.collect(problem.cycle_detected(START_NODE, names))
        elif key not in self._done:
            self._path.append(key)
            self.workflow(found.template)
            self._done.add(self._path.pop())
