"""Whether one dataclass may be given where another is expected, told from their JSON schemas.

``flytepropeller/pkg/compiler/validators/typing.go`` asks gitlab.com/yvesf/json-schema-compare. Its rules are looser in
places than JSON Schema's, and it gives up on what it does not understand; both are kept here.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from google.protobuf import struct_pb2

from flytelite.compiler.json_schemas import Schema, UnusableSchema, read_schema, resolve

_COMBINATIONS = ("allOf", "anyOf", "oneOf")


def covers(given: struct_pb2.Struct, expected: struct_pb2.Struct) -> bool:
    """Whether values of the schema ``given`` have all that the schema ``expected`` asks for.

    A schema that FlyteAdmin cannot use covers nothing and is covered by nothing.
    """
    try:
        return _Comparison(read_schema(given), read_schema(expected)).fits()
    except UnusableSchema:
        return False


@dataclass
class _Comparison:
    """``strict`` refuses what the library has not implemented; outside of combined schemas that is let pass."""

    given: dict[str, Any]
    expected: dict[str, Any]
    _open: set[tuple[int, int]] = field(default_factory=set)

    def fits(self) -> bool:
        return self._schema(self.given, self.expected, strict=False)

    def _schema(self, given: Schema, expected: Schema, strict: bool) -> bool:
        given, expected = resolve(self.given, given), resolve(self.expected, expected)
        pair = (id(given), id(expected))
        if pair in self._open:  # a recursive type: it fits if the rest does
            return True
        self._open.add(pair)
        try:
            return self._resolved(_Part(given), _Part(expected), strict)
        finally:
            self._open.discard(pair)

    def _resolved(self, given: _Part, expected: _Part, strict: bool) -> bool:
        kinds = expected.kinds
        # a schema without a type is compared as an object
        if not kinds <= given.kinds or not given.kinds <= kinds | (set() if kinds else {"object"}):
            return False
        checks = {"string": _strings, "number": _numbers, "array": self._arrays, "object": self._objects}
        return (
            all(check(given, expected, strict) for kind, check in checks.items() if kind in (kinds or {"object"}))
            and all(self._combined(given.schemas(name), expected.schemas(name)) for name in _COMBINATIONS)
            and _constants(given, expected)
        )

    def _combined(self, given: list[Schema], expected: list[Schema]) -> bool:
        if bool(given) != bool(expected):
            return False
        return all(any(self._strictly(one, other) for other in expected) for one in given)

    def _strictly(self, given: Schema, expected: Schema) -> bool:
        given, expected = resolve(self.given, given), resolve(self.expected, expected)
        if isinstance(given, bool) or isinstance(expected, bool):
            return given is expected
        return self._schema(given, expected, strict=True)

    def _objects(self, given: _Part, expected: _Part, strict: bool) -> bool:
        if strict and not (given.plain_object and expected.plain_object):
            return False
        if not set(expected.get("required", [])) <= set(given.get("required", [])):
            return False
        if not _narrower(given, expected, "minProperties", "maxProperties"):
            return False
        for keyword in ("if", "then", "else"):
            if given.conditional(keyword) != expected.conditional(keyword):
                return False
            if expected.conditional(keyword) and not self._strictly(given.get(keyword), expected.get(keyword)):
                return False
        properties = given.get("properties", {})
        return all(
            name in properties and self._schema(properties[name], schema, strict)
            for name, schema in expected.get("properties", {}).items()
        )

    def _arrays(self, given: _Part, expected: _Part, strict: bool) -> bool:
        if not _narrower(given, expected, "minItems", "maxItems"):
            return False
        if expected.get("uniqueItems") and not given.get("uniqueItems"):
            return False
        one, other = given.get("items"), expected.get("items")
        if strict and (isinstance(one, list) or isinstance(other, list)):
            return False
        if other is None:
            return True
        if one is None or isinstance(one, list) != isinstance(other, list):
            return False
        if not isinstance(one, list):
            return self._schema(one, other, strict)
        return len(one) == len(other) and all(self._schema(*pair, strict) for pair in zip(one, other, strict=True))


@dataclass
class _Part:
    """One schema of a document, its references resolved."""

    schema: Schema

    @property
    def kinds(self) -> set[str]:
        kind = self.get("type", [])
        return {kind} if isinstance(kind, str) else set(kind)

    @property
    def plain_object(self) -> bool:
        """Nothing about the properties but the properties."""
        unknown = self.get("dependencies") or self.get("patternProperties") or self.has("not")
        return not unknown and self.get("additionalProperties", True) is True

    def has(self, keyword: str) -> bool:
        return isinstance(self.schema, dict) and keyword in self.schema

    def get(self, keyword: str, default: Any = None) -> Any:
        return self.schema.get(keyword, default) if isinstance(self.schema, dict) else default

    def count(self, keyword: str) -> int | None:
        if isinstance(self.schema, bool):  # the library leaves zeros in the limits of a boolean schema
            return 0
        return None if keyword not in self.schema else int(self.schema[keyword])

    def schemas(self, keyword: str) -> list[Schema]:
        found: list[Schema] = self.get(keyword, [])
        return found

    def conditional(self, keyword: str) -> bool:
        decided = self.get("if") is not None and (self.get("then") is not None or self.get("else") is not None)
        return decided and self.get(keyword) is not None


def _narrower(given: _Part, expected: _Part, least: str, most: str) -> bool:
    lower, upper = expected.count(least), expected.count(most)
    given_lower, given_upper = given.count(least), given.count(most)
    if lower is not None and (given_lower is None or given_lower < lower):
        return False
    return upper is None or (given_upper is not None and given_upper <= upper)


def _strings(given: _Part, expected: _Part, strict: bool) -> bool:
    if expected.has("enum"):
        allowed, values = expected.get("enum"), given.get("enum", [])
        if not all(isinstance(value, str) for value in [*allowed, *values]) or not {"", *allowed}.issuperset(values):
            return False
    if expected.has("pattern") and given.get("pattern") != expected.get("pattern"):
        return False
    return given.get("format") == expected.get("format") and _narrower(given, expected, "minLength", "maxLength")


def _numbers(given: _Part, expected: _Part, strict: bool) -> bool:
    if strict and any(part.has(key) for part in (given, expected) for key in ("exclusiveMinimum", "exclusiveMaximum")):
        return False
    one, other = given.get("multipleOf"), expected.get("multipleOf")
    if (one is None) != (other is None):
        return False
    if other is not None and (int(other) == 0 or int(one) % int(other) or (strict and (one % 1 or other % 1))):
        return False
    least, most = expected.get("minimum"), expected.get("maximum")
    if least is not None and given.get("minimum", least - 1) < least:
        return False
    return most is None or given.get("maximum", most + 1) <= most


def _constants(given: _Part, expected: _Part) -> bool:
    if not isinstance(expected.schema, dict) or "const" not in expected.schema:
        return True
    one, other = given.get("const", _constants), expected.schema["const"]
    return type(one) is type(other) and bool(one == other)
