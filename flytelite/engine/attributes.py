"""Attribute paths of promises: ``result.field["key"][0]`` inside literals.

Rules: ``flytepropeller/pkg/controller/nodes/attr_path_resolver.go``.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from flyteidl.core import literals_pb2, types_pb2
from google.protobuf import json_format, struct_pb2

MESSAGEPACK = "msgpack"
_INTEGER_MAX = 2**63 - 1


class AttributeNotFound(Exception):
    """A path does not lead to a value."""


def resolve(
    literal: literals_pb2.Literal, path: Sequence[types_pb2.PromiseAttribute], node_id: str
) -> literals_pb2.Literal:
    """The literal that the path leads to. ``node_id`` names the upstream node in errors. Raises AttributeNotFound."""
    current = literal
    position = 0
    for attribute in path:
        kind = current.WhichOneof("value")
        if kind == "map":
            current = _key(current.map.literals, attribute.string_value, node_id)
        elif kind == "collection":
            current = _item(current.collection.literals, attribute.int_value, node_id)
        else:
            break
        position += 1
    rest = path[position:]
    scalar = current.scalar.WhichOneof("value") if current.WhichOneof("value") == "scalar" else None
    if scalar == "binary":
        return _in_binary(current.scalar.binary, rest, node_id)
    if scalar == "generic":
        return _in_struct(current.scalar.generic, rest, node_id)
    return current


def _in_binary(
    binary: literals_pb2.Binary, path: Sequence[types_pb2.PromiseAttribute], node_id: str
) -> literals_pb2.Literal:
    if binary.tag != MESSAGEPACK:
        raise _not_found(
            node_id,
            f"Unsupported format '{binary.tag}' found for literal value.\n"
            "Please ensure the serialization format is supported.",
        )
    value = unpack(binary.value)
    for attribute in path:
        if isinstance(value, dict) and attribute.WhichOneof("value") == "string_value":
            value = _key(value, attribute.string_value, node_id)
        elif isinstance(value, list) and attribute.WhichOneof("value") == "int_value":
            value = _item(value, attribute.int_value, node_id)
        else:
            raise _not_found(node_id, f"unexpected attribute {_text(attribute)} for value {value!r}")
    if isinstance(value, list):
        collection = literals_pb2.LiteralCollection(literals=[_binary(item) for item in value])
        return literals_pb2.Literal(collection=collection)
    if isinstance(value, str | bool | int | float):
        return literals_pb2.Literal(scalar=literals_pb2.Scalar(primitive=_primitive(value, node_id)))
    return _binary(value)


def _in_struct(
    struct: struct_pb2.Struct, path: Sequence[types_pb2.PromiseAttribute], node_id: str
) -> literals_pb2.Literal:
    value: Any = json_format.MessageToDict(struct)
    for attribute in path:
        # Attributes of anything but a mapping or a list are passed over, as FlytePropeller does.
        if isinstance(value, dict):
            value = _key(value, attribute.string_value, node_id)
        elif isinstance(value, list):
            value = _item(value, attribute.int_value, node_id)
    return _from_json(value, node_id)


def _from_json(value: Any, node_id: str) -> literals_pb2.Literal:
    if isinstance(value, dict):
        struct = struct_pb2.Struct()
        struct.update(value)
        return literals_pb2.Literal(scalar=literals_pb2.Scalar(generic=struct))
    if isinstance(value, list):
        items = [_from_json(item, node_id) for item in value]
        return literals_pb2.Literal(collection=literals_pb2.LiteralCollection(literals=items))
    if value is None:
        return literals_pb2.Literal()
    if isinstance(value, int) and not isinstance(value, bool):
        value = float(value)  # a Struct knows no integers
    return literals_pb2.Literal(scalar=literals_pb2.Scalar(primitive=_primitive(value, node_id)))


def unpack(content: bytes) -> Any:
    """The value in MessagePack bytes."""
    import msgpack  # type: ignore[import-untyped]

    return msgpack.unpackb(content, strict_map_key=False)


def _binary(value: Any) -> literals_pb2.Literal:
    import msgpack

    binary = literals_pb2.Binary(value=msgpack.packb(value), tag=MESSAGEPACK)
    return literals_pb2.Literal(scalar=literals_pb2.Scalar(binary=binary))


def _primitive(value: str | bool | int | float, node_id: str) -> literals_pb2.Primitive:
    if isinstance(value, bool):
        return literals_pb2.Primitive(boolean=value)
    if isinstance(value, str):
        return literals_pb2.Primitive(string_value=value)
    if isinstance(value, float):
        return literals_pb2.Primitive(float_value=value)
    if value > _INTEGER_MAX:
        raise _not_found(node_id, "uint64 value is too large to be converted to int64")
    return literals_pb2.Primitive(integer=value)


def _key(mapping: Any, key: str, node_id: str) -> Any:
    if key not in mapping:
        raise _not_found(node_id, f"key [{key}] does not exist in literal {sorted(map(str, mapping))}")
    return mapping[key]


def _item(items: Any, index: int, node_id: str) -> Any:
    if not 0 <= index < len(items):
        raise _not_found(node_id, f"index [{index}] is out of range of {len(items)} items")
    return items[index]


def _text(attribute: types_pb2.PromiseAttribute) -> str:
    return repr(getattr(attribute, attribute.WhichOneof("value") or "string_value"))


def _not_found(node_id: str, text: str) -> AttributeNotFound:
    return AttributeNotFound(f"failed at Node[{node_id}]. PromiseAttributeResolveError: {text}")
