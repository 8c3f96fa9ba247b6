"""WorkflowTemplate -> CompiledWorkflowClosure, field for field as FlyteAdmin's.

The order of the steps is that of ``flytepropeller/pkg/compiler/workflow_compiler.go``; the dynamic case that of
``flytepropeller/pkg/controller/nodes/dynamic/dynamic_workflow.go``.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from flyteidl.core import compiler_pb2, dynamic_job_pb2, identifier_pb2, interface_pb2, workflow_pb2

from flytelite.compiler import errors as problem
from flytelite.compiler.errors import CompilationFailed, CompileErrors
from flytelite.compiler.graph import END_NODE, START_NODE, Graph, Interface
from flytelite.compiler.interfaces import complete_interface
from flytelite.compiler.library import (
    Key,
    LaunchPlanInterface,
    Library,
    identifier_key,
    index_launch_plans,
    index_sub_workflows,
    launch_plan_key,
)
from flytelite.compiler.nodes import add_edges, validate_node
from flytelite.compiler.requirements import Requirements, collect_requirements, required
from flytelite.compiler.tasks import compile_task
from flytelite.compiler.text import proto_text

__all__ = [
    "LaunchPlanInterface",
    "Requirements",
    "compile_dynamic",
    "compile_workflow",
    "dynamic_template",
    "required",
]


def compile_workflow(
    template: workflow_pb2.WorkflowTemplate,
    sub_workflows: Sequence[workflow_pb2.WorkflowTemplate],
    tasks: Mapping[Any, compiler_pb2.CompiledTask] | Iterable[compiler_pb2.CompiledTask],
    launch_plans: Iterable[Any],
) -> compiler_pb2.CompiledWorkflowClosure:
    """Compile a workflow with all that ``required`` named; the closure's tasks keep the order of ``tasks``.

    ``launch_plans`` are ``flyteidl.admin.LaunchPlan`` messages or ``LaunchPlanInterface``s. A sub-workflow that no
    node uses is in the closure as it came. Raises CompilationFailed.
    """
    errors = CompileErrors()
    closure = compiler_pb2.CompiledWorkflowClosure()
    closure.primary.template.CopyFrom(template)
    for sub_workflow in sub_workflows:
        closure.sub_workflows.add().template.CopyFrom(sub_workflow)
    known = _add_tasks(closure, tasks.values() if isinstance(tasks, Mapping) else tasks, errors)
    library = Library(known, index_sub_workflows(closure.sub_workflows, errors), index_launch_plans(launch_plans))
    if errors.ok:
        _validate_requirements(closure.primary.template, library, errors)
    if errors.ok:
        _validate_workflow(closure.primary, library, errors)
    if not errors.ok:
        raise CompilationFailed(errors)
    return closure


def dynamic_template(
    job_spec: dynamic_job_pb2.DynamicJobSpec,
    id: identifier_pb2.Identifier,
    interface: interface_pb2.TypedInterface,
) -> workflow_pb2.WorkflowTemplate:
    """The workflow that a dynamic task made: it takes nothing and gives what the task (``interface``) gives."""
    return workflow_pb2.WorkflowTemplate(
        id=id,
        nodes=job_spec.nodes,
        outputs=job_spec.outputs,
        interface=interface_pb2.TypedInterface(outputs=interface.outputs),
    )


def compile_dynamic(
    job_spec: dynamic_job_pb2.DynamicJobSpec,
    id: identifier_pb2.Identifier,
    interface: interface_pb2.TypedInterface,
    launch_plans: Iterable[Any],
) -> compiler_pb2.CompiledWorkflowClosure:
    """Compile what a dynamic task of that interface left behind; its tasks and sub-workflows are in the job spec.

    The launch plans are those that ``required(dynamic_template(...), job_spec.subworkflows)`` names. Raises
    CompilationFailed, for a task of the job spec too.
    """
    tasks: dict[Key, Any] = {}
    for task in job_spec.tasks:
        tasks.setdefault(identifier_key(task.id), task)
    template = dynamic_template(job_spec, id, interface)
    return compile_workflow(template, job_spec.subworkflows, map(compile_task, tasks.values()), launch_plans)


def _add_tasks(
    closure: compiler_pb2.CompiledWorkflowClosure, tasks: Iterable[Any], errors: CompileErrors
) -> dict[Key, Any]:
    """Put each task into the closure once, and answer these by identifier."""
    known: dict[Key, Any] = {}
    for task in tasks:
        if not task.template.HasField("id"):
            errors.collect(problem.value_required("task", "Template.Id"))
        elif identifier_key(task.template.id) not in known:
            added = closure.tasks.add()
            added.template.CopyFrom(task.template)
            known[identifier_key(added.template.id)] = added.template
    return known


def _validate_requirements(template: workflow_pb2.WorkflowTemplate, library: Library, errors: CompileErrors) -> None:
    requirements = collect_requirements(template, library.sub_workflows, errors)
    for id in requirements.launch_plans:
        if launch_plan_key(id) not in library.launch_plans:
            errors.collect(problem.workflow_reference_not_found(START_NODE, proto_text(id)))
    for id in requirements.tasks:
        if identifier_key(id) not in library.tasks:
            errors.collect(problem.task_reference_not_found(START_NODE, proto_text(id)))


def _validate_workflow(compiled: compiler_pb2.CompiledWorkflow, library: Library, errors: CompileErrors) -> bool:
    """Compile one workflow in place."""
    errors = errors.scope()
    template = compiled.template
    if not template.nodes:
        errors.collect(problem.no_nodes_found(proto_text(template.id)))
        return False
    interface = complete_interface(START_NODE, template.interface, errors)
    if not errors.ok:
        return False
    graph = Graph(compiled, library, _validate_workflow)
    given = list(template.nodes)
    del template.nodes[:]
    _add_ends(graph, interface)
    for node in given:
        _add_node(graph, node, errors)
    _connect(graph, [node.id for node in given], errors)
    graph.nodes[END_NODE].message.inputs.extend(template.outputs)
    graph.write_connections()
    graph.validate_order(errors)
    return errors.ok


def _add_ends(graph: Graph, interface: Interface) -> None:
    """The start node gives the workflow's inputs, the end node takes its outputs."""
    template = graph.compiled.template
    start = graph.nodes[START_NODE] = graph.node(template.nodes.add(id=START_NODE))
    start.interface = Interface({}, interface.inputs)
    end = graph.nodes[END_NODE] = graph.node(template.nodes.add(id=END_NODE))
    end.interface = Interface(interface.outputs, {})
    # not yet copied into the node: these name their sources while they are checked
    end.bindings = template.outputs


def _add_node(graph: Graph, node: workflow_pb2.Node, errors: CompileErrors) -> None:
    """Of two nodes of one id the first counts, but the second has to be sound as well."""
    if node.id in graph.nodes:
        validate_node(graph, graph.node(node), errors)
        return
    template = graph.compiled.template
    template.nodes.append(node)
    added = graph.nodes[node.id] = graph.node(template.nodes[-1])
    validate_node(graph, added, errors)


def _connect(graph: Graph, ids: Sequence[str], errors: CompileErrors) -> None:
    for id in sorted(graph.nodes.keys() - {START_NODE}):
        add_edges(graph, graph.nodes[id], errors)
    if graph.compiled.template.HasField("failure_node"):
        failure_node = graph.node(graph.compiled.template.failure_node)
        validate_node(graph, failure_node, errors)
        add_edges(graph, failure_node, errors, upstream_only=True)
    graph.connect_loose_ends(ids)
