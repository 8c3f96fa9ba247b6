"""The graph of one workflow while it is compiled: its nodes, and the edges between them.

Edges and their rules: ``flytepropeller/pkg/compiler/{builders,workflow_compiler,utils}.go``.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

from flyteidl.core import compiler_pb2, interface_pb2, workflow_pb2

from flytelite.compiler.errors import (
    CompileErrors,
    cycle_detected,
    duplicate_alias,
    parameter_not_bound,
    unreachable_nodes,
)
from flytelite.compiler.library import Key, Library

START_NODE = "start-node"
END_NODE = "end-node"

Variables: TypeAlias = Mapping[str, interface_pb2.Variable]
ValidateWorkflow: TypeAlias = Callable[[compiler_pb2.CompiledWorkflow, Library, CompileErrors], bool]


@dataclass(frozen=True)
class Interface:
    """What a node takes and gives, by name."""

    inputs: Variables
    outputs: Variables


@dataclass(eq=False)
class GraphNode:
    """A ``flyteidl.core.Node``, the bindings of its inputs, and its interface as soon as that is known."""

    message: workflow_pb2.Node
    bindings: Sequence[Any]
    interface: Interface | None = None

    @property
    def id(self) -> str:
        return str(self.message.id)

    def qualified(self, variable: str) -> str:
        """The variable with the node's name before it, for messages."""
        return f"{self.message.metadata.name}.{variable}" if self.message.HasField("metadata") else variable

    def outputs(self, errors: CompileErrors) -> Variables:
        """The outputs under the names that other nodes know them by."""
        outputs = self.interface.outputs if self.interface is not None else {}
        return _aliased(self, outputs, errors) if self.message.output_aliases else outputs


def _aliased(node: GraphNode, outputs: Variables, errors: CompileErrors) -> Variables:
    aliases: dict[str, str] = {}
    for alias in node.message.output_aliases:
        if alias.var in aliases:
            errors.collect(duplicate_alias(node.id, alias.alias))
        else:
            aliases[alias.var] = alias.alias
    if node.interface is not None:
        for name in aliases.keys() - set(outputs):
            errors.collect(parameter_not_bound(node.id, aliases[name]))
    return {aliases.get(name, name): variable for name, variable in outputs.items()}


class Graph:
    """The nodes of ``compiled.template`` that were added so far, the edges between them, and what they may refer to."""

    def __init__(
        self, compiled: compiler_pb2.CompiledWorkflow, library: Library, validate_workflow: ValidateWorkflow
    ) -> None:
        self.compiled = compiled
        self.library = library
        self.validate_workflow = validate_workflow
        self.compiled_sub_workflows: set[Key] = set()
        self.nodes: dict[str, GraphNode] = {}
        self.upstream: dict[str, set[str]] = {}
        self.downstream: dict[str, set[str]] = {}
        self._known: dict[int, GraphNode] = {}

    def node(self, message: workflow_pb2.Node) -> GraphNode:
        """The one graph node of that very message, be it part of the graph or inside of a branch or array node."""
        known = self._known.get(id(message))
        if known is None:
            known = self._known[id(message)] = GraphNode(message, message.inputs)
        return known

    def add_edge(self, provider: str, dependent: str, *, upstream_only: bool = False) -> None:
        """Let one node wait for another. An edge that only the dependent knows of does not order the graph."""
        provider = provider or START_NODE
        self.upstream.setdefault(dependent, set()).add(provider)
        if not upstream_only:
            self.downstream.setdefault(provider, set()).add(dependent)

    def connect_loose_ends(self, ids: Sequence[str]) -> None:
        """Nodes that wait for nothing wait for the start node; the end node waits for those that no other waits for."""
        for id in sorted(set(ids) - {START_NODE, END_NODE}):
            if id not in self.upstream:
                self.add_edge(START_NODE, id)
            if id not in self.downstream:
                self.add_edge(id, END_NODE)

    def write_connections(self) -> None:
        """Replace the connections of the compiled workflow by these."""
        connections = self.compiled.connections
        connections.Clear()
        self.compiled.connections.SetInParent()
        for edges, written in ((self.upstream, connections.upstream), (self.downstream, connections.downstream)):
            for id, others in edges.items():
                written[id].ids.extend(sorted(others))

    def validate_order(self, errors: CompileErrors) -> None:
        """No cycles, and every node can be reached from the start node."""
        path, visited = self._walk()
        if path:
            errors.collect(cycle_detected(START_NODE, path))
            return
        unreachable = self.nodes.keys() - visited - {END_NODE}
        if unreachable:
            errors.collect(unreachable_nodes(START_NODE, sorted(unreachable)))

    def _walk(self) -> tuple[list[str], set[str]]:
        """Depth first from the start node: the path into the first cycle (or no path), and the nodes met.

        Without recursion: a chain may be longer than the interpreter's stack is deep.
        """
        path = [START_NODE]
        on_path = {START_NODE}
        visited = {START_NODE}
        pending = [iter(sorted(self.downstream.get(START_NODE, ())))]
        while pending:
            following = next(pending[-1], None)
            if following is None:
                pending.pop()
                on_path.discard(path.pop())
            elif following in on_path:
                return [*path, following], visited
            elif following not in visited:
                visited.add(following)
                path.append(following)
                on_path.add(following)
                pending.append(iter(sorted(self.downstream.get(following, ()))))
        return [], visited
