"""Secrets from the command line to the task, and that they are nowhere else."""

from __future__ import annotations

import gzip
import os
import re
import subprocess
import sys
import urllib.request
from pathlib import Path
from typing import Any


def test_set_used_masked_and_never_kept(
    tmp_path: Path, launch: Any, connect: Any, flytelite: Any, environ: dict[str, str]
) -> None:
    password, token = "correct-horse-battery", "staple-0123456789"
    data, elsewhere = tmp_path / "the data", tmp_path / "elsewhere"
    elsewhere.mkdir()
    command = [*flytelite.command, "secrets", "set", "db", "password", "--data-dir", str(data)]
    subprocess.run(command, input=f"{password}\n", text=True, check=True, env=environ)
    server = launch(data)
    client = connect(server)
    failed = client.run("vault.measured")
    assert failed.closure.error.code == "SecretNotFound"
    told = re.search("Set it with `(flytelite secrets set api token .*?)`", failed.closure.error.message)
    assert told, failed.closure.error.message

    path = os.pathsep.join([str(Path(sys.executable).parent), environ["PATH"]])  # as a person has it
    for_project, env = f"{told[1]} -p flytesnacks", {**environ, "PATH": path}
    subprocess.run(for_project, shell=True, input=token, text=True, check=True, env=env, cwd=elsewhere)
    done = client.run("vault.measured")
    assert client.phase(done) == "SUCCEEDED", done.closure.error
    assert done.outputs["o0"] == len(password) + len(token)
    (attempt,) = client.attempts(done)
    (link,) = [log.uri for log in attempt.closure.logs if log.name == "task log"]
    with urllib.request.urlopen(link) as answer:
        assert "the password is ***, the token ***" in answer.read().decode()

    archive = tmp_path / "all.tar.gz"
    flytelite("export", archive, "--data-dir", data, env={"FLYTELITE_ENDPOINT": server.endpoint})
    server.stop()
    kept = [path for path in data.rglob("*") if path.is_file() and "secrets" not in path.parts]
    contents = [gzip.decompress(archive.read_bytes()), server.printed().encode(), *(path.read_bytes() for path in kept)]
    assert len(kept) > 10
    assert not any(value.encode() in content for content in contents for value in (password, token))
