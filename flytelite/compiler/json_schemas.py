"""JSON schemas of dataclasses, as FlyteAdmin's schema library (github.com/santhosh-tekuri/jsonschema) reads them."""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from typing import Any, TypeAlias
from urllib.parse import unquote

from google.protobuf import struct_pb2

Schema: TypeAlias = dict[str, Any] | bool

_DIALECTS = [f"http://json-schema.org/{draft}schema#" for draft in ("", "draft-04/", "draft-06/", "draft-07/")]
_KINDS = frozenset(["array", "boolean", "integer", "null", "number", "object", "string"])
_FORMAT = re.compile(
    "date-time|date|time|hostname|email|ip-address|ipv4|ipv6|uri|iri|uri-reference|uriref|iri-reference|uri-template|"
    "regex|json-pointer|relative-json-pointer|format|encoding|mediatype"
)
_ONE_SCHEMA = ("additionalItems", "contains", "additionalProperties", "propertyNames", "if", "then", "else", "not")
_MANY_SCHEMAS = ("allOf", "anyOf", "oneOf")
_NAMED_SCHEMAS = ("definitions", "properties", "patternProperties")
_DEFINITIONS = ("definitions", "$defs")
_COUNTS = ("minProperties", "maxProperties", "minItems", "maxItems", "minLength", "maxLength")
_NUMBERS = ("minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum", "multipleOf")
_NAMES = ("$ref", "$id", "title", "description", "pattern")


class UnusableSchema(Exception):
    """The schema is malformed, or uses what FlyteAdmin's schema library does not know."""


def read_schema(struct: struct_pb2.Struct) -> dict[str, Any]:
    """The schema document; raises UnusableSchema. Definitions that nothing refers to are not looked at."""
    document = _plain_fields(struct)
    if not document or document.get("$schema", _DIALECTS[0]) not in _DIALECTS:
        raise UnusableSchema
    _check(document)
    pending, known = _references(document), set[str]()
    while pending:
        known |= pending
        reached = [resolve(document, {"$ref": reference}) for reference in pending]
        for schema in reached:
            _check(schema)
        pending = set[str]().union(*map(_references, reached)) - known
    return document


def _plain_fields(struct: struct_pb2.Struct) -> dict[str, Any]:
    return {name: _plain(value) for name, value in struct.fields.items()}


def _plain(value: struct_pb2.Value) -> Any:
    kind = value.WhichOneof("kind")
    if kind == "struct_value":
        return _plain_fields(value.struct_value)
    if kind == "list_value":
        return [_plain(one) for one in value.list_value.values]
    if kind is None or (kind == "number_value" and not math.isfinite(value.number_value)):
        raise UnusableSchema  # JSON has no such thing
    if kind == "number_value" and value.number_value.is_integer():
        return int(value.number_value)
    return None if kind == "null_value" else getattr(value, kind)


def _references(node: Any) -> set[str]:
    if isinstance(node, list):
        return set[str]().union(*map(_references, node))
    if not isinstance(node, dict):
        return set()
    own = {node["$ref"]} if isinstance(node.get("$ref"), str) else set()
    return own.union(*(_references(value) for keyword, value in node.items() if keyword not in _DEFINITIONS))


def resolve(document: dict[str, Any], schema: Schema) -> Schema:
    """The schema itself, or what its chain of references within the document leads to. Raises UnusableSchema."""
    seen = set()
    while isinstance(schema, dict) and "$ref" in schema:
        reference = schema["$ref"]
        if reference in seen or not (reference in ("", "#") or reference.startswith("#/")):
            raise UnusableSchema
        seen.add(reference)
        found: Any = document
        for part in filter(None, reference.removeprefix("#").split("/")):
            found = _step(found, unquote(part.replace("~1", "/").replace("~0", "~")))
        schema = found
    return schema


def _step(found: Any, part: str) -> Any:
    if isinstance(found, dict) and part in found:
        return found[part]
    if isinstance(found, list) and part.isdecimal() and int(part) < len(found):
        return found[int(part)]
    raise UnusableSchema


def _check(schema: Any) -> None:
    """Raise unless the schema and those within it are well-formed."""
    if isinstance(schema, bool):
        return
    if not isinstance(schema, dict):
        raise UnusableSchema
    for keyword, value in schema.items():
        if not _CHECKS.get(keyword, lambda _: True)(value):
            raise UnusableSchema


def _is_schema(value: Any) -> bool:
    _check(value)
    return True


def _is_named_schemas(value: Any) -> bool:
    return isinstance(value, dict) and all(map(_is_schema, value.values()))


def _is_schemas(value: Any) -> bool:
    return isinstance(value, list) and bool(value) and all(map(_is_schema, value))


def _is_strings(value: Any) -> bool:
    return isinstance(value, list) and all(isinstance(one, str) for one in value) and len(set(value)) == len(value)


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def _is_type(value: Any) -> bool:
    return (
        value in _KINDS if isinstance(value, str) else _is_strings(value) and bool(value) and _KINDS.issuperset(value)
    )


def _is_pattern(value: Any) -> bool:
    try:
        re.compile(value)
    except (re.error, TypeError):
        return False
    return True


_CHECKS: dict[str, Callable[[Any], bool]] = {
    **dict.fromkeys(_ONE_SCHEMA, _is_schema),
    **dict.fromkeys(_MANY_SCHEMAS, _is_schemas),
    **dict.fromkeys(_NAMED_SCHEMAS, _is_named_schemas),
    **dict.fromkeys(_COUNTS, lambda value: _is_number(value) and value >= 0 and value == int(value)),
    **dict.fromkeys(_NUMBERS, _is_number),
    **dict.fromkeys(_NAMES, lambda value: isinstance(value, str)),
    "multipleOf": lambda value: _is_number(value) and value > 0,
    "pattern": _is_pattern,
    "items": lambda value: _is_schemas(value) if isinstance(value, list) else _is_schema(value),
    "dependencies": lambda value: isinstance(value, dict),
    "required": _is_strings,
    "enum": lambda value: isinstance(value, list) and bool(value),
    "type": _is_type,
    "format": lambda value: isinstance(value, str) and bool(_FORMAT.fullmatch(value)),
    "uniqueItems": lambda value: isinstance(value, bool),
    "contentMediaType": lambda value: value == "application/json",
    "contentEncoding": lambda value: value == "base64",
}
