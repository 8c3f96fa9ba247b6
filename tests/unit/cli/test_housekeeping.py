"""Commands that a server of the data directory does, which may be an older one."""

from __future__ import annotations

import json
import os
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest

from flytelite.cli import application
from flytelite.server.data_directory import process_start_time


class Older(BaseHTTPRequestHandler):
    """What flytelite answered before it knew these routes."""

    def do_POST(self) -> None:
        body = b'{"code":5,"message":"Not Found","details":[]}'
        self.rfile.read(int(self.headers["Content-Length"]))
        self.send_response(404)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *arguments: object) -> None:
        pass


@pytest.fixture
def data_dir(tmp_path: Path) -> Iterator[Path]:
    """The data directory of such a server."""
    with HTTPServer(("127.0.0.1", 0), Older) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        running = {"pid": os.getpid(), "started": process_start_time(os.getpid()), "data_dir": str(tmp_path)}
        (tmp_path / "server.json").write_text(json.dumps({**running, "endpoint": f"127.0.0.1:{server.server_port}"}))
        yield tmp_path
        server.shutdown()


@pytest.mark.parametrize("command", [["clean", "--older-than", "1d"], ["export", "all.tar.gz"], ["import", "x.tar.gz"]])
def test_an_older_server_is_told(
    data_dir: Path, command: list[str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(data_dir)
    (data_dir / "x.tar.gz").write_bytes(b"x")
    assert application.run([*command, "--data-dir", str(data_dir)]) == 1
    told = capsys.readouterr().err
    assert "of a version that cannot do this; stop it with `flytelite down --data-dir .`" in told
