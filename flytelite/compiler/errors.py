"""What the compiler may object to, and the list in which it says so.

Codes and sentences are those of ``flytepropeller/pkg/compiler/errors``: clients print them as they are.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass


@dataclass(frozen=True)
class CompileError:
    """One objection; ``node_id`` is the node it was found at, or the workflow's or part's name when there is none."""

    code: str
    node_id: str
    description: str

    def __str__(self) -> str:
        return f"Code: {self.code}, Node Id: {self.node_id}, Description: {self.description}"


class CompileErrors:
    """A set of errors. A scope reports into the set it was taken from and knows whether anything came through it."""

    def __init__(self, parent: CompileErrors | None = None) -> None:
        self._parent = parent
        self._errors: set[CompileError] = set() if parent is None else parent._errors
        self._touched = False

    def scope(self) -> CompileErrors:
        """A view on this set for one check."""
        return CompileErrors(self)

    def collect(self, error: CompileError) -> None:
        """Add an error to the set; adding it again changes nothing but the scopes it came through."""
        self._errors.add(error)
        scope: CompileErrors | None = self
        while scope is not None:
            scope._touched = True
            scope = scope._parent

    @property
    def ok(self) -> bool:
        """Nothing was collected through this scope."""
        return not self._touched

    def __len__(self) -> int:
        return len(self._errors)

    def __iter__(self) -> Iterator[CompileError]:
        """By code, then by text."""
        return iter(sorted(self._errors, key=lambda error: (error.code, str(error))))

    def __str__(self) -> str:
        lines = [f"\tError {position}: {error}\n" for position, error in enumerate(self)]
        return f"Collected Errors: {len(self)}\n{''.join(lines)}"


class CompilationFailed(Exception):
    """The workflow or task cannot be compiled; ``errors`` says why, and the message is their text."""

    def __init__(self, errors: CompileErrors) -> None:
        self.errors = errors
        super().__init__(str(errors))


def cycle_detected(node_id: str, path: Iterable[str]) -> CompileError:
    text = f"A cycle has been detected while traversing the Workflow [{'>'.join(path)}]."
    return CompileError("CycleDetected", node_id, text)


def branch_node_not_specified(node_id: str) -> CompileError:
    return CompileError("BranchNodeIdNotFound", node_id, "BranchNode not assigned")


def branch_node_has_no_condition(node_id: str) -> CompileError:
    text = "One of the branches on the node doesn't have a condition."
    return CompileError("BranchNodeHasNoCondition", node_id, text)


def branch_node_has_no_default(node_id: str) -> CompileError:
    text = "Branch Node must have either the else case set or a default error."
    return CompileError("BranchNodeHasNoDefault", node_id, text)


def no_condition_found(node_id: str) -> CompileError:
    return CompileError("NoConditionFound", node_id, f"Can't find any condition in gate node [{node_id}].")


def value_required(node_id: str, name: str) -> CompileError:
    return CompileError("ValueRequired", node_id, f"Value required [{name}].")


def invalid_value(node_id: str, name: str) -> CompileError:
    return CompileError("InvalidValue", node_id, f"Invalid value [{name}].")


def unrecognized_value(node_id: str, value: str) -> CompileError:
    return CompileError("UnrecognizedValue", node_id, f"Unrecognized value [{value}].")


def node_reference_not_found(node_id: str, reference: str) -> CompileError:
    return CompileError("NodeReferenceNotFound", node_id, f"Referenced node [{reference}] not found.")


def task_reference_not_found(node_id: str, reference: str) -> CompileError:
    return CompileError("TaskReferenceNotFound", node_id, f"Referenced Task [{reference}] not found.")


def workflow_reference_not_found(node_id: str, reference: str) -> CompileError:
    return CompileError("WorkflowReferenceNotFound", node_id, f"Referenced Workflow [{reference}] not found.")


def variable_name_not_found(node_id: str, variable: str) -> CompileError:
    text = f"Variable [{variable}] not found on node [{node_id}]."
    return CompileError("VariableNameNotFound", node_id, text)


def field_not_found(node_id: str, variable: str, type_text: str, field: str) -> CompileError:
    text = f"Variable [{variable}] (type [{type_text}]) doesn't have field [{field}]."
    return CompileError("FieldNotFound", node_id, text)


def duplicate_alias(node_id: str, alias: str) -> CompileError:
    text = f"Duplicate alias [{alias}] found. An output alias can only be used once in the Workflow."
    return CompileError("DuplicateAlias", node_id, text)


def duplicate_id(id_text: str) -> CompileError:
    return CompileError("DuplicateId", id_text, "Trying to insert two nodes with the same id.")


def mismatching_types(node_id: str, variable: str, given: str, expected: str) -> CompileError:
    text = f"Variable [{variable}] (type [{given}]) doesn't match expected type [{expected}]."
    return CompileError("MismatchingTypes", node_id, text)


def mismatching_variables(node_id: str, output: str, given: str, input_: str, expected: str) -> CompileError:
    text = (
        f"The output variable '{output}' has type [{given}], but it's assigned to the input variable "
        f"'{input_}' which has type type [{expected}]."
    )
    return CompileError("MismatchingTypes", node_id, text)


def mismatching_bindings(node_id: str, variable: str, expected: str, received: str) -> CompileError:
    text = f"Input [{variable}] on node [{node_id}] expects bindings of type [{expected}].  Received [{received}]"
    return CompileError("MismatchingBindings", node_id, text)


def illegal_enum_value(node_id: str, variable: str, received: str, legal: Iterable[str]) -> CompileError:
    text = (
        f"Input [{variable}] on node [{node_id}] is an Enum and expects value to be one of [[{' '.join(legal)}]].  "
        f"Received [{received}]"
    )
    return CompileError("IllegalEnumValue", node_id, text)


def ambiguous_binding_union_value(
    node_id: str, variable: str, expected: str, binding: str, *, variants: tuple[str, str]
) -> CompileError:
    text = (
        f"Input [{variable}] on node [{node_id}] expects bindings of union type [{expected}].  Received [{binding}] "
        f"which is ambiguous as both variants [{variants[0]}] and [{variants[1]}] match."
    )
    return CompileError("AmbiguousBindingUnionValue", node_id, text)


def incompatible_binding_union_value(node_id: str, variable: str, expected: str, binding: str) -> CompileError:
    text = (
        f"Input [{variable}] on node [{node_id}] expects bindings of union type [{expected}].  Received [{binding}] "
        "which does not match any of the variants."
    )
    return CompileError("IncompatibleBindingUnionValue", node_id, text)


def parameter_bound_more_than_once(node_id: str, parameter: str) -> CompileError:
    return CompileError("ParameterBoundMoreThanOnce", node_id, f"Input [{parameter}] is bound more than once.")


def parameter_not_bound(node_id: str, parameter: str) -> CompileError:
    return CompileError("ParameterNotBound", node_id, f"Parameter not bound [{parameter}].")


def no_nodes_found(id_text: str) -> CompileError:
    return CompileError("NoNodesFound", id_text, f"Can't find any nodes in workflow [{id_text}].")


def unreachable_nodes(node_id: str, nodes: Iterable[str]) -> CompileError:
    text = f"The Workflow contain unreachable nodes [{','.join(nodes)}]."
    return CompileError("UnreachableNodes", node_id, text)


def syntax_error(node_id: str, element: str) -> CompileError:
    return CompileError("SyntaxError", node_id, f"Failed to parse element [{element}].")


def workflow_build_error(node_id: str, reason: str) -> CompileError:
    return CompileError("WorkflowBuildError", node_id, f"Failed to parse resource as a valid quantity: {reason}")
