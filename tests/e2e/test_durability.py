"""A server that keeps less: nothing at all, or for a second only what a killed process leaves."""

from __future__ import annotations

import re
import signal
from pathlib import Path
from typing import Any


def test_an_ephemeral_server_leaves_nothing(flytelite: Any, tmp_path: Path) -> None:
    screen = flytelite("up", "--ephemeral", "--detach", "--port", "0", cwd=tmp_path).stdout
    assert "NOTHING IS KEPT" in screen
    found = re.search(r"data directory +(\S+)", screen)
    assert found is not None
    data_dir = Path(found[1])
    assert (data_dir / "server.json").exists()
    assert not (data_dir / "store").exists()
    address = re.search(r"address +(\S+)", screen)
    assert address is not None
    (tmp_path / "flow.py").write_text("from flytekit import task\n\n\n@task\ndef one() -> int:\n    return 1\n")
    done = flytelite("run", "--endpoint", address[1], "flow.py", "one", cwd=tmp_path)
    assert "SUCCEEDED" in done.stdout
    flytelite("down", "--data-dir", data_dir)
    assert not data_dir.exists()
    assert not (tmp_path / ".flytelite").exists()


def test_commands_say_what_a_server_with_a_damaged_store_says(launch: Any, flytelite: Any, tmp_path: Path) -> None:
    (tmp_path / "flow.py").write_text("from flytekit import task\n\n\n@task\ndef one() -> int:\n    return 1\n")
    first = launch(tmp_path / "data")
    for version in ("v1", "v2"):  # what is damaged at the end was not written wholly, and is dropped
        flytelite("register", "--endpoint", first.endpoint, "--version", version, "flow.py", cwd=tmp_path)
    first.stop()
    (journal,) = (tmp_path / "data/store").glob("*.jsonl")
    content = bytearray(journal.read_bytes())
    content[content.index(b"\n") + 100] ^= 1  # in the second line
    journal.write_bytes(content)
    second = launch(tmp_path / "data")
    refused = flytelite("run", "--endpoint", second.endpoint, "flow.py", "one", cwd=tmp_path, code=1).stdout
    assert f"nothing can be changed: {journal}" in refused
    assert "`flytelite doctor`" in refused
    assert "no server answers" not in refused


def test_relaxed_durability_survives_a_kill(launch: Any, connect: Any, wait_until: Any, tmp_path: Path) -> None:
    first = launch(tmp_path / "data", "--durability", "relaxed")
    wait_until(lambda: "power loss may cost the last second" in first.printed(), "the warning")
    execution = connect(first).run("greetings.greeting", name="ada")
    first.stop(signal.SIGKILL)
    second = connect(launch(tmp_path / "data", "--durability", "relaxed"))
    found = second.remote.fetch_execution(name=execution.id.name)
    assert second.phase(found) == "SUCCEEDED"
