"""Variables in the command of a task: ``{{.input}}``, ``{{.outputPrefix}}``, ``{{.inputs.x}}`` …

Rules: ``flyteplugins/go/tasks/pluginmachinery/core/template/template.go``. Names are case-insensitive, unknown ones
are left alone.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import Any

from flyteidl.core import literals_pb2
from google.protobuf import duration_pb2, timestamp_pb2

from flytelite.engine import attributes

NO_CHECKPOINT = '""'


class UnknownInput(Exception):
    """A command names an input that the task was not given, or one that has no text form."""


@dataclass(frozen=True)
class Variables:
    """The values of one attempt. ``task_template_path`` writes the template's file when it is first asked for.

    ``bucket`` is where stored files are.
    """

    input: str
    input_prefix: str
    output_prefix: str
    raw_output_data_prefix: str
    checkpoint_output_prefix: str
    previous_checkpoint_prefix: str
    per_retry_unique_key: str
    namespace: str
    inputs: literals_pb2.LiteralMap
    bucket: Path
    task_template_path: Callable[[], str]


def _pattern(name: str) -> re.Pattern[str]:
    return re.compile(r"{{\s*[.$]" + name + r"\s*}}", re.IGNORECASE)


_PLAIN: list[tuple[re.Pattern[str], Callable[[Variables], str]]] = [
    (_pattern("Input"), lambda v: v.input),
    (_pattern("OutputPrefix"), lambda v: v.output_prefix),
    (_pattern("InputPrefix"), lambda v: v.input_prefix),
    (_pattern("RawOutputDataPrefix"), lambda v: v.raw_output_data_prefix),
    (_pattern("PrevCheckpointPrefix"), lambda v: v.previous_checkpoint_prefix or NO_CHECKPOINT),
    (_pattern("CheckpointOutputPrefix"), lambda v: v.checkpoint_output_prefix),
    (_pattern("PerRetryUniqueKey"), lambda v: v.per_retry_unique_key),
    (_pattern("TaskTemplatePath"), lambda v: v.task_template_path()),
    # Last, because a raw output prefix may hold it.
    (_pattern("Namespace"), lambda v: v.namespace),
]
_INPUT = _pattern(r"Inputs\.(?P<name>[^}\s]+)")


def render(parts: Iterable[str], variables: Variables) -> list[str]:
    """The parts of a command with their variables replaced. Raises UnknownInput."""
    return [_render(part, variables) for part in parts]


def _render(part: str, variables: Variables) -> str:
    if "{{" not in part:
        return part
    for pattern, value in _PLAIN:
        if pattern.search(part):
            text = value(variables)
            part = pattern.sub(lambda _, text=text: text, part)  # type: ignore[misc]
    return _INPUT.sub(lambda match: _input(match["name"], variables.inputs), part)


def _input(name: str, inputs: literals_pb2.LiteralMap) -> str:
    if name not in inputs.literals:
        raise UnknownInput(f"input template [{{{{.inputs.{name}}}}}]: requested input is not found [{name}]")
    try:
        return text(inputs.literals[name])
    except UnknownInput as error:
        raise UnknownInput(f"failed to bind a value to inputName [{name}]: {error}") from error


def text(literal: literals_pb2.Literal) -> str:
    """A literal as a command line shows it. Raises UnknownInput for one without a text form."""
    kind = literal.WhichOneof("value")
    if kind == "collection":
        return f"[{','.join(text(item) for item in literal.collection.literals)}]"
    if kind != "scalar":
        raise UnknownInput(f"received an unexpected literal type [{kind}]")
    scalar = literal.scalar
    kind = scalar.WhichOneof("value")
    if kind == "primitive":
        return _primitive(scalar.primitive)
    if kind == "union":
        return text(scalar.union.value)
    if kind in ("blob", "schema", "structured_dataset"):
        uri: str = getattr(scalar, kind).uri
        return uri
    if kind == "binary" and scalar.binary.tag == attributes.MESSAGEPACK:
        return _go(attributes.unpack(scalar.binary.value))
    raise UnknownInput(f"received an unexpected scalar type [{kind}]")


def _primitive(primitive: literals_pb2.Primitive) -> str:
    kind = primitive.WhichOneof("value")
    if kind == "datetime":
        return rfc3339(primitive.datetime)
    if kind == "duration":
        return go_duration(primitive.duration)
    return _go(getattr(primitive, kind or "string_value"))


def _go(value: Any) -> str:
    """A value as Go's %v prints it."""
    if value is None:
        return "<nil>"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, float):
        return go_float(value)
    if isinstance(value, list):
        return f"[{' '.join(_go(item) for item in value)}]"
    if isinstance(value, dict):
        return f"map[{' '.join(f'{_go(key)}:{_go(value[key])}' for key in sorted(value, key=str))}]"
    return str(value)


def go_float(value: float) -> str:
    """The shortest decimal that reads back as the same float, with an exponent below 1e-4 and from 1e21 on."""
    if not math.isfinite(value):
        return {"nan": "NaN", "inf": "+Inf", "-inf": "-Inf"}[str(value)]
    number = Decimal(repr(value))
    if value == 0 or 1e-4 <= abs(value) < 1e21:
        return f"{number:f}".removesuffix(".0")
    mantissa, _, power = f"{number.normalize():e}".partition("e")
    return f"{mantissa}e{int(power):+03d}"


def rfc3339(timestamp: timestamp_pb2.Timestamp) -> str:
    """The timestamp in UTC, without trailing zeros of the fraction."""
    whole: str = timestamp.ToJsonString()
    head, dot, fraction = whole.removesuffix("Z").partition(".")
    return f"{head}{dot}{fraction.rstrip('0')}Z"


def go_duration(duration: duration_pb2.Duration) -> str:
    """A duration as Go prints it: ``1m30s``, ``1.5s``, ``20ms``."""
    nanoseconds = duration.seconds * 10**9 + duration.nanos
    sign, rest = ("-", -nanoseconds) if nanoseconds < 0 else ("", nanoseconds)
    if rest == 0:
        return "0s"
    for unit, size in (("ns", 1), ("µs", 10**3), ("ms", 10**6)):
        if rest < size * 1000:
            return f"{sign}{_decimal(rest, size)}{unit}"
    minutes, seconds = divmod(rest, 60 * 10**9)
    hours, minutes = divmod(minutes, 60)
    text = f"{_decimal(seconds, 10**9)}s"
    if hours or minutes:
        text = f"{minutes}m{text}"
    return f"{sign}{hours}h{text}" if hours else f"{sign}{text}"


def _decimal(value: int, unit: int) -> str:
    whole, fraction = divmod(value, unit)
    if not fraction:
        return str(whole)
    return f"{whole}.{fraction:0{len(str(unit)) - 1}d}".rstrip("0")
