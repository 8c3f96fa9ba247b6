from __future__ import annotations

import re

import orjson

from flytelite.server.rest.openapi import openapi_document
from flytelite.server.rest.routes import Routes

DOCUMENT = orjson.loads(orjson.dumps(openapi_document()))


def operations():
    for template, verbs in DOCUMENT["paths"].items():
        for verb, operation in verbs.items():
            yield template, verb, operation


def shape(template: str) -> str:
    return re.sub("{[^}]+}", "{}", template)


def test_every_route_is_an_operation_of_its_own():
    assert {(shape(t), v.upper()) for t, v, _ in operations()} == {(shape(r.template), r.verb) for r in Routes().all}
    ids = [operation["operationId"] for _, _, operation in operations()]
    assert len(ids) == len(set(ids))


def test_path_parameters_are_those_of_the_template():
    for template, _, operation in operations():
        names = [p["name"] for p in operation["parameters"] if p["in"] == "path"]
        assert names == re.findall(r"{([^}]+)}", template)
        assert all(p["required"] for p in operation["parameters"] if p["in"] == "path")
        everything = [(p["in"], p["name"]) for p in operation["parameters"]]
        assert len(everything) == len(set(everything))


def references(value):
    if isinstance(value, dict):
        if "$ref" in value:
            yield value["$ref"]
        for item in value.values():
            yield from references(item)
    elif isinstance(value, list):
        for item in value:
            yield from references(item)


def test_every_reference_leads_somewhere():
    schemas = DOCUMENT["components"]["schemas"]
    found = set(references(DOCUMENT))
    assert found
    for reference in found:
        name = reference.removeprefix("#/components/schemas/")
        assert name in schemas
        assert re.fullmatch(r"[a-zA-Z0-9._-]+", name)


def test_a_list_takes_filters_and_a_sort_key():
    operation = DOCUMENT["paths"]["/api/v1/executions/{id_project}/{id_domain}"]["get"]
    names = {parameter["name"] for parameter in operation["parameters"]}
    assert {"filters", "limit", "token", "sort_by.key", "sort_by.direction"} <= names
