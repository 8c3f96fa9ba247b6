"""The REST gateway over the one port, with raw HTTP."""

from __future__ import annotations

import json
import socket
import subprocess

import httpx
import pytest
from flyteidl.admin import common_pb2, execution_pb2, project_pb2, task_pb2
from flyteidl.core import identifier_pb2
from google.rpc import status_pb2


@pytest.fixture(scope="module")
def client(transports):
    with httpx.Client(base_url=transports.url) as client:
        yield client


def last_seen(transports):
    return transports.handlers.seen[-1]


def test_default_answer_is_camel_case(client):
    answer = client.get("/api/v1/version")
    assert answer.headers["content-type"] == "application/json"
    assert answer.headers["grpc-metadata-content-type"] == "application/grpc"
    assert answer.json() == {"controlPlaneVersion": {"Build": "b", "Version": "v1", "BuildTime": "t"}}


def test_accept_json_alone_means_snake_case(client):
    assert "control_plane_version" in client.get("/api/v1/version", headers={"Accept": "application/json"}).json()
    browser = {"Accept": "application/json, text/plain, */*"}
    assert "controlPlaneVersion" in client.get("/api/v1/version", headers=browser).json()


def test_unset_fields_are_written(client):
    answer = client.get("/api/v1/projects", headers={"Accept": "application/json"}).json()
    assert answer == {
        "projects": [
            {
                "id": "flytesnacks",
                "name": "flytesnacks",
                "domains": [],
                "description": "",
                "labels": {"values": {"team": "x"}},
                "state": "ACTIVE",
                "org": "",
            }
        ],
        "token": "",
    }


def test_unset_messages_are_null(client):
    client.post("/api/v1/tasks", json={"id": {"name": "nulls"}})
    answer = client.get("/api/v1/tasks/p/d/nulls/v", headers={"Accept": "application/json"}).json()
    assert answer["closure"] is None
    assert answer["short_description"] == "é"


def test_binary_answer_and_binary_error(client):
    headers = {"Accept": "application/octet-stream"}
    answer = client.get("/api/v1/projects", headers=headers)
    assert answer.headers["content-type"] == "application/octet-stream"
    assert project_pb2.Projects.FromString(answer.content).projects[0].id == "flytesnacks"
    missing = client.get("/api/v1/tasks/p/d/absent/v", headers=headers)
    assert missing.status_code == 404
    status = status_pb2.Status.FromString(missing.content)
    assert (status.code, status.message) == (5, "missing entity of type TASK with identifier absent")


def test_binary_body(client, transports):
    body = task_pb2.TaskCreateRequest(id=identifier_pb2.Identifier(name="binary", version="1"))
    answer = client.post(
        "/api/v1/tasks", content=body.SerializeToString(), headers={"Content-Type": "application/octet-stream"}
    )
    assert (answer.status_code, answer.content) == (200, b"")
    assert last_seen(transports) == body
    broken = client.post("/api/v1/tasks", content=b"\xff\xff", headers={"Content-Type": "application/octet-stream"})
    assert broken.status_code == 400
    assert status_pb2.Status.FromString(broken.content).code == 3


def test_delete_carries_a_body_and_the_path_wins(client, transports):
    body = execution_pb2.ExecutionTerminateRequest(cause="enough")
    body.id.name = "from the body"
    answer = client.request(
        "DELETE",
        "/api/v1/executions/p/d/n?cause=ignored",
        content=body.SerializeToString(),
        headers={"Content-Type": "application/octet-stream"},
    )
    assert answer.status_code == 200
    seen = last_seen(transports)
    assert (seen.id.project, seen.id.domain, seen.id.name, seen.cause) == ("p", "d", "n", "enough")


def test_json_body_takes_both_spellings_and_enum_numbers(client, transports):
    body = {
        "id": {"resourceType": 1, "name": "both"},
        "spec": {"template": {"task_type_version": 3, "securityContext": {}}},
    }
    body["id"]["project"] = None
    answer = client.post("/api/v1/tasks", json=body)
    assert (answer.status_code, answer.json()) == (200, {})
    seen = last_seen(transports)
    assert (seen.id.resource_type, seen.spec.template.task_type_version) == (1, 3)
    assert seen.spec.template.HasField("security_context")


def test_unknown_json_fields(client):
    body = json.dumps({"id": {"name": "unknown-fields"}, "nonsense": 1})
    strict = client.post("/api/v1/tasks", content=body, headers={"Content-Type": "application/json; charset=utf-8"})
    assert (strict.status_code, strict.json()["code"]) == (400, 3)
    assert "nonsense" in strict.json()["message"]
    assert client.post("/api/v1/tasks", content=body).status_code == 200


@pytest.mark.parametrize(
    "body", [b"{", b"[]", b'"text"', b"\xff", b'{"id": 1}', b'{"id":{"name":"a","name":"b"}}', b"[" * 100_000]
)
def test_malformed_json(client, body):
    answer = client.post("/api/v1/tasks", content=body, headers={"Content-Type": "application/json"})
    assert (answer.status_code, answer.json()["code"]) == (400, 3)
    assert "flyteidl.admin.TaskCreateRequest" in answer.json()["message"]


