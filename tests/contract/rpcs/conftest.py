"""The server that all rows share."""

from __future__ import annotations

from collections.abc import Iterator

import grpc
import httpx
import pytest

from .server import Server, running
from .ways import BINARY, JSON, OverGrpc, OverRest


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with running(tmp_path_factory.mktemp("rpcs")) as started:
        yield started


@pytest.fixture(scope="session")
def channel(server: Server) -> Iterator[grpc.Channel]:
    # As flytekit's: it accepts that much of errors.
    with grpc.insecure_channel(server.target, options=[("grpc.max_metadata_size", 32 * 1024)]) as channel:
        yield channel


@pytest.fixture(scope="session")
def ways(server: Server, channel: grpc.Channel) -> Iterator[list[OverGrpc | OverRest]]:
    with httpx.Client(base_url=f"http://{server.target}", timeout=30) as client:
        yield [OverGrpc(channel), OverRest(client, JSON), OverRest(client, BINARY)]
