"""Bindings resolved into literals at the moment a node becomes ready.

Rules: ``flytepropeller/pkg/controller/nodes/resolve.go`` and ``output_resolver.go``. Nothing is wrapped into or
unwrapped from unions: the task's type engine copes.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping

from flyteidl.core import literals_pb2, types_pb2, workflow_pb2

from flytelite.engine import attributes, offloading

Outputs = Callable[[str], literals_pb2.LiteralMap | None]
"""The outputs of a node by its id; None when it has none. Raises KeyError for an unknown node."""

_VARIABLE = re.compile(r"(?:\[(?P<index>\d+)\]\.)?(?P<variable>\w+)")


class BindingResolutionFailure(Exception):
    """A binding has no value; the message names node and variable."""


def resolve_all(
    node_id: str,
    bindings: Iterable[literals_pb2.Binding],
    outputs: Outputs,
    aliases: Mapping[str, Mapping[str, str]] | None = None,
) -> literals_pb2.LiteralMap:
    """The inputs of a node.

    Blocks where a binding leads into an offloaded literal, whose file is read then. ``aliases`` gives the output
    aliases of upstream nodes (node id -> alias -> variable). Raises BindingResolutionFailure.
    """
    resolved = literals_pb2.LiteralMap()
    for binding in bindings:
        try:
            resolved.literals[binding.var].CopyFrom(_resolve(binding.binding, outputs, aliases or {}))
        except (BindingResolutionFailure, attributes.AttributeNotFound, offloading.CannotLoad) as error:
            raise BindingResolutionFailure(
                f"failed at Node[{node_id}]. BindingResolutionError: Error binding Var [wf].[{binding.var}],"
                f" caused by: {error}"
            ) from error
    return resolved


def output_aliases(node: workflow_pb2.Node) -> dict[str, str]:
    """The node's aliases as alias -> variable."""
    return {alias.alias: alias.var for alias in node.output_aliases}


def _resolve(
    data: literals_pb2.BindingData, outputs: Outputs, aliases: Mapping[str, Mapping[str, str]]
) -> literals_pb2.Literal:
    kind = data.WhichOneof("value")
    if kind == "scalar":
        return literals_pb2.Literal(scalar=data.scalar)
    if kind == "promise":
        return _promise(data.promise, outputs, aliases)
    if kind == "collection":
        items = [_resolve(item, outputs, aliases) for item in data.collection.bindings]
        return literals_pb2.Literal(collection=literals_pb2.LiteralCollection(literals=items))
    if kind == "map":
        literal = literals_pb2.Literal(map=literals_pb2.LiteralMap())
        for key, value in data.map.bindings.items():
            literal.map.literals[key].CopyFrom(_resolve(value, outputs, aliases))
        return literal
    return literals_pb2.Literal()


def _promise(
    promise: types_pb2.OutputReference, outputs: Outputs, aliases: Mapping[str, Mapping[str, str]]
) -> literals_pb2.Literal:
    try:
        found = outputs(promise.node_id)
    except KeyError:
        raise BindingResolutionFailure(
            f"failed at Node[id]. IllegalStateError: Undefined node in Workflow {promise.node_id}"
        ) from None
    matches = list(_VARIABLE.finditer(promise.var))
    if len(matches) != 1:
        raise BindingResolutionFailure(f"unexpected number of matches [{len(matches)}]")
    matched = matches[0]
    variable = aliases.get(promise.node_id, {}).get(matched["variable"], matched["variable"])
    if found is None or variable not in found.literals:
        raise BindingResolutionFailure(
            f"failed at Node[{promise.node_id}]. OutputsNotFoundError: Failed to find [{promise.node_id}].[{variable}]"
        )
    literal = found.literals[variable]
    if matched["index"] is not None or promise.attr_path:
        literal = offloading.load(literal)
    if matched["index"] is not None:
        literal = _element(literal, int(matched["index"]), promise)
    if promise.attr_path:
        literal = attributes.resolve(literal, promise.attr_path, promise.node_id)
    return literal


def _element(literal: literals_pb2.Literal, index: int, promise: types_pb2.OutputReference) -> literals_pb2.Literal:
    items = literal.collection.literals
    if literal.WhichOneof("value") != "collection" or index >= len(items):
        where = f"{promise.node_id}[{index}].{promise.var}"
        raise BindingResolutionFailure(
            f"failed at Node[{promise.node_id}]. OutputsNotFoundError: Failed to find [{where}]"
        )
    return items[index]
