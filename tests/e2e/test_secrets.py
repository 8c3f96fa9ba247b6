"""Secrets from the command line to the task, and that they are nowhere else."""

from __future__ import annotations

import gzip
import subprocess
import urllib.request
from pathlib import Path
from typing import Any


def test_set_used_masked_and_never_kept(
    tmp_path: Path, launch: Any, connect: Any, flytelite: Any, environ: dict[str, str]
) -> None:
    password, token = "correct-horse-battery", "staple-0123456789"
    command = [*flytelite.command, "secrets", "set", "db", "password", "--data-dir", str(tmp_path / "data")]
    subprocess.run(command, input=f"{password}\n", text=True, check=True, env=environ)
    server = launch(tmp_path / "data")
    client = connect(server)
    failed = client.run("vault.measured")
    assert failed.closure.error.code == "SecretNotFound"
    assert "flytelite secrets set api token" in failed.closure.error.message

    command[command.index("set") + 1 : command.index("--data-dir")] = ["api", "token", "-p", "flytesnacks"]
    subprocess.run(command, input=token, text=True, check=True, env=environ)
    done = client.run("vault.measured")
    assert client.phase(done) == "SUCCEEDED", done.closure.error
    assert done.outputs["o0"] == len(password) + len(token)
    (attempt,) = client.attempts(done)
    (link,) = [log.uri for log in attempt.closure.logs if log.name == "task log"]
    with urllib.request.urlopen(link) as answer:
        assert "the password is ***, the token ***" in answer.read().decode()

    archive = tmp_path / "all.tar.gz"
    flytelite("export", archive, "--data-dir", tmp_path / "data", env={"FLYTELITE_ENDPOINT": server.endpoint})
    server.stop()
    kept = [path for path in (tmp_path / "data").rglob("*") if path.is_file() and "secrets" not in path.parts]
    contents = [gzip.decompress(archive.read_bytes()), server.printed().encode(), *(path.read_bytes() for path in kept)]
    assert len(kept) > 10
    assert not any(value.encode() in content for content in contents for value in (password, token))