def test_a_value_of_a_wrong_kind_is_refused_by_name(client):
    for content_type in ("application/json", "application/x-whatever"):
        answer = client.post("/api/v1/tasks", content=b'{"id": []}', headers={"Content-Type": content_type})
        assert (answer.status_code, answer.json()["code"]) == (400, 3)
        assert answer.json()["message"].endswith('parsing field "id": [] is not valid: an object is needed')


def test_empty_body_is_an_empty_message(client):
    answer = client.post("/api/v1/tasks")
    assert (answer.status_code, answer.json()["message"]) == (400, "missing name")


def test_body_above_the_limit(start):
    with start(max_message_bytes=1000) as started:
        answer = httpx.post(f"{started.url}/api/v1/tasks", content=b" " * 1001)
    assert (answer.status_code, answer.json()["code"]) == (429, 8)
    assert "max_message_bytes" in answer.json()["message"]


def test_errors_as_json(client):
    answer = client.post("/api/v1/events/nodes", json={}, headers={"Accept": "application/json"})
    assert answer.status_code == 400
    assert answer.json() == {
        "code": 9,
        "message": "already terminal",
        "details": [
            {
                "@type": "type.googleapis.com/flyteidl.admin.EventFailureReason",
                "already_in_terminal_state": {"current_phase": "SUCCEEDED"},
            }
        ],
    }


def test_codes(client):
    client.post("/api/v1/tasks", json={"id": {"name": "twice"}})
    assert client.post("/api/v1/tasks", json={"id": {"name": "twice"}}).status_code == 409
    bug = client.post("/api/v1/executions", json={})
    assert (bug.status_code, bug.json()["code"]) == (500, 13)


def test_unknown_path_and_wrong_verb(client):
    for path in ("/api/v1/nonsense", "/nowhere", "/api/v1/tasks/p"):
        answer = client.get(path)
        assert (answer.status_code, answer.json()) == (404, {"code": 5, "message": "Not Found", "details": []})
    answer = client.put("/api/v1/version")
    assert (answer.status_code, answer.json()["message"]) == (501, "Method Not Allowed")
    assert client.head("/api/v1/version").status_code == 501


@pytest.mark.parametrize("path", ["/me", "/config/v1/flyte_client", "/.well-known/oauth-authorization-server"])
def test_authentication_is_not_there(client, path):
    answer = client.get(path)
    assert (answer.status_code, answer.json()["code"]) == (501, 12)
    assert answer.json()["message"].startswith("unknown service flyteidl.service.")


def test_query_parameters(client, transports):
    query = (
        "limit=7&token=t&filters=eq(name,a)%2Beq(version,b)&sort_by.key=created_at&sort_by.direction=ASCENDING"
        "&id.resourceType=TASK&id.project=ignored&nonsense=1"
    )
    assert client.get(f"/api/v1/tasks/p/d/my.module.task?{query}").status_code == 200
    assert last_seen(transports) == common_pb2.ResourceListRequest(
        id=common_pb2.NamedEntityIdentifier(project="p", domain="d", name="my.module.task"),
        limit=7,
        token="t",
        filters="eq(name,a)+eq(version,b)",
        sort_by=common_pb2.Sort(key="created_at", direction=common_pb2.Sort.ASCENDING),
    )


def test_additional_binding_and_enum_numbers(client, transports):
    assert client.get("/api/v1/tasks/p/d?sortBy.direction=1").status_code == 200
    seen = last_seen(transports)
    assert (seen.id.name, seen.sort_by.direction) == ("", common_pb2.Sort.ASCENDING)


@pytest.mark.parametrize("query", ["limit=x", "limit=-1", "limit=1&limit=2", "sort_by.direction=UP", "limit", "id=x"])
def test_unusable_query(client, query):
    answer = client.get(f"/api/v1/tasks/p/d?{query}")
    assert (answer.status_code, answer.json()["code"]) == (400, 3)


def test_path_is_decoded_before_it_is_split(client, transports):
    client.get("/api/v1/tasks/p/d/a%252Fb/v:1@x.%C3%A9")
    seen = last_seen(transports)
    assert (seen.id.name, seen.id.version) == ("a%2Fb", "v:1@x.é")
    client.get("/api/v1/tasks/p/d/a%0Ab%00/v")
    assert last_seen(transports).id.name == "a\nb\0"
    assert client.get("/api/v1/tasks/p/d/a%2Fb/c").status_code == 404


def raw_path(transports, path: str) -> httpx.Response:
    """What http clients would tidy up themselves."""
    with socket.create_connection(("127.0.0.1", transports.port), timeout=10) as connection:
        connection.sendall(f"GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n".encode())
        received = b""
        while chunk := connection.recv(65536):
            received += chunk
    head, _, body = received.partition(b"\r\n\r\n")
    status, *lines = head.decode().split("\r\n")
    headers = [tuple(line.split(": ", 1)) for line in lines]
    return httpx.Response(int(status.split()[1]), headers=headers, content=body)


