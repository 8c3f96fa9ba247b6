"""Whether a store can be reached is found out at once, and said clearly."""

from __future__ import annotations

import socket

import pytest

from flytelite.engine.tasks import stores
from flytelite.engine.tasks.refusals import BadTaskFormat


@pytest.fixture
def closed_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def test_directories_of_this_machine_are_not_asked(tmp_path):
    stores.check(str(tmp_path), {})
    stores.check(f"file://{tmp_path}", {})


def test_a_kind_that_there_is_not():
    with pytest.raises(BadTaskFormat, match=r"\[nosuch://bucket\].*nosuch"):
        stores.check("nosuch://bucket", {})


def test_a_store_that_does_not_answer(closed_port):
    env = {"FLYTE_AWS_ENDPOINT": f"http://127.0.0.1:{closed_port}"}
    with pytest.raises(OSError, match=f"s3://bucket/x.*127.0.0.1:{closed_port}.*raw_output_prefix"):
        stores.check("s3://bucket/x", env)
    stores.check("s3://bucket/x", {**env, "HTTPS_PROXY": "http://proxy"})


def test_a_store_that_answers():
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        stores.check("s3://bucket/x", {"AWS_ENDPOINT_URL": f"http://127.0.0.1:{port}"})
        stores.check("gs://bucket/x", {"STORAGE_EMULATOR_HOST": f"127.0.0.1:{port}"})
    stores.check("memory://x", {})
