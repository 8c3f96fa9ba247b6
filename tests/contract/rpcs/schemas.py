"""The server's OpenAPI document, as a judge of what the server answers."""

from __future__ import annotations

from functools import cache

from jsonschema_rs import Draft202012Validator

from flytelite.server.rest.openapi import openapi_document

COMPONENTS = openapi_document()["components"]


@cache
def schema(message: str) -> Draft202012Validator:
    """Judges the JSON of a message of that name. Fields that the message does not have do not fit."""
    return Draft202012Validator({"$ref": f"#/components/schemas/{message}", "components": COMPONENTS})
