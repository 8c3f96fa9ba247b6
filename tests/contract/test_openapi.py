"""The server's OpenAPI document is valid, and schemathesis, which knows nothing else of it, finds no server error.

That every answer of the API fits the document is also checked where the answers are: in ``rpcs/test_rows.py``.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from typing import Any

import httpx
import pytest
import requests
from hypothesis import HealthCheck, given, settings

from flytelite.server.rest.routes import Routes

from .rpcs.server import Server, running
from .rpcs.ways import JSON
from .rpcs.words import DOMAIN, HAVE_ATTEMPT, PROJECT, VERSION


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with running(tmp_path_factory.mktemp("openapi")) as started:
        yield started


@pytest.fixture(scope="module")
def schema(server: Server) -> Any:
    import schemathesis  # here, for it takes seconds

    answer = httpx.get(f"http://{server.target}/api/v1/openapi")
    assert answer.headers["content-type"] == JSON
    return schemathesis.openapi.from_dict(answer.json())


def test_the_document_is_valid(schema: Any):
    schema.validate()


def test_the_document_has_every_route(schema: Any):
    assert len([result.ok() for result in schema.get_all_operations()]) == len(Routes().all)


def examine(server: Server, schema: Any, each: int, modes: list[str]) -> Counter[int]:
    """Send each operation so many requests of each mode, and so many again that name what exists; the answers."""
    from schemathesis import GenerationMode

    answers: Counter[int] = Counter()
    with requests.Session() as session:
        for operation in (result.ok() for result in schema.get_all_operations()):
            says_something = any(operation.iter_parameters()) or operation.body
            for mode in modes if says_something else ["positive"]:
                for path_parameters in ({}, existing(operation)):
                    cases = operation.as_strategy(
                        generation_mode=GenerationMode(mode), path_parameters=path_parameters or None
                    )
                    server.world(HAVE_ATTEMPT)
                    answers += send_cases(server, cases, each, session)
    return answers


def existing(operation: Any) -> dict[str, str]:
    """What HAVE_ATTEMPT made, as path parameters."""
    names = [parameter.name for parameter in operation.path_parameters]
    words = {"project": PROJECT, "domain": DOMAIN, "version": VERSION, "node_id": "n0", "attempt": "0", "workflow": "x"}
    found = {name: word for name in names for end, word in words.items() if name.endswith(end)}
    has_versions = any(word in operation.path for word in ("/tasks/", "/workflows/", "plans/", "entities/"))
    return found | {
        name: "double" if has_versions or "task_id" in name else "run" for name in names if name.endswith("name")
    }


def send_cases(server: Server, cases: Any, each: int, session: requests.Session) -> Counter[int]:
    """Raises what schemathesis finds: a server error, or an answer that the document does not describe."""
    from schemathesis.checks import not_a_server_error
    from schemathesis.specs.openapi import checks

    described = [checks.status_code_conformance, checks.content_type_conformance, checks.response_schema_conformance]
    answers: Counter[int] = Counter()

    @settings(
        max_examples=each, derandomize=True, database=None, deadline=None, suppress_health_check=list(HealthCheck)
    )
    @given(case=cases)
    def send(case: Any) -> None:
        response = case.call(base_url=f"http://{server.target}", session=session, headers={"Accept": JSON})
        answers[response.status_code] += 1
        # 501 is the gateway's answer to what is not there, such as authentication.
        allowed = [] if response.status_code == 501 else [not_a_server_error]
        case.validate_response(response, checks=[*described, *allowed])

    send()
    return answers


def test_schemathesis_finds_nothing(server: Server, schema: Any):
    answers = examine(server, schema, 2, ["positive"])
    assert answers[200] > 20


@pytest.mark.soak
@pytest.mark.timeout(1200)
def test_schemathesis_finds_nothing_in_more_time(server: Server, schema: Any):
    answers = examine(server, schema, 12, ["positive", "negative"])
    assert answers[200] > 200