@pytest.mark.parametrize(
    ("path", "clean"),
    [
        ("/api//v1/version?a=b%20c", "/api/v1/version?a=b%20c"),
        ("/api/v1/x/../version", "/api/v1/version"),
        ("//version", "/version"),
        ("/api/./v1/p%20q/", "/api/v1/p%20q/"),
        ("/%2e%2e/%2Fversion", "/version"),
    ],
)
def test_untidy_paths_are_redirected(transports, path, clean):
    answer = raw_path(transports, path)
    assert (answer.status_code, answer.headers["location"]) == (307, clean)


def test_healthcheck_and_metrics(client):
    answer = client.get("/healthcheck")
    assert (answer.status_code, answer.content) == (200, b"")
    client.get("/api/v1/tasks/p/d/absent/v")
    text = client.get("/metrics").text
    label = 'grpc_method="GetTask",grpc_service="flyteidl.service.AdminService",grpc_type="unary"'
    assert f'grpc_server_handled_total{{grpc_code="NotFound",{label}}} ' in text
    assert f"grpc_server_handling_seconds_count{{{label}}} " in text


def test_curl_works(transports):
    """The client people really use; it sends Accept: */*."""
    answer = subprocess.run(
        ["curl", "-s", f"{transports.url}/api/v1/version"], capture_output=True, check=True, timeout=30
    )
    assert json.loads(answer.stdout)["controlPlaneVersion"]["Version"] == "v1"


def refusal(client, method="GET", path="/api/v1/version", **headers) -> int:
    return client.request(method, path, headers={k.replace("_", "-"): v for k, v in headers.items()}).status_code


@pytest.mark.parametrize("host", ["localhost", "localhost:1", "127.0.0.1:30080", "[::1]:30080", "[::1]", "LOCALHOST"])
def test_local_hosts_are_served(client, host):
    assert refusal(client, Host=host) == 200


@pytest.mark.parametrize("host", ["evil.example", "localhost.evil.example:30080", "127.0.0.1.nip.io", "[::2]", ""])
def test_foreign_hosts_are_refused(client, host):
    answer = client.get("/healthcheck", headers={"Host": host})
    assert answer.status_code == 403
    assert "allowed_hosts" in answer.text


def test_allowed_hosts(start):
    with start(allowed_hosts=("box.lan",)) as started:
        for host, status in {"box.lan": 200, "box.lan:30080": 200, "BOX.lan": 200, "other.lan": 403}.items():
            assert httpx.get(f"{started.url}/healthcheck", headers={"Host": host}).status_code == status


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "PATCH"])
def test_foreign_pages_change_nothing(client, transports, method):
    for origin in ("https://evil.example", "null", "http://localhost:9999"):
        answer = client.request(method, "/api/v1/tasks", headers={"Origin": origin}, json={"id": {"name": "evil"}})
        assert answer.status_code == 403
        assert "allowed_origins" in answer.text
        assert "access-control-allow-origin" not in answer.headers
    assert "evil" not in transports.handlers.tasks


def test_trusted_pages_may(client, transports):
    own = f"http://127.0.0.1:{transports.port}"
    for number, origin in enumerate((own, "http://console.local:3000")):
        answer = client.post("/api/v1/tasks", headers={"Origin": origin}, json={"id": {"name": f"trusted-{number}"}})
        assert answer.status_code == 200
        assert answer.headers["access-control-allow-origin"] == origin
        assert answer.headers["access-control-allow-credentials"] == "true"


def test_foreign_pages_may_not_read(client):
    answer = client.get("/api/v1/version", headers={"Origin": "https://elsewhere.example"})
    assert "access-control-allow-origin" not in answer.headers  # so the browser keeps the answer from the page
    assert "access-control-allow-origin" not in client.get("/api/v1/version").headers


def test_preflights(client):
    def preflight(method, headers="", origin="http://console.local:3000"):
        asked = {"Origin": origin, "Access-Control-Request-Headers": headers}
        if method:
            asked["Access-Control-Request-Method"] = method
        return client.options("/api/v1/tasks", headers=asked)

    answer = preflight("PUT", "content-type, flyte-authorization, accept")
    assert (answer.status_code, answer.content) == (200, b"")
    assert answer.headers["access-control-allow-headers"] == "content-type,flyte-authorization"
    assert answer.headers["access-control-allow-methods"] == "PUT"
    assert answer.headers["access-control-allow-origin"] == "http://console.local:3000"
    assert "access-control-allow-methods" not in preflight("POST").headers
    assert preflight(None).status_code == 400
    assert preflight("TRACE").status_code == 405
    assert preflight("POST", "x-evil").status_code == 403
    assert preflight("GET", origin="https://evil.example").status_code == 200
    assert preflight("POST", origin="https://evil.example").status_code == 403


@pytest.mark.parametrize(
    "content_type", ["application/x-www-form-urlencoded", "multipart/form-data; boundary=x", "text/plain;charset=UTF-8"]
)
def test_forms_are_refused(client, content_type):
    answer = client.post("/api/v1/tasks", content=b"{}", headers={"Content-Type": content_type})
    assert answer.status_code == 415
    assert "application/json" in answer.text
