"""What a compiled workflow may lack to be run: Flyte finds it when it makes the executable form of one.

Rules: ``flytepropeller/pkg/compiler/transformers/k8s/node.go``.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from flyteidl.core import compiler_pb2, tasks_pb2, workflow_pb2

from flytelite.compiler import errors as problem
from flytelite.compiler.branches import arms
from flytelite.compiler.errors import CompilationFailed, CompileErrors
from flytelite.compiler.tasks import resource_name
from flytelite.quantities import parse


def validate_executable(closure: compiler_pb2.CompiledWorkflowClosure) -> None:
    """Raise CompilationFailed for a node that overrides resources with what is no quantity."""
    errors = CompileErrors()
    for workflow in (closure.primary, *closure.sub_workflows):
        template = workflow.template
        for node in _all_of([*template.nodes, *([template.failure_node] if template.HasField("failure_node") else [])]):
            if node.task_node.overrides.HasField("resources"):
                _validate(node, errors)
    if not errors.ok:
        raise CompilationFailed(errors)


def _all_of(nodes: Iterable[workflow_pb2.Node]) -> Iterator[workflow_pb2.Node]:
    for node in nodes:
        yield node
        if node.HasField("branch_node"):
            yield from _all_of(arms(node.branch_node))
        elif node.HasField("array_node"):
            yield from _all_of([node.array_node.node])


def _validate(node: workflow_pb2.Node, errors: CompileErrors) -> None:
    resources: tasks_pb2.Resources = node.task_node.overrides.resources
    for kind, entries in (("requests", resources.requests), ("limits", resources.limits)):
        for entry in entries:
            try:
                parse(entry.value)
            except ValueError as error:
                field = f"resources.{kind}.{resource_name(entry.name)}"
                errors.collect(problem.workflow_build_error(node.id, f"{field} [{entry.value}]: {error}"))
