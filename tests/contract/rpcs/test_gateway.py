"""What clients put into URLs, over a real control plane: numbers of enums, styles of names, durations, plus signs."""

from __future__ import annotations

from collections.abc import Iterator

import httpx
import pytest

from .server import Server
from .words import HAVE_ATTEMPT, HAVE_TASK, task

LISTS = "/api/v1/tasks/flytesnacks/development"
NAMED = "/api/v1/named_entities/{}/flytesnacks/development/double"


@pytest.fixture
def client(server: Server) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=f"http://{server.target}", timeout=30) as client:
        yield client


def test_enums_in_paths_by_name_and_number(server: Server, client: httpx.Client):
    server.world(HAVE_TASK)
    by_number, by_name = client.get(NAMED.format(1)), client.get(NAMED.format("TASK"))
    assert by_number.status_code == 200
    assert by_number.json() == by_name.json()
    assert by_number.json()["resourceType"] == "TASK"
    for other in ("99", "-1", "task", "1.0"):
        refused = client.get(NAMED.format(other))
        assert (refused.status_code, refused.json()["code"]) == (400, 3)
        assert "resource_type" in refused.json()["message"]


def test_a_plus_is_a_space_and_an_encoded_one_joins_filters(server: Server, client: httpx.Client):
    server.world((*HAVE_TASK, task(version="v2")))
    joined = client.get(f"{LISTS}?limit=10&filters=eq(name,double)%2Beq(version,v2)")
    assert [found["id"]["version"] for found in joined.json()["tasks"]] == ["v2"]
    spaced = client.get(f"{LISTS}?limit=10&filters=eq(name,double)+eq(version,v2)")
    assert spaced.status_code == 400
    assert "unrecognized filter function: eq(name,double) eq" in spaced.json()["message"]


def test_names_in_any_mixture_of_styles(server: Server, client: httpx.Client):
    server.world((*HAVE_TASK, task(version="v2")))
    for query in ("sort_by.key=version&sort_by.direction=1", "sortBy.key=version&sort_by.direction=ASCENDING"):
        answer = client.get(f"{LISTS}?limit=10&{query}&nonsense=1&id.project=other")
        assert [found["id"]["version"] for found in answer.json()["tasks"]] == ["v1", "v2"]


def test_nested_and_camel_names_as_flyteconsole_mixes_them(server: Server, client: httpx.Client):
    server.world(HAVE_ATTEMPT)
    path = "/api/v1/node_executions/flytesnacks/development/run"
    assert len(client.get(f"{path}?limit=10&sort_by.key=created_at").json()["nodeExecutions"]) == 1
    below = client.get(f"{path}?limit=10&uniqueParentId=n0&sort_by.direction=ASCENDING&sort_by.key=created_at")
    assert below.json() == {"nodeExecutions": [], "token": ""}
    unknown = client.get(f"{path}?limit=10&unique_parent_id=n9")
    assert (unknown.status_code, unknown.json()["code"]) == (404, 5)


@pytest.mark.parametrize(
    ("written", "status"), [("60s", 200), ("1m0s", 200), ("0.5h", 200), ("60", 400), ("soon", 400), ("2h", 400)]
)
def test_durations(server: Server, client: httpx.Client, written: str, status: int):
    native_url = f"{server.world().bucket_path}/x"
    asked = client.get("/api/v1/dataproxy/artifact_urn", params={"native_url": native_url, "expires_in": written})
    assert asked.status_code == status, asked.text


def test_verbs(client: httpx.Client):
    for verb in ("HEAD", "PUT", "PATCH", "DELETE"):
        assert client.request(verb, LISTS).status_code == 501
    assert client.request("POST", f"{LISTS}/double/v1").json() == {
        "code": 12,
        "message": "Method Not Allowed",
        "details": [],
    }
    assert client.get("/api/v1/tasks/").status_code == 404


def test_a_name_with_a_slash_is_two_segments(server: Server, client: httpx.Client):
    server.world(HAVE_TASK)
    assert client.get(f"{LISTS}/double/v1").status_code == 200
    assert client.get(f"{LISTS}/dou%2Fble/v1").json() == {"code": 5, "message": "Not Found", "details": []}
    missing = client.get(f"{LISTS}/dou%252Fble/v1").json()
    assert missing["code"] == 5
    assert '"dou%2Fble"' in missing["message"]
