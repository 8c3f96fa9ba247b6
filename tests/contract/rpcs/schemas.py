"""The server's OpenAPI document, and as much of JSON Schema as it uses."""

from __future__ import annotations

from typing import Any

TYPES: dict[str, tuple[type, ...]] = {
    "array": (list,),
    "boolean": (bool,),
    "integer": (int,),
    "null": (type(None),),
    "number": (int, float),
    "object": (dict,),
    "string": (str,),
}


def resolved(document: Any, schema: Any) -> Any:
    """The schema, or what it refers to."""
    reference = schema.get("$ref")
    return schema if reference is None else document["components"]["schemas"][reference.rpartition("/")[2]]


def misfit(document: Any, schema: Any, value: Any, path: str = "") -> str:
    """Where the value is not what the schema says; empty when it fits. Fields that the schema lacks do not fit."""
    schema = resolved(document, schema)
    if "anyOf" in schema:
        misfits = [misfit(document, option, value, path) for option in schema["anyOf"]]
        return "" if "" in misfits else max(misfits, key=len)
    kind = schema.get("type")
    if kind is None:
        return ""
    if not isinstance(value, TYPES[kind]) or (isinstance(value, bool) and kind != "boolean"):
        return f"{path}: {value!r} is no {kind}"
    if "enum" in schema and value not in schema["enum"]:
        return f"{path}: {value!r} is none of {schema['enum']}"
    if kind == "array":
        return next(filter(None, (misfit(document, schema["items"], item, f"{path}[]") for item in value)), "")
    return _object_misfit(document, schema, value, path) if kind == "object" else ""


def _object_misfit(document: Any, schema: Any, value: dict[str, Any], path: str) -> str:
    rest = schema.get("additionalProperties", False)
    for name, item in value.items():
        known = schema.get("properties", {}).get(name, rest)
        if known is False:
            return f"{path}: there is no {name}"
        if known is not True and (problem := misfit(document, known, item, f"{path}.{name}")):
            return problem
    return ""
