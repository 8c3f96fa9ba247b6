"""One node of a workflow: whether it is sound in itself, and its edges.

Rules: ``flytepropeller/pkg/compiler/validators/node.go`` and ``.../compiler/workflow_compiler.go``.
"""

from __future__ import annotations

from flytelite.compiler import errors as problem
from flytelite.compiler.bindings import validate_bindings
from flytelite.compiler.branches import arms, validate_cases
from flytelite.compiler.errors import CompileErrors
from flytelite.compiler.graph import END_NODE, START_NODE, Graph, GraphNode
from flytelite.compiler.interfaces import determine_interface
from flytelite.compiler.library import identifier_key
from flytelite.compiler.text import proto_text


def validate_node(graph: Graph, node: GraphNode, errors: CompileErrors) -> bool:
    """Check the node, the arms of a branch and the sub-workflow it runs; bring its upstream ids into order."""
    errors = errors.scope()
    if not node.id:
        errors.collect(problem.value_required("<node>", "Id"))
    if node.id in (START_NODE, END_NODE):
        return True
    if determine_interface(graph, node, errors) is not None:
        node.outputs(errors)
    node.message.upstream_node_ids.sort()
    if node.message.HasField("branch_node"):
        _validate_branch(graph, node, errors)
    elif node.message.workflow_node.HasField("sub_workflow_ref"):
        _validate_sub_workflow(graph, node, errors)
    return errors.ok


def _validate_branch(graph: Graph, node: GraphNode, errors: CompileErrors) -> None:
    inside = errors.scope()
    validate_cases(node, inside)
    found = [graph.node(message) for message in arms(node.message.branch_node)]
    for arm in found:
        validate_node(graph, arm, inside)
    if inside.ok:
        for arm in found:
            add_edges(graph, arm, errors, upstream_only=True)


def _validate_sub_workflow(graph: Graph, node: GraphNode, errors: CompileErrors) -> None:
    """Compile it once per workflow that uses it.

    FlyteAdmin, too, compiles a sub-workflow of two workflows twice over, so that arms of its branches get their
    branch's id twice.
    """
    reference = node.message.workflow_node.sub_workflow_ref
    key = identifier_key(reference)
    sub_workflow = graph.library.sub_workflow(reference)
    if sub_workflow is None:
        errors.collect(problem.workflow_reference_not_found(node.id, proto_text(reference)))
    elif key not in graph.compiled_sub_workflows and graph.validate_workflow(sub_workflow, graph.library, errors):
        graph.compiled_sub_workflows.add(key)


def add_edges(graph: Graph, node: GraphNode, errors: CompileErrors, *, upstream_only: bool = False) -> None:
    """The edges that a node declares and those that its bindings imply; a node of unknown interface has none.

    Arms of branches and failure nodes are not part of the order: only they know what they wait for, and what they
    declare is left to the branch.
    """
    if node.interface is None:
        return
    if not upstream_only:
        for id in node.message.upstream_node_ids:
            graph.add_edge(id, node.id)
    validate_bindings(graph, node, node.interface.inputs, errors, upstream_only=upstream_only)
