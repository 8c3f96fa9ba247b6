"""The OpenAPI document that the server hands out: it is valid, and what it allows gets proper answers.

That every answer of the API fits it is checked where the answers are: in ``rpcs/test_rows.py``.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from .fuzzing.client import Client, check_alive
from .fuzzing.documented import documented
from .rpcs.schemas import TYPES
from .rpcs.server import Server, running
from .rpcs.words import HAVE_ATTEMPT

SEED = "flytelite"
KEYWORDS = {"$ref", "additionalProperties", "anyOf", "enum", "examples", "format", "items", "properties", "type"}
"""Of JSON Schema; others would want to be checked here."""


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with running(tmp_path_factory.mktemp("openapi")) as started:
        yield started


@pytest.fixture(scope="module")
def document(server: Server) -> Any:
    answer = httpx.get(f"http://{server.target}/api/v1/openapi")
    assert answer.headers["content-type"] == "application/json"
    return answer.json()


@pytest.fixture(scope="module")
def operations(document: Any) -> list[tuple[str, str, Any]]:
    found = [(path, verb, operation) for path, verbs in document["paths"].items() for verb, operation in verbs.items()]
    assert len(found) > 60
    return found


def test_the_document_says_what_it_is(document: Any):
    assert document.keys() == {"openapi", "info", "paths", "components"}
    assert re.fullmatch(r"3\.1\.\d+", document["openapi"])
    assert all(isinstance(document["info"][name], str) for name in ("title", "version"))


def test_paths_are_distinct_whatever_their_variables_are_called(document: Any):
    assert all(path.startswith("/") for path in document["paths"])
    shapes = Counter(re.sub("{[^}]+}", "{}", path) for path in document["paths"])
    assert shapes.most_common(1)[0][1] == 1


def test_operations(operations: list[tuple[str, str, Any]]):
    for path, verb, operation in operations:
        assert verb in {"get", "put", "post", "delete"}
        assert operation.keys() <= {"operationId", "tags", "parameters", "requestBody", "responses"}
        places = [(parameter["in"], parameter["name"]) for parameter in operation["parameters"]]
        assert len(places) == len(set(places))
        assert {place for place, _ in places} <= {"path", "query"}
        assert [name for place, name in places if place == "path"] == re.findall("{([^}]+)}", path)
        assert all(parameter["required"] for parameter in operation["parameters"] if parameter["in"] == "path")
        assert operation["responses"].keys() == {"200", "default"}
        assert all(response["description"] for response in operation["responses"].values())
    ids = [operation["operationId"] for _, _, operation in operations]
    assert len(ids) == len(set(ids))


def test_schemas(document: Any, operations: list[tuple[str, str, Any]]):
    components = document["components"]["schemas"]
    assert all(re.fullmatch(r"[a-zA-Z0-9._-]+", name) for name in components)
    for schema in components.values():
        check_schema(document, schema)
    for _, _, operation in operations:
        for parameter in operation["parameters"]:
            check_schema(document, parameter["schema"])
        for holder in [*operation["responses"].values(), operation.get("requestBody", {"content": {}})]:
            for media_type, content in holder["content"].items():
                assert media_type == "application/json"
                check_schema(document, content["schema"])


def check_schema(document: Any, schema: Any) -> None:
    assert schema.keys() <= KEYWORDS
    if "$ref" in schema:
        assert schema.keys() == {"$ref"}
        name = schema["$ref"].removeprefix("#/components/schemas/")
        assert name in document["components"]["schemas"]
        return
    assert schema.get("type", "object") in TYPES
    assert ("items" in schema) == (schema.get("type") == "array")
    if "enum" in schema:
        assert schema["enum"]
        assert len(schema["enum"]) == len(set(schema["enum"]))
    inner = [*schema.get("properties", {}).values(), *schema.get("anyOf", ())]
    inner += [schema[name] for name in ("items", "additionalProperties") if isinstance(schema.get(name), dict)]
    for one in inner:
        check_schema(document, one)


def send_documented(server: Server, document: Any, each: int) -> Counter[str]:
    """Send so many requests for each operation."""
    outcomes: Counter[str] = Counter()
    client = Client(server.target)
    server.world(HAVE_ATTEMPT)
    try:
        for attempt in documented(document, SEED, each):
            try:
                outcomes[client.send(attempt)] += 1
            except Exception as error:
                pytest.fail(f"{error}\n{attempt}")
        check_alive(client)
    finally:
        client.close()
    return outcomes


def test_what_it_allows_is_answered(server: Server, document: Any):
    outcomes = send_documented(server, document, 3)
    assert outcomes["http 200"] > 5


@pytest.mark.soak
@pytest.mark.timeout(1200)
def test_much_of_what_it_allows_is_answered(server: Server, document: Any):
    outcomes = send_documented(server, document, 100)
    assert outcomes["http 200"] > 200
