"""The end of an execution, printed: typed outputs, or where it failed, why, and the log."""

from __future__ import annotations

import enum
import importlib
from pathlib import Path
from typing import Any, get_args, get_origin

from flyteidl.core import execution_pb2, literals_pb2
from google.protobuf.json_format import MessageToDict

from flytelite.cli.client import Client
from flytelite.cli.nodes import NodeView, failed_leaves
from flytelite.cli.values import type_name

MOST_LOGS = 5
MOST_LINES = 20
MOST_BYTES = 64 * 1024
LONGEST_LINE = 2000
FLYTEKIT = ('{"asctime": ', '"name": "flytekit"')
"""What flytekit's own lines begin with and have in them."""


def print_outputs(entity: Any, data: Any) -> None:
    """Print the outputs (of a WorkflowExecutionGetDataResponse) by name, with the type of the interface."""
    types = entity.python_interface.outputs
    if not types:
        print("no outputs")
        return
    if not data.full_outputs.literals and data.outputs.url:
        print(f"outputs (too big to print): {data.outputs.url}")
        return
    print("outputs")
    for name, python_type in types.items():
        literal = data.full_outputs.literals.get(name)
        text = "(not set)" if literal is None else literal_text(literal, python_type)
        print(f"  {name}: {type_name(python_type)} = {text}")


def print_logs(nodes: tuple[NodeView, ...]) -> None:
    """Print the path of the log of every attempt, and the links that connectors give.

    Of a map task with many items, only the first few.
    """
    rows = []
    for top in nodes:
        for _, node in top.walk():
            name, links = f"{node.id} {node.attempts.task}", (link.text for link in node.attempts.links)
            for places in (list(dict.fromkeys(node.attempts.logs)), list(dict.fromkeys(links))):
                rows += [(name, place) for place in places[:MOST_LOGS]]
                if len(places) > MOST_LOGS:
                    rows.append((name, f"and {len(places) - MOST_LOGS} more"))
    if not rows:
        return
    width = max(len(name) for name, _ in rows)
    print("logs")
    for name, place in rows:
        print(f"  {name:<{width}}  {place}")


def print_failure(client: Client, execution: Any, nodes: tuple[NodeView, ...]) -> None:
    """Print the nodes that failed with the user's traceback and log; for an execution without one its own error."""
    phase = execution_pb2.WorkflowExecution.Phase.Name(execution.closure.phase)
    leaves = failed_leaves(nodes)
    if not leaves:
        reason = execution.closure.error.message or execution.closure.abort_metadata.cause or "no reason given"
        print(f"{phase}: {reason.strip()}")
        return
    for node in leaves:
        attempt = f", attempt {node.attempts.count}" if node.attempts.count > 1 else ""
        what = f" ({node.what})" if node.what else ""
        print(f"{phase} in node {node.id}{what}{attempt}\n")
        error = client.node_execution(node.message.id).closure.error.message or execution.closure.error.message
        for text in error.strip().splitlines():
            print(f"  {_cut(text)}")
        if node.attempts.failure_log:
            print(f"\nlog of node {node.id}: {node.attempts.failure_log}")
            for text in last_lines(Path(node.attempts.failure_log)):
                print(f"  {text}")


def last_lines(log: Path) -> list[str]:
    """The last lines that the user's code printed, without flytekit's account of the error, which is told already.

    There are none when the log is on another machine. Of a progress bar, which overwrites itself, the last state stays.
    """
    try:
        with log.open("rb") as file:
            start = file.seek(max(0, log.stat().st_size - MOST_BYTES))
            lines = file.read().decode(errors="replace").strip("\n").split("\n")
    except OSError:
        return []
    if start and len(lines) > 1:
        del lines[0]  # the end of a line, and nobody knows whose
    lines = [line for line in lines if not (line.startswith(FLYTEKIT[0]) and FLYTEKIT[1] in line)]
    lines = [_cut(line.rstrip("\r").rpartition("\r")[2]) for line in lines]
    while lines and not lines[0]:
        del lines[0]
    return lines if len(lines) <= MOST_LINES else ["...", *lines[-MOST_LINES:]]


def _cut(line: str) -> str:
    rest = len(line) - LONGEST_LINE
    return line if rest <= 0 else f"{line[:LONGEST_LINE]}... and {rest} more characters"


def literal_text(literal: literals_pb2.Literal, python_type: Any = None) -> str:
    """A literal as Python would write the value; data that lies elsewhere as its address."""
    kind = literal.WhichOneof("value")
    arguments = get_args(python_type)
    if kind == "collection":
        inner = arguments[0] if get_origin(python_type) is list and arguments else None
        return f"[{', '.join(literal_text(item, inner) for item in literal.collection.literals)}]"
    if kind == "map":
        inner = arguments[1] if get_origin(python_type) is dict and arguments else None
        items = sorted(literal.map.literals.items())
        return f"{{{', '.join(f'{key!r}: {literal_text(item, inner)}' for key, item in items)}}}"
    if kind == "offloaded_metadata":
        return str(literal.offloaded_metadata.uri)
    return _scalar_text(literal, python_type)


def _scalar_text(literal: literals_pb2.Literal, python_type: Any) -> str:
    scalar = literal.scalar
    kind = scalar.WhichOneof("value")
    if kind == "union":
        return literal_text(scalar.union.value, _matching_variant(python_type))
    if kind == "primitive":
        return _primitive_text(scalar.primitive, python_type)
    if kind in ("blob", "schema", "structured_dataset"):
        return str(getattr(scalar, kind).uri)
    if kind in ("binary", "generic"):
        return repr(_structure(literal, python_type))
    return "None" if kind in (None, "none_type") else str(scalar).strip()


def _primitive_text(primitive: literals_pb2.Primitive, python_type: Any) -> str:
    kind = primitive.WhichOneof("value")
    if kind == "datetime":
        return str(primitive.datetime.ToDatetime().isoformat())
    if kind == "duration":
        return str(primitive.duration.ToTimedelta())
    if isinstance(python_type, type) and issubclass(python_type, enum.Enum):
        return str(primitive.string_value)
    return repr(getattr(primitive, kind)) if kind else "None"


def _structure(literal: literals_pb2.Literal, python_type: Any) -> Any:
    """A dataclass or model as itself where its type is known, else the plain structure."""
    if python_type is not None:
        from flytekit.core.context_manager import FlyteContextManager
        from flytekit.core.type_engine import TypeEngine
        from flytekit.models.literals import Literal

        context = FlyteContextManager.current_context()
        return TypeEngine.to_python_value(context, Literal.from_flyte_idl(literal), python_type)
    if literal.scalar.WhichOneof("value") == "generic":
        return MessageToDict(literal.scalar.generic)
    return importlib.import_module("msgpack").unpackb(literal.scalar.binary.value, strict_map_key=False)


def _matching_variant(python_type: Any) -> Any:
    variants = [variant for variant in get_args(python_type) if variant is not type(None)]
    return variants[0] if len(variants) == 1 else None
