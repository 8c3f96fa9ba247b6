"""Downloads of what is being written: a task publishes its deck while it runs."""

from __future__ import annotations

import asyncio
from urllib.parse import unquote, urlsplit

import pytest
from starlette.applications import Starlette

from flytelite.config import Settings
from flytelite.server.objects import Bucket
from flytelite.server.rest.object_routes import object_routes


@pytest.mark.parametrize("length", [0, 100, 200_000])
def test_an_object_that_grows_while_it_is_sent_is_as_long_as_its_headers_say(tmp_path, length):
    bucket = Bucket.open(Settings(data_dir=tmp_path, port=1234))
    deck = bucket.path("deck.html")
    deck.write_bytes(b"x" * length)
    url = urlsplit(bucket.sign("GET", str(deck), 60).url)
    scope = {
        "type": "http",
        "method": "GET",
        "path": unquote(url.path),
        "headers": [],
        "query_string": url.query.encode(),
    }
    sent: list[dict[str, object]] = []

    async def receive():
        await asyncio.Event().wait()

    async def send(message):
        sent.append(message)
        if len(sent) < 5:
            with deck.open("ab") as file:
                file.write(b"y" * 100_000)

    asyncio.run(Starlette(routes=object_routes(bucket))(scope, receive, send))
    assert (b"content-length", str(length).encode()) in sent[0]["headers"]
    assert b"".join(message["body"] for message in sent[1:]) == b"x" * length
