from __future__ import annotations

import asyncio
from pathlib import Path

import httpx
import pytest
from starlette.applications import Starlette

from flytelite.server.admin.changes import Changes
from flytelite.server.rest.live import live_routes


def get(root: Path, path: str) -> httpx.Response:
    def log_path(project: str, domain: str, execution: str, node: str, attempt: int) -> Path:
        if ".." in (project, domain, execution, node):
            raise ValueError("no")
        return root / project / domain / execution / node / str(attempt)

    app = Starlette(routes=live_routes(Changes(), lambda id: None, log_path))

    async def ask() -> httpx.Response:
        async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://localhost") as client:
            return await client.get(path)

    return asyncio.run(ask())


def test_a_log(tmp_path):
    (tmp_path / "p/d/e/n0").mkdir(parents=True)
    (tmp_path / "p/d/e/n0/1").write_text("hello\n")
    answer = get(tmp_path, "/logs/p/d/e/n0/1")
    assert (answer.status_code, answer.text) == (200, "hello\n")
    assert get(tmp_path, "/logs/p/d/e/n0/2").status_code == 404


@pytest.mark.parametrize(
    ("headers", "length"), [([], 200_000), ([(b"range", b"bytes=0-"), (b"if-range", b'"another"')], 200_000)]
)
def test_a_log_that_grows_while_it_is_sent_is_as_long_as_its_headers_say(tmp_path, headers, length):
    (tmp_path / "1").write_bytes(b"x" * length)
    app = Starlette(routes=live_routes(Changes(), lambda id: None, lambda *_: tmp_path / "1"))
    scope = {"type": "http", "method": "GET", "path": "/logs/p/d/e/n0/1", "headers": headers, "query_string": b""}
    sent: list[dict[str, object]] = []

    async def receive():
        await asyncio.Event().wait()

    async def send(message):
        sent.append(message)
        with (tmp_path / "1").open("ab") as file:
            file.write(b"y" * 100_000)

    asyncio.run(app(scope, receive, send))
    assert (b"content-length", str(length).encode()) in sent[0]["headers"]
    assert b"".join(message["body"] for message in sent[1:]) == b"x" * length


@pytest.mark.parametrize(
    ("path", "status"),
    [
        ("p/d/e/n0/x", 400),
        ("p/d/e/n0/" + "9" * 5000, 400),
        ("p/d/%2E%2E/n0/1", 400),
        ("p/d/e/" + "n" * 5000 + "/1", 404),
    ],
)
def test_paths_that_lead_nowhere(tmp_path, path, status):
    assert get(tmp_path, f"/logs/{path}").status_code == status


def test_changes_of_an_unknown_execution(tmp_path):
    assert get(tmp_path, "/flytelite/v1/executions/p/d/e/events").status_code == 404
