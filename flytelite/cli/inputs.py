"""The inputs of an entity: what it takes, and reading them from the command line."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, get_args

from flyteidl.core import literals_pb2

from flytelite.cli.failure import Usage
from flytelite.cli.values import default_text, describe, parse

_OPTIONS = frozenset({
    "-p", "--project", "-d", "--domain", "--version", "--endpoint", "--watch", "--abort-outdated", "--copy-all",
    "--image",
})  # fmt: skip


@dataclass(frozen=True)
class Input:
    """One input of an entity; the types are Python's and flytekit's model of the literal type."""

    name: str
    python_type: Any
    literal_type: Any
    default: Any = None
    required: bool = True

    @property
    def takes(self) -> str:
        """What to write for a value."""
        return describe(self.python_type)

    @property
    def description(self) -> str:
        """``--name`` and what to write after it."""
        if self.required:
            return f"--{self.name} ({self.takes})"
        return f"--{self.name} ({self.takes}; default {default_text(self.default)})"


class Inputs:
    """The inputs of one entity by name."""

    def __init__(self, inputs: Sequence[Input], entity: str) -> None:
        self._by_name = {input.name: input for input in inputs}
        self._entity = entity

    def __iter__(self) -> Iterator[Input]:
        return iter(self._by_name.values())

    def named(self, flag: str) -> tuple[Input, bool] | None:
        """The input that ``--name`` or ``--no-name`` means, and False for the latter; None when there is none."""
        if not flag.startswith("--"):
            return None
        for name in (flag[2:], flag[2:].replace("-", "_")):
            if name in self._by_name:
                return self._by_name[name], True
            negated = name.removeprefix("no-").removeprefix("no_")
            if negated != name and negated in self._by_name and self._by_name[negated].python_type is bool:
                return self._by_name[negated], False
        return None

    @property
    def description(self) -> str:
        """What the entity takes, one input a line."""
        lines = [f"  {input.description}" for input in self] or ["  no inputs"]
        return "\n".join([f"{self._entity} takes", *lines])

    def check_complete(self, given: Mapping[str, Any]) -> None:
        """Raise Usage naming the required inputs that are not given."""
        missing = [input.description for input in self if input.required and input.name not in given]
        if missing:
            plural = "s" if len(missing) > 1 else ""
            raise Usage(f"{self._entity} needs the input{plural} {', '.join(missing)}")

    def unknown(self, flag: str) -> Usage:
        """The error for an argument that is no input."""
        known = ", ".join(input.description for input in self) or "none"
        hint = " (an option of `run` goes before FILE)" if flag in _OPTIONS else ""
        return Usage(f"{self._entity} has no input {flag}{hint}; its inputs: {known}")


def inputs_of(entity: Any) -> Inputs:
    """The inputs of a flytekit task, workflow or launch plan; fixed inputs of a launch plan are not among them."""
    from flytekit import LaunchPlan
    from flytekit.core.artifact import Artifact, ArtifactQuery

    declared = entity.python_interface.inputs_with_defaults
    names = list(entity.parameters.parameters) if isinstance(entity, LaunchPlan) else list(declared)
    saved = entity.saved_inputs if isinstance(entity, LaunchPlan) else {}
    inputs = []
    for name in names:
        python_type, default = declared[name]
        default = saved.get(name, default)
        optional = default is not None or _allows_none(python_type)
        if isinstance(default, (Artifact, ArtifactQuery)):
            default = None
        inputs.append(Input(name, python_type, entity.interface.inputs[name].type, default, not optional))
    return Inputs(inputs, entity.name)


def read_value(
    input: Input, flag: str, arguments: Sequence[str], is_positive: bool, is_attached: bool
) -> tuple[Any, int]:
    """The value of one input and how many of the following arguments it took.

    A bool may stand alone (``--flag``, ``--no-flag``): before another flag, or as the last. ``is_attached`` says that
    the value was written behind an equals sign. Raises Usage naming the input and the expected type.
    """
    if input.python_type is bool:
        stands_alone = not is_attached and (not arguments or arguments[0].startswith("-"))
        if not is_positive and not stands_alone:
            raise Usage(f"input {flag} takes no value, but got {arguments[0]!r}; --{input.name} takes true or false")
        if stands_alone:
            return is_positive, 0
    if not arguments:
        raise Usage(f"input {flag} needs a value: {input.takes}")
    return parsed(input, f"input {flag}", arguments[0]), 1


def parsed(input: Input, what: str, text: str) -> Any:
    """The value that a text means. Raises Usage naming ``what`` needs it and the expected type."""
    try:
        return parse(text, input.python_type, input.literal_type)
    except (ValueError, TypeError, OSError) as error:
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise Usage(f"{what} needs {input.takes}, which {text!r} is not ({reason})") from error


def literal_map(remote: Any, inputs: Inputs, values: Mapping[str, Any], with_defaults: bool) -> Any:
    """The values as literals_pb2.LiteralMap; files and tables are uploaded on the way.

    ``with_defaults`` adds the defaults of the Python function, which a task's execution is not given by the server.
    """
    return literals_pb2.LiteralMap(
        literals={
            input.name: literal(remote, input, f"input --{input.name}", values.get(input.name, input.default))
            for input in inputs
            if input.name in values or (with_defaults and not input.required)
        }
    )


def literal(remote: Any, input: Input, what: str, value: Any) -> Any:
    """A value as literals_pb2.Literal; files and tables are uploaded. Raises Usage naming ``what`` cannot have it."""
    from flytekit.core.context_manager import FlyteContextManager
    from flytekit.core.type_engine import TypeEngine

    with FlyteContextManager.with_context(remote.context.new_builder()) as context:
        try:
            model = TypeEngine.to_literal(context, value, input.python_type, input.literal_type)
        except (TypeError, ValueError, AssertionError) as error:
            raise Usage(f"{what} needs {input.takes}: {error}") from error
        return model.to_flyte_idl()


def _allows_none(python_type: Any) -> bool:
    return type(None) in get_args(python_type)
