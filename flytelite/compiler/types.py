"""Types of literals, and which type may be given where another is expected.

The rules are those of ``flytepropeller/pkg/compiler/validators/{typing,utils}.go`` and
``.../compiler/common/pretty_print.go``.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from flyteidl.core import types_pb2

from flytelite.compiler.schema_coverage import covers
from flytelite.compiler.text import proto_text

LiteralType = types_pb2.LiteralType
SimpleType = types_pb2.SimpleType

_PRIMITIVES = {
    "integer": SimpleType.INTEGER,
    "float_value": SimpleType.FLOAT,
    "string_value": SimpleType.STRING,
    "boolean": SimpleType.BOOLEAN,
    "datetime": SimpleType.DATETIME,
    "duration": SimpleType.DURATION,
    None: SimpleType.NONE,
}
_CARRIED = {
    # scalar -> where its literal carries its type, and where a LiteralType keeps such a type
    "blob": (("metadata", "type"), "blob"),
    "schema": (("type",), "schema"),
    "structured_dataset": (("metadata", "structured_dataset_type"), "structured_dataset_type"),
}
_COLUMN_TYPES = {
    types_pb2.SchemaType.SchemaColumn.INTEGER: SimpleType.INTEGER,
    types_pb2.SchemaType.SchemaColumn.FLOAT: SimpleType.FLOAT,
    types_pb2.SchemaType.SchemaColumn.STRING: SimpleType.STRING,
    types_pb2.SchemaType.SchemaColumn.BOOLEAN: SimpleType.BOOLEAN,
    types_pb2.SchemaType.SchemaColumn.DATETIME: SimpleType.DATETIME,
    types_pb2.SchemaType.SchemaColumn.DURATION: SimpleType.DURATION,
}


def type_text(type_: Any) -> str:
    """A ``flyteidl.core.LiteralType`` (or None) as FlyteAdmin's messages print it.

    The braces of a structure do not balance there, and so not here.
    """
    if type_ is None:
        return "None"
    if type_.simple != SimpleType.STRUCT:
        return proto_text(type_)
    fields = type_.structure.dataclass_type
    structure = ", ".join(f"dataclass_type:{{key:{name} value:{{{type_text(fields[name])}}}" for name in sorted(fields))
    return f"simple: STRUCT structure{{{structure}}}"


def literal_type(literal: Any) -> Any:
    """The ``LiteralType`` of a ``flyteidl.core.Literal``; None when it holds, at any depth, something of no known type.

    A scalar whose type should be carried by the literal, but is not, has a type that fits nowhere.
    """
    kind = literal.WhichOneof("value")
    if kind == "scalar":
        return scalar_type(literal.scalar)
    if kind == "collection":
        element = _common_type(literal.collection.literals)
        return None if element is None else LiteralType(collection_type=element)
    if kind == "map":
        element = _common_type(literal.map.literals.values())
        return None if element is None else LiteralType(map_value_type=element)
    if kind == "offloaded_metadata" and literal.offloaded_metadata.HasField("inferred_type"):
        return literal.offloaded_metadata.inferred_type
    return None


def primitive_type(primitive: Any) -> Any:
    """The ``LiteralType`` of a ``flyteidl.core.Primitive``."""
    return LiteralType(simple=_PRIMITIVES[primitive.WhichOneof("value")])


def scalar_type(scalar: Any) -> Any:
    """The ``LiteralType`` of a ``flyteidl.core.Scalar``; None when it has no value, or a blob without metadata."""
    kind = scalar.WhichOneof("value")
    if kind == "primitive":
        return primitive_type(scalar.primitive)
    if kind == "union":
        return LiteralType(union_type=types_pb2.UnionType(variants=[scalar.union.type]))
    if kind == "binary":
        # msgpack is how dataclasses, dicts and pydantic models travel
        structured = scalar.binary.tag == "msgpack"
        return LiteralType(simple=SimpleType.STRUCT if structured else SimpleType.BINARY)
    if kind == "none_type":
        return LiteralType(simple=SimpleType.NONE)
    if kind == "error":
        return LiteralType(simple=SimpleType.ERROR)
    if kind == "generic":
        return LiteralType(simple=SimpleType.STRUCT)
    if kind is None or (kind == "blob" and not scalar.blob.HasField("metadata")):
        return None
    return _carried_type(scalar, kind)


def _carried_type(scalar: Any, kind: str) -> Any:
    path, field = _CARRIED[kind]
    carrier = getattr(scalar, kind)
    for name in path:
        if not carrier.HasField(name):
            return LiteralType()
        carrier = getattr(carrier, name)
    return LiteralType(**{field: carrier})


def _common_type(literals: Iterable[Any]) -> Any:
    """The one type of all elements, or a union of theirs; NONE when there are none. None when one is unknown."""
    found: dict[bytes, Any] = {}
    empty_list = None
    for literal in literals:
        type_ = literal_type(literal)
        if type_ is None:
            return None
        if literal.WhichOneof("value") == "collection" and not literal.collection.literals:
            empty_list = type_
        else:
            found.setdefault(type_.SerializeToString(deterministic=True), type_)
    if not found:
        return empty_list or LiteralType(simple=SimpleType.NONE)
    types = list(found.values())
    return types[0] if len(types) == 1 else _union(sorted(types, key=proto_text))


def _union(types: list[Any]) -> Any:
    """Lists of unions among the types are merged into one list of one union."""
    union = LiteralType(union_type=types_pb2.UnionType())
    nested = False
    for type_ in types:
        if type_.collection_type.HasField("union_type"):
            nested = True
            union.union_type.variants.extend(type_.collection_type.union_type.variants)
        else:
            union.union_type.variants.append(type_)
    return LiteralType(collection_type=union) if nested else union


def castable(given: Any, expected: Any) -> bool:
    """Whether a value of the ``LiteralType`` ``given`` may be used where ``expected`` is asked for."""
    variants = given.union_type.variants
    if len(variants) == 1 and _casts(variants[0], expected):
        return True
    return _casts(given, expected)


def _casts(given: Any, expected: Any) -> bool:
    kind = expected.WhichOneof("type")
    if kind in ("collection_type", "map_value_type"):
        return bool(given.HasField(kind)) and _element_casts(getattr(given, kind), getattr(expected, kind))
    if kind == "blob":
        return bool(given.HasField("blob")) and _same_or_any(given.blob.format, expected.blob.format)
    if kind == "schema":
        return _casts_to_schema(given, expected.schema)
    if kind == "structured_dataset_type":
        return _casts_to_dataset(given, expected.structured_dataset_type)
    if kind == "union_type":
        return _casts_to_union(given, expected.union_type.variants)
    if _is_none(expected):
        return _is_none(given)
    return _casts_plainly(given, expected)


def _is_none(type_: Any) -> bool:
    return bool(type_.WhichOneof("type") == "simple" and type_.simple == SimpleType.NONE)


def _element_casts(given: Any, expected: Any) -> bool:
    # an empty list or map has elements of type NONE
    return _is_none(given) or _casts(given, expected)


def _same_or_any(given: str, expected: str) -> bool:
    return not given or not expected or given == expected


def _casts_to_union(given: Any, variants: Any) -> bool:
    if given.HasField("union_type"):
        return all(any(castable(one, variant) for variant in variants) for one in given.union_type.variants)
    return sum(castable(given, variant) for variant in variants) == 1


def _casts_plainly(given: Any, expected: Any) -> bool:
    if given.HasField("enum_type") and expected.simple == SimpleType.STRING:
        return True
    if given.simple == SimpleType.STRING and expected.HasField("enum_type"):
        return True
    if given.structure.tag and given.structure.tag != expected.structure.tag:
        return False
    if given.simple == SimpleType.STRUCT and expected.simple == SimpleType.STRUCT:
        if not given.HasField("metadata") or not expected.HasField("metadata"):
            return True
        return bool(given.metadata == expected.metadata) or covers(given.metadata, expected.metadata)
    kind = given.WhichOneof("type")
    if kind != expected.WhichOneof("type"):
        return False
    return kind is None or bool(getattr(given, kind) == getattr(expected, kind))


def _casts_to_schema(given: Any, expected: Any) -> bool:
    if given.HasField("schema"):
        return _columns_cast(given.schema, expected, lambda one, other: one.type == other.type)
    dataset = given.structured_dataset_type
    if not given.HasField("structured_dataset_type") or not _is_parquet(dataset.format):
        return False
    return _columns_cast(dataset, expected, lambda one, other: _COLUMN_TYPES.get(other.type) == one.literal_type.simple)


def _casts_to_dataset(given: Any, expected: Any) -> bool:
    if _is_none(given):
        return True
    if given.HasField("schema"):
        return _is_parquet(expected.format) and _columns_cast(
            given.schema, expected, lambda one, other: _COLUMN_TYPES.get(one.type) == other.literal_type.simple
        )
    dataset = given.structured_dataset_type
    if not given.HasField("structured_dataset_type"):
        return False
    return _same_or_any(dataset.format.casefold(), expected.format.casefold()) and _columns_cast(
        dataset, expected, lambda one, other: _casts(one.literal_type, other.literal_type)
    )


def _is_parquet(format_: str) -> bool:
    return format_.casefold() in ("", "parquet")


def _columns_cast(given: Any, expected: Any, cast: Any) -> bool:
    """No columns on either side means any columns; otherwise each expected one must be among the given ones."""
    if not given.columns or not expected.columns:
        return True
    columns = {column.name: column for column in given.columns}
    return all(column.name in columns and cast(columns[column.name], column) for column in expected.columns)
