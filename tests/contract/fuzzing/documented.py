"""Requests that an OpenAPI document allows."""

from __future__ import annotations

import json
from collections.abc import Iterator
from random import Random
from typing import Any
from urllib.parse import quote

from ..rpcs.schemas import resolved
from ..rpcs.ways import JSON
from .attempts import Attempt
from .values import NAMES, TEXTS, text

DEPTH = 8
PROPERTIES = 4
"""So many properties of an object are given at most."""

NUMBERS = ["0", "1", "-1", "25", "9223372036854775807", "18446744073709551615"]
FORMATS = {
    "byte": ["", "AAAA", "/+8="],
    "date-time": ["2024-01-01T00:00:00Z", "0001-01-01T00:00:00Z", "9999-12-31T23:59:59.999999999Z"],
    "int64": NUMBERS,
    "uint64": NUMBERS,
}


def documented(document: Any, seed: str, each: int) -> Iterator[Attempt]:
    """So many requests for each operation."""
    for template, verbs in document["paths"].items():
        for verb, operation in verbs.items():
            for number in range(each):
                yield _Maker(document, Random(f"{seed}/{verb} {template}/{number}")).attempt(verb, template, operation)


class _Maker:
    def __init__(self, document: Any, random: Random) -> None:
        self._document = document
        self._random = random

    def attempt(self, verb: str, template: str, operation: Any) -> Attempt:
        query = []
        for parameter in operation["parameters"]:
            value = self._value(parameter["schema"], DEPTH)
            written = quote(value if isinstance(value, str) else json.dumps(value), safe="")
            if parameter["in"] == "path":
                template = template.replace(f"{{{parameter['name']}}}", written[:1000] or "x")
            elif self._random.random() < 0.3:
                query.append(f"{quote(parameter['name'])}={written[:1000]}")
        path = f"{template}?{'&'.join(query)}" if query else template
        if "requestBody" not in operation:
            return Attempt(verb.upper(), path, b"")
        schema = operation["requestBody"]["content"][JSON]["schema"]
        body = json.dumps(self._value(schema, DEPTH)).encode()
        return Attempt(verb.upper(), path, body, {"Content-Type": JSON, "Accept": JSON})

    def _value(self, schema: Any, depth: int) -> Any:
        schema = resolved(self._document, schema)
        if "anyOf" in schema:
            return self._value(self._random.choice(schema["anyOf"]), depth)
        match schema.get("type"):
            case "object":
                return self._object(schema, depth)
            case "array":
                items = self._random.randrange(3) if depth > 0 else 0
                return [self._value(schema["items"], depth - 1) for _ in range(items)]
            case "string":
                return self._text(schema)
            case "boolean":
                return self._random.random() < 0.5
            case "integer":
                return self._random.choice([0, 1, 2, 10, 2**31 - 1])
            case "number":
                return self._random.choice([0, 1.5, -1, 1e300])
            case "null":
                return None
        return self._random.choice([None, 1, "x", [], {}, True])

    def _object(self, schema: Any, depth: int) -> dict[str, Any]:
        if depth <= 0:
            return {}
        properties = schema.get("properties", {})
        names = self._random.sample(sorted(properties), min(len(properties), self._random.randrange(PROPERTIES + 1)))
        value = {name: self._value(properties[name], depth - 1) for name in names}
        rest = schema.get("additionalProperties")
        if isinstance(rest, dict) and self._random.random() < 0.7:
            value[self._random.choice(NAMES)] = self._value(rest, depth - 1)
        return value

    def _text(self, schema: Any) -> str:
        if "enum" in schema:
            return str(self._random.choice(schema["enum"]))
        if schema.get("format") in FORMATS:
            return self._random.choice(FORMATS[schema["format"]])
        return self._random.choice([*NAMES, *NAMES, *TEXTS[:40], text(self._random)[:300]])
