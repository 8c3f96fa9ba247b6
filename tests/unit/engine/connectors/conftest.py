"""Benches whose connectors are served by `pyflyte serve connector`, or by the engine itself."""

from __future__ import annotations

import asyncio
import os
import socket
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from flytelite.connector_settings import ConnectorSettings

from .jobs import Place

HERE = Path(__file__).parent


@pytest.fixture(scope="module")
def service(tmp_path_factory):
    """The address of a real `pyflyte serve connector`."""
    ports = []
    for _ in range(2):
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            ports.append(probe.getsockname()[1])
    program = Path(sys.executable).with_name("pyflyte")
    screen = tmp_path_factory.mktemp("service") / "screen"
    with screen.open("wb") as output:
        process = subprocess.Popen(
            [
                program,
                "serve",
                "connector",
                "--modules",
                "filing",
                f"--port={ports[0]}",
                f"--prometheus_port={ports[1]}",
            ],
            env={**os.environ, "PYTHONPATH": str(HERE)},
            stdout=output,
            stderr=subprocess.STDOUT,
            cwd=HERE,
        )

    async def answers() -> None:
        from flytelite.engine.connectors.client import ServiceClient, ServiceFailed

        client = ServiceClient(ConnectorSettings(f"127.0.0.1:{ports[0]}", timeout=1))
        async with asyncio.timeout(60):
            while True:
                assert process.poll() is None, screen.read_text()
                try:
                    await client.agents()
                except ServiceFailed:
                    await asyncio.sleep(0.1)
                else:
                    break
        await client.close()

    asyncio.run(answers())
    yield f"127.0.0.1:{ports[0]}"
    process.terminate()
    process.wait(20)


@pytest.fixture
def served(bench, service):
    bench.settings = replace(bench.settings, connectors=(ConnectorSettings(service),))
    return bench


@pytest.fixture
def alone(bench, monkeypatch):
    """No service but the engine's own, which is started when it is needed."""
    monkeypatch.setenv("PYTHONPATH", str(HERE))
    bench.settings.data_dir.mkdir(parents=True, exist_ok=True)
    bench.settings = replace(bench.settings, connector_modules=("filing",))
    return bench


@pytest.fixture
def place(tmp_path):
    (tmp_path / "job").mkdir()
    found = Place(tmp_path / "job")
    found.state("RUNNING")
    return found
