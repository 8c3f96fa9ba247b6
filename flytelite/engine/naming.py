"""Names derived from names: unique node ids, generated names, child executions, raw-data shards.

All are pure functions of where a node stands, so that a restarted engine finds again what it made before.
Rules: ``flyteplugins/go/tasks/pluginmachinery/encoding/encoder.go``, ``flytepropeller/pkg/controller/nodes/common``,
``flyteplugins/go/tasks/pluginmachinery/ioutils/precomputed_shardselector.go``.
"""

from __future__ import annotations

import base64
import re
from dataclasses import dataclass

START_NODE = "start-node"
END_NODE = "end-node"

UNIQUE_ID_LIMIT = 20
GENERATED_NAME_LIMIT = 50
CHILD_EXECUTION_LIMIT = 20

_FNV = {32: (0x811C9DC5, 0x01000193), 64: (0xCBF29CE484222325, 0x100000001B3)}
_BASE32 = str.maketrans("ABCDEFGHIJKLMNOPQRSTUVWXYZ234567", "abcdefghijklmnopqrstuvwxyz123456")
_BASE36 = "abcdefghijklmnopqrstuvwxyz0123456789"


@dataclass(frozen=True)
class Parent:
    """The node that a level of nodes runs inside: its unique id and its attempt.

    ``before`` is the same node in the execution that this one recovers, where that had another id or attempt.
    """

    unique_id: str
    attempt: int
    in_dynamic_chain: bool = False
    before: Parent | None = None


def fnv1a(data: bytes, bits: int) -> int:
    """The FNV-1a hash of 32 or 64 bits."""
    value, prime = _FNV[bits]
    for byte in data:
        value = ((value ^ byte) * prime) % (1 << bits)
    return value


def encode(parts: list[str], limit: int, bits: int = 32) -> str:
    """The parts joined by dashes; when that is longer than ``limit``, ``f`` and the hash of it in base 32."""
    text = ""
    for part in parts:
        text += ("-" if text else "") + part
    if len(text) <= limit:
        return text
    raw = fnv1a(text.encode(), bits).to_bytes(bits // 8, "big")
    return "f" + base64.b32encode(raw).decode().rstrip("=").translate(_BASE32)


def unique_node_id(parent: Parent | None, node_id: str) -> str:
    """The id by which the control plane knows a node of an execution."""
    if parent is None:
        return encode([node_id], UNIQUE_ID_LIMIT)
    return encode([parent.unique_id, str(parent.attempt), node_id], UNIQUE_ID_LIMIT)


def generated_name(execution: str, unique_id: str, attempt: int) -> str:
    """The name of one attempt (a pod's name in FlytePropeller)."""
    return encode([execution, unique_id, str(attempt)], GENERATED_NAME_LIMIT)


def element_id(array: Parent, index: int) -> str:
    """The unique id of one element of an array node: used in names and paths, never a node execution."""
    return unique_node_id(array, f"n{index}")


def external_id(execution: str, array_unique_id: str, index: int, attempt: int) -> str:
    """The external id of an array element's attempt."""
    return f"{generated_name(execution, array_unique_id, 0)}-n{index}-{attempt}"


def child_execution_name(execution: str, unique_id: str, attempt: int) -> str:
    """The name of the execution that a launch-plan node starts."""
    return encode([execution, unique_id, str(attempt)], CHILD_EXECUTION_LIMIT, bits=64)


def per_retry_unique_key(name: str) -> str:
    """A generated name as an identifier: letters, digits and underscores, not starting with a digit."""
    return re.sub(r"[^a-zA-Z0-9_]+", "_", re.sub(r"^[^a-zA-Z_]+", "a", name))


def shard(name: str) -> str:
    """Two characters that spread raw data over 1296 prefixes."""
    number = fnv1a(name.encode(), 32) % (len(_BASE36) ** 2)
    first, second = divmod(number, len(_BASE36))
    return _BASE36[first] + _BASE36[second]
