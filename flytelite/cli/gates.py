"""Gates: what a node waits for that has no task, and how a person answers it.

A node execution does not say that its node is a gate; the definition of its workflow does.
"""

from __future__ import annotations

import os
import shlex
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from flyteidl.admin import common_pb2, node_execution_pb2
from flyteidl.core import compiler_pb2, identifier_pb2, types_pb2, workflow_pb2
from google.protobuf.json_format import MessageToDict

from flytelite.cli.client import Client, RpcFailure
from flytelite.cli.endpoint import Endpoint
from flytelite.cli.options import DEFAULT_DOMAIN, DEFAULT_PROJECT

_SIMPLE = {
    types_pb2.NONE: "None",
    types_pb2.INTEGER: "int",
    types_pb2.FLOAT: "float",
    types_pb2.STRING: "str",
    types_pb2.BOOLEAN: "bool",
    types_pb2.DATETIME: "datetime",
    types_pb2.DURATION: "timedelta",
}


@dataclass(frozen=True)
class Gate:
    """What a node waits for: ``text`` names it; ``command`` answers it, and is empty where time does."""

    text: str
    command: str = ""


class Gates:
    """Finds the gates of executions. Asks for a workflow's definition once, when it is first needed."""

    def __init__(self, client: Client) -> None:
        self._client = client
        self._closures: dict[str, compiler_pb2.CompiledWorkflowClosure] = {}

    def find(
        self,
        execution: node_execution_pb2.NodeExecution,
        above: Sequence[node_execution_pb2.NodeExecution],
    ) -> Gate | None:
        """The gate that a node execution is of; None for any other node.

        ``above`` are the node executions of the same execution that it lies in, the outermost first.
        """
        try:
            node = self._definition(execution, above)
        except RpcFailure:  # a server that does not tell what it runs
            return None
        if node is None or not node.HasField("gate_node"):
            return None
        gate, id = node.gate_node, execution.id.execution_id
        if gate.HasField("sleep"):
            return Gate(f"sleep {gate.sleep.duration.ToTimedelta()}")
        if gate.HasField("approve"):
            signal, text = gate.approve.signal_id, f"approval {gate.approve.signal_id} (bool)"
        else:
            signal, text = (
                gate.signal.signal_id,
                f"signal {gate.signal.signal_id} ({literal_type_name(gate.signal.type)})",
            )
        return Gate(text, answer(self._client.endpoint, id, signal))

    def _definition(
        self,
        execution: node_execution_pb2.NodeExecution,
        above: Sequence[node_execution_pb2.NodeExecution],
    ) -> workflow_pb2.Node | None:
        closure = self._of_execution(execution.id.execution_id)
        template = closure.primary.template
        for parent in above:
            node = _node(template, parent)
            if parent.metadata.is_dynamic:
                closure = self._of_dynamic(parent)
                template = closure.primary.template
            elif node is not None and node.workflow_node.HasField("sub_workflow_ref"):
                id = node.workflow_node.sub_workflow_ref
                template = next((sub.template for sub in closure.sub_workflows if sub.template.id == id), template)
            # What a branch holds is in the same workflow.
        return _node(template, execution)

    def _of_execution(self, id: identifier_pb2.WorkflowExecutionIdentifier) -> compiler_pb2.CompiledWorkflowClosure:
        key = f"{id.project}/{id.domain}/{id.name}"
        if key not in self._closures:
            workflow = self._client.execution_now(id).closure.workflow_id
            found = self._client.call(self._client.admin.GetWorkflow, common_pb2.ObjectGetRequest(id=workflow))
            self._closures[key] = found.closure.compiled_workflow
        return self._closures[key]

    def _of_dynamic(self, execution: node_execution_pb2.NodeExecution) -> compiler_pb2.CompiledWorkflowClosure:
        id = execution.id.execution_id
        key = f"{id.project}/{id.domain}/{id.name}/{execution.id.node_id}"
        if key not in self._closures:
            request = node_execution_pb2.GetDynamicNodeWorkflowRequest(id=execution.id)
            found = self._client.call(self._client.admin.GetDynamicNodeWorkflow, request)
            self._closures[key] = found.compiled_workflow
        return self._closures[key]


def answer(endpoint: Endpoint, id: identifier_pb2.WorkflowExecutionIdentifier, signal: str) -> str:
    """What a person types to answer a signal of an execution."""
    words = ["flytelite", "signal", id.name, signal, "VALUE"]
    for option, value, variable, default in (
        ("-p", id.project, "FLYTE_DEFAULT_PROJECT", DEFAULT_PROJECT),
        ("-d", id.domain, "FLYTE_DEFAULT_DOMAIN", DEFAULT_DOMAIN),
    ):
        if value != os.environ.get(variable, default):
            words += [option, value]
    if endpoint.source == "--endpoint":
        words += ["--endpoint", endpoint.authority]
    return shlex.join(words)


def literal_type_name(type: types_pb2.LiteralType) -> str:
    """A literal type as Python writes the type that it is made of, as far as it tells."""
    kind = type.WhichOneof("type")
    if kind == "simple":
        title = MessageToDict(type.metadata).get("title") if type.simple == types_pb2.STRUCT else None
        return str(title or _SIMPLE.get(type.simple) or types_pb2.SimpleType.Name(type.simple).lower())
    if kind == "collection_type":
        return f"list[{literal_type_name(type.collection_type)}]"
    if kind == "map_value_type":
        return f"dict[str, {literal_type_name(type.map_value_type)}]"
    if kind == "enum_type":
        return f"one of {', '.join(type.enum_type.values)}"
    if kind == "union_type":
        return " | ".join(literal_type_name(variant) for variant in type.union_type.variants)
    if kind == "blob":
        is_file = type.blob.dimensionality == types_pb2.BlobType.SINGLE
        return "FlyteFile" if is_file else "FlyteDirectory"
    return str(kind or "unknown type").replace("_type", "")


def _node(template: workflow_pb2.WorkflowTemplate, execution: Any) -> workflow_pb2.Node | None:
    wanted = execution.metadata.spec_node_id or execution.id.node_id
    return next((node for node in _all(template.nodes) if node.id == wanted), None)


def _all(nodes: Sequence[workflow_pb2.Node]) -> Iterator[workflow_pb2.Node]:
    """These nodes and those inside branches."""
    for node in nodes:
        yield node
        if node.HasField("branch_node"):
            choice = node.branch_node.if_else
            yield from _all([choice.case.then_node, *(case.then_node for case in choice.other), choice.else_node])
