"""What CreateUploadLocation leads to, over a real control plane."""

from __future__ import annotations

from base64 import b64encode
from hashlib import md5
from pathlib import Path

import grpc
import httpx
import pytest
import requests
from flyteidl.service import dataproxy_pb2, dataproxy_pb2_grpc

from .server import Server
from .words import PROJECT

CONTENT = b"def main(): ...\n"
MD5 = md5(CONTENT, usedforsecurity=False).digest()


@pytest.fixture
def proxy(server: Server, channel: grpc.Channel) -> dataproxy_pb2_grpc.DataProxyServiceStub:
    server.world()
    return dataproxy_pb2_grpc.DataProxyServiceStub(channel)


@pytest.mark.parametrize("names", [{"filename": "main.py"}, {"filename": "a.py", "filename_root": "r"}, {}])
def test_only_the_content_that_was_promised_is_taken(
    proxy: dataproxy_pb2_grpc.DataProxyServiceStub, names: dict[str, str]
):
    location = proxy.CreateUploadLocation(
        dataproxy_pb2.CreateUploadLocationRequest(project=PROJECT, domain="development", content_md5=MD5, **names)
    )
    other = httpx.put(location.signed_url, content=b"other")
    assert (other.status_code, b64encode(MD5).decode() in other.text) == (400, True)
    dishonest = {"Content-MD5": b64encode(md5(b"other", usedforsecurity=False).digest()).decode()}
    assert httpx.put(location.signed_url, content=b"other", headers=dishonest).status_code == 403
    assert not Path(location.native_url).exists()
    assert httpx.put(location.signed_url, content=CONTENT, headers=dict(location.headers)).status_code == 200
    assert Path(location.native_url).read_bytes() == CONTENT


def test_any_content_is_taken_where_none_was_promised(proxy: dataproxy_pb2_grpc.DataProxyServiceStub):
    location = proxy.CreateUploadLocation(
        dataproxy_pb2.CreateUploadLocationRequest(project=PROJECT, domain="development", filename_root="data")
    )
    for content in (b"one", b"two"):
        assert httpx.put(location.signed_url, content=content).status_code == 200
        assert Path(location.native_url).read_bytes() == content


def test_an_empty_file_as_flytekit_sends_it(proxy: dataproxy_pb2_grpc.DataProxyServiceStub, tmp_path: Path):
    empty = tmp_path / "empty"
    empty.touch()
    location = proxy.CreateUploadLocation(
        dataproxy_pb2.CreateUploadLocationRequest(
            project=PROJECT, domain="development", filename="empty", content_md5=md5(usedforsecurity=False).digest()
        )
    )
    with requests.Session() as session:
        for _ in range(2):  # the connection cannot be used again, which the client has to see
            with empty.open("rb") as file:
                headers = {"Content-Length": "0", **location.headers}
                answer = session.put(location.signed_url, data=file, headers=headers, timeout=10)
            assert answer.status_code == 200
            assert answer.request.headers["Transfer-Encoding"] == "chunked"
    assert Path(location.native_url).read_bytes() == b""


def test_a_digest_that_is_no_base64_is_refused_by_name(server: Server):
    body = {"project": PROJECT, "domain": "development", "filename": "f", "content_md5": "!!!!"}
    answer = httpx.post(f"http://{server.target}/api/v1/dataproxy/artifact_urn", json=body)
    assert (answer.status_code, answer.json()["code"]) == (400, 3)
    assert 'parsing field "content_md5": "!!!!" is not valid' in answer.json()["message"]
