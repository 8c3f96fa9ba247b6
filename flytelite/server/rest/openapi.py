"""An OpenAPI 3.1 document of the gateway, made from the descriptors."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from google.protobuf.descriptor import Descriptor, EnumDescriptor, FieldDescriptor
from google.rpc.status_pb2 import Status

from flytelite import __version__, descriptors
from flytelite.server.rest.query import FieldPath
from flytelite.server.rest.routes import Route, Routes

Schema = dict[str, Any]

_DESCRIPTION = (
    "Send `Accept: application/json`: without it the names in answers are in camel case. Enums are also understood as "
    "numbers, and 64-bit integers also as JSON numbers."
)
_TEXT: Schema = {"type": "string"}
_WELL_KNOWN: dict[str, Schema] = {
    "Any": {"type": "object", "properties": {"@type": _TEXT}, "additionalProperties": True},
    "Duration": {**_TEXT, "examples": ["3.5s"]},
    "FieldMask": _TEXT,
    "ListValue": {"type": "array", "items": {}},
    "Struct": {"type": "object", "additionalProperties": True},
    "Timestamp": {**_TEXT, "format": "date-time"},
    "Value": {},
}
_NULL: Schema = {"type": "null"}
_SCALARS: dict[int, Schema] = {
    FieldDescriptor.TYPE_BOOL: {"type": "boolean"},
    FieldDescriptor.TYPE_BYTES: {**_TEXT, "format": "byte"},
    FieldDescriptor.TYPE_DOUBLE: {"type": "number", "format": "double"},
    FieldDescriptor.TYPE_FLOAT: {"type": "number", "format": "float"},
    FieldDescriptor.TYPE_INT32: {"type": "integer", "format": "int32", "minimum": -(2**31), "maximum": 2**31 - 1},
    FieldDescriptor.TYPE_INT64: {**_TEXT, "format": "int64"},
    FieldDescriptor.TYPE_STRING: _TEXT,
    FieldDescriptor.TYPE_UINT32: {"type": "integer", "format": "int64", "minimum": 0, "maximum": 2**32 - 1},
    FieldDescriptor.TYPE_UINT64: {**_TEXT, "format": "uint64"},
}


def openapi_document() -> dict[str, Any]:
    """The document, its names as ``application/json`` has them (snake case)."""
    schemas = _Schemas()
    paths: dict[str, dict[str, Any]] = {}
    templates: dict[tuple[str, ...], tuple[str, ...]] = {}
    operations: set[str] = set()
    for route in Routes().all:
        names = templates.setdefault(_shape(route), tuple("_".join(path) for path in route.variables))
        template = _template(route, names)
        operation = _operation(route, names, schemas)
        while operation["operationId"] in operations:
            operation["operationId"] += "_2"
        operations.add(operation["operationId"])
        paths.setdefault(template, {})[route.verb.lower()] = operation
    return {
        "openapi": "3.1.0",
        "info": {"title": "Flyte Admin, served by flytelite", "version": __version__, "description": _DESCRIPTION},
        "paths": paths,
        "components": {"schemas": schemas.components},
    }


def _shape(route: Route) -> tuple[str, ...]:
    """Templates that differ only in their variables' names are one path to OpenAPI; it has the names of the first."""
    return tuple(segment if isinstance(segment, str) else "" for segment in route.segments)


def _template(route: Route, names: tuple[str, ...]) -> str:
    """The path with its variables under names without dots, which many tools take for a member of a variable."""
    variables = iter(names)
    return "/" + "/".join(part if isinstance(part, str) else f"{{{next(variables)}}}" for part in route.segments)


def _operation(route: Route, names: tuple[str, ...], schemas: _Schemas) -> dict[str, Any]:
    method = route.method.descriptor
    service = method.containing_service.name
    operation: dict[str, Any] = {
        "operationId": f"{service}_{method.name}",
        "tags": [service],
        "parameters": list(_parameters(route, names, schemas)),
        "responses": {
            "200": {"description": "The answer.", "content": _content(schemas.message(method.output_type))},
            "default": {"description": "An error.", "content": _content(schemas.message(Status.DESCRIPTOR))},
        },
    }
    if route.body:
        operation["requestBody"] = {"content": _content(schemas.message(method.input_type))}
    return operation


def _content(schema: Schema) -> dict[str, Any]:
    return {"application/json": {"schema": schema}}


def _parameters(route: Route, names: tuple[str, ...], schemas: _Schemas) -> Iterator[dict[str, Any]]:
    leaves = dict(_leaves(route.method.descriptor.input_type, (), frozenset()))
    for name, path in zip(names, route.variables, strict=True):
        schema = schemas.field(leaves[path])
        if schema == _TEXT:
            schema = {**_TEXT, "minLength": 1}
        yield {"name": name, "in": "path", "required": True, "schema": schema}
    if route.body:
        return
    for path, field in leaves.items():
        if path not in route.variables:
            yield {"name": ".".join(path), "in": "query", "schema": schemas.field(field)}


def _leaves(message: Descriptor, path: FieldPath, above: frozenset[str]) -> Iterator[tuple[FieldPath, FieldDescriptor]]:
    """The fields that a query can name, through nested messages but not round in circles."""
    for field in message.fields:
        here = (*path, field.name)
        kind = field.message_type
        if kind is None or kind.full_name.startswith("google.protobuf."):
            yield here, field
        elif not descriptors.is_repeated(field) and kind.full_name not in above:
            yield from _leaves(kind, here, above | {message.full_name})


class _Schemas:
    """The components, filled as they are referred to."""

    def __init__(self) -> None:
        self.components: dict[str, Schema] = {}

    def message(self, message: Descriptor) -> Schema:
        """A message's schema: a reference, or a well-known type's own form."""
        package, _, name = message.full_name.rpartition(".")
        if package == "google.protobuf":
            known = _WELL_KNOWN.get(name)
            return known if known is not None else self._scalar(message.fields_by_name["value"])
        if message.full_name not in self.components:
            properties: dict[str, Schema] = {}
            self.components[message.full_name] = {
                "type": "object",
                "properties": properties,
                "additionalProperties": False,
            }
            properties.update((field.name, self._property(field)) for field in message.fields)
        return {"$ref": f"#/components/schemas/{message.full_name}"}

    def field(self, field: FieldDescriptor) -> Schema:
        """A field's schema, lists and maps included."""
        if descriptors.is_map(field):
            assert field.message_type is not None
            value = self.field(field.message_type.fields_by_name["value"])
            return {"type": "object", "additionalProperties": value}
        schema = self._scalar(field)
        return {"type": "array", "items": schema} if descriptors.is_repeated(field) else schema

    def _property(self, field: FieldDescriptor) -> Schema:
        """A field's schema in its message: a message that is not set is null."""
        schema = self.field(field)
        if field.message_type is None or descriptors.is_repeated(field) or not schema:
            return schema
        return {"anyOf": [schema, _NULL]}

    def _scalar(self, field: FieldDescriptor) -> Schema:
        if field.message_type is not None:
            return self.message(field.message_type)
        if field.enum_type is not None:
            return self._enum(field.enum_type)
        return _SCALARS[field.type]

    def _enum(self, enum: EnumDescriptor) -> Schema:
        if enum.full_name not in self.components:
            self.components[enum.full_name] = {"type": "string", "enum": [value.name for value in enum.values]}
        return {"$ref": f"#/components/schemas/{enum.full_name}"}
