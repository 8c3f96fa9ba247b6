"""Bindings of a node's inputs: what they refer to exists, and its type fits.

Rules: ``flytepropeller/pkg/compiler/validators/{bindings,vars}.go`` and ``.../compiler/typing/variable.go``.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from flyteidl.core import interface_pb2, types_pb2

from flytelite.compiler import errors as problem
from flytelite.compiler.errors import CompileError, CompileErrors
from flytelite.compiler.graph import START_NODE, Graph, GraphNode, Variables
from flytelite.compiler.text import proto_text
from flytelite.compiler.types import castable, scalar_type, type_text

_VARIABLE = re.compile(r"(\[(?P<index>\d+)\]\.)?(?P<name>\w+)", re.ASCII)
_ANY_TYPE = types_pb2.LiteralType(simple=types_pb2.SimpleType.NONE)


@dataclass(frozen=True)
class _Resolved:
    """The type of what is bound (of a promise: of the whole variable; of a list or map: not told), and its sources."""

    type: Any
    node_ids: tuple[str, ...] = ()


def validate_bindings(
    graph: Graph, node: GraphNode, parameters: Variables, errors: CompileErrors, *, upstream_only: bool = False
) -> None:
    """Check the bindings of a node against its parameters, add the edges they imply, and name each promise's node.

    A parameter may stay unbound when it is a union with a variant that is NONE or not a simple type.
    """
    bound = _validate(graph, node, parameters, errors, upstream_only)
    for name, parameter in parameters.items():
        if name not in bound and not _is_optional(parameter.type):
            errors.collect(problem.parameter_not_bound(node.id, name))


def infer_inputs(graph: Graph, node: GraphNode, errors: CompileErrors) -> dict[str, interface_pb2.Variable]:
    """The inputs of a node that has none but its bindings; adds the upstream edges they imply."""
    bound = _validate(graph, node, None, errors, True)
    return {name: interface_pb2.Variable(type=found.type) for name, found in bound.items() if found is not None}


def _validate(
    graph: Graph, node: GraphNode, parameters: Variables | None, errors: CompileErrors, upstream_only: bool
) -> dict[str, _Resolved | None]:
    bound: dict[str, _Resolved | None] = {}
    for binding in node.bindings:
        name = binding.var
        if parameters is not None and name not in parameters:
            errors.collect(problem.variable_name_not_found(node.id, name))
        elif not binding.HasField("binding"):
            errors.collect(problem.value_required(node.id, "Binding"))
        elif name in bound:
            errors.collect(problem.parameter_bound_more_than_once(node.id, name))
        else:
            expected = _ANY_TYPE if parameters is None else parameters[name].type
            input_ = _Input(graph, node, name, check_types=parameters is not None)
            found = bound[name] = input_.resolve(binding.binding, expected, errors.scope())
            for id in found.node_ids if found is not None else ():
                graph.add_edge(id, node.id, upstream_only=upstream_only)
    return bound


def _is_optional(type_: Any) -> bool:
    # FlyteAdmin reads the simple type of any variant, and an unset one reads as NONE
    return any(variant.simple == types_pb2.SimpleType.NONE for variant in type_.union_type.variants)


@dataclass(frozen=True)
class _Input:
    """One input of a node, to which something is bound."""

    graph: Graph
    node: GraphNode
    name: str
    check_types: bool

    def resolve(self, binding: Any, expected: Any, errors: CompileErrors) -> _Resolved | None:
        """What the binding (``flyteidl.core.BindingData``) refers to; None when there was an error."""
        kind = binding.WhichOneof("value")
        if kind == "scalar":
            return self._scalar(binding.scalar, expected, errors)
        if kind == "promise":
            return self._promise(binding.promise, expected, errors)
        if expected.HasField("union_type"):
            return self._union(binding, expected, errors)
        if kind == "collection" and expected.HasField("collection_type"):
            return self._elements(binding.collection.bindings, expected.collection_type, errors)
        if kind == "map" and expected.HasField("map_value_type"):
            values = binding.map.bindings
            return self._elements((values[key] for key in sorted(values)), expected.map_value_type, errors)
        received = proto_text(getattr(binding, kind)) if kind in ("collection", "map") else _go_name(binding, "")
        errors.collect(problem.mismatching_bindings(self.node.id, self.name, proto_text(expected), received))
        return None

    def _elements(self, bindings: Iterable[Any], expected: Any, errors: CompileErrors) -> _Resolved | None:
        found = [self.resolve(binding, expected, errors.scope()) for binding in bindings]
        if not errors.ok:
            return None
        return _Resolved(None, tuple(id for one in found if one is not None for id in one.node_ids))

    def _union(self, binding: Any, expected: Any, errors: CompileErrors) -> _Resolved | None:
        """A list or map must fit exactly one variant."""
        match: tuple[Any, _Resolved] | None = None
        for variant in expected.union_type.variants:
            found = self.resolve(binding, variant, CompileErrors())
            if found is None:
                continue
            if match is not None:
                variants = (proto_text(match[0]), proto_text(variant))
                error = problem.ambiguous_binding_union_value(
                    self.node.id, self.name, proto_text(expected), proto_text(binding), variants=variants
                )
                errors.collect(error)
                return None
            match = (variant, found)
        if match is not None:
            return match[1]
        error = problem.incompatible_binding_union_value(
            self.node.id, self.name, proto_text(expected), proto_text(binding)
        )
        errors.collect(error)
        return None

    def _scalar(self, scalar: Any, expected: Any, errors: CompileErrors) -> _Resolved | None:
        found = scalar_type(scalar)
        if found is None:
            errors.collect(problem.unrecognized_value(self.node.id, _go_name(scalar, "<nil>")))
        elif self.check_types and not castable(found, expected):
            error = problem.mismatching_types(self.node.id, self.name, type_text(found), type_text(expected))
            errors.collect(error)
        legal = expected.enum_type.values
        if expected.HasField("enum_type") and scalar.primitive.string_value not in legal:
            given = scalar.primitive.string_value
            errors.collect(problem.illegal_enum_value(self.node.id, self.name, given, legal))
        return _Resolved(found) if errors.ok else None

    def _promise(self, promise: Any, expected: Any, errors: CompileErrors) -> _Resolved | None:
        upstream = self.graph.nodes.get(promise.node_id or START_NODE)
        if upstream is None:
            errors.collect(problem.node_reference_not_found(promise.node_id, promise.node_id))
            errors.collect(problem.parameter_not_bound(self.node.id, self.name))
            return None
        matches = list(_VARIABLE.finditer(promise.var))
        if len(matches) != 1:
            errors.collect(problem.syntax_error(self.node.id, promise.var))
            return None
        variable = _output(upstream, matches[0]["name"], errors.scope())
        if variable is None:
            errors.collect(problem.parameter_not_bound(self.node.id, self.name))
            return None
        given = variable.type
        if matches[0]["index"] is not None:
            if given.HasField("collection_type"):
                given = given.collection_type
            else:
                errors.collect(self._mismatch(upstream, promise, given, expected))
        given = self._attribute(promise, given, errors)
        if given is None:
            return None
        if self.check_types and not castable(given, expected):
            errors.collect(self._mismatch(upstream, promise, given, expected))
            return None
        promise.node_id = upstream.id
        return _Resolved(variable.type, (upstream.id,))

    def _attribute(self, promise: Any, given: Any, errors: CompileErrors) -> Any:
        """The type at the promise's attribute path, as far as the given type tells; None for a field it has not."""
        for attribute in promise.attr_path:
            fields = given.structure.dataclass_type
            if given.HasField("collection_type"):
                given = given.collection_type
            elif given.HasField("map_value_type"):
                given = given.map_value_type
            elif attribute.string_value in fields:
                given = fields[attribute.string_value]
            elif fields:
                text = proto_text(given)
                errors.collect(problem.field_not_found(self.node.id, promise.var, text, attribute.string_value))
                return None
        return given

    def _mismatch(self, upstream: GraphNode, promise: Any, given: Any, expected: Any) -> CompileError:
        output, input_ = upstream.qualified(promise.var), self.node.qualified(self.name)
        return problem.mismatching_variables(self.node.id, output, type_text(given), input_, type_text(expected))


def _output(node: GraphNode, name: str, errors: CompileErrors) -> interface_pb2.Variable | None:
    outputs = node.outputs(errors)
    if not errors.ok:
        return None
    if name not in outputs:
        errors.collect(problem.variable_name_not_found(node.id, name))
        return None
    return outputs[name]


def _go_name(message: Any, unset: str) -> str:
    """What FlyteAdmin calls the kind of value that a ``BindingData`` or ``Scalar`` holds."""
    kind = message.WhichOneof("value")
    return unset if kind is None else f"*core.{message.DESCRIPTOR.name}_{kind.title().replace('_', '')}"
