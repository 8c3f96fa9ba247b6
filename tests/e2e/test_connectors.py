"""A task of a connector: over the death of the server, and on the command line."""

from __future__ import annotations

import json
import shutil
import signal
from pathlib import Path
from typing import Any

import pytest

CONNECTORS = Path(__file__).parents[1] / "unit/engine/connectors/filing.py"


@pytest.fixture(scope="module")
def connected(shared_launcher: Any, tmp_path_factory: pytest.TempPathFactory) -> Any:
    """A server with the connectors."""
    return serve(shared_launcher, tmp_path_factory.mktemp("connected"))


def test_the_same_job_is_watched_on_after_kill_9(tmp_path: Path, launch: Any, connect: Any, wait_until: Any) -> None:
    job = make_job(tmp_path, phase="RUNNING", logs=["http://there/1"])
    server = serve(launch, tmp_path)
    client = connect(server)
    execution = client.start("files.filed", place=str(job))

    def attempt() -> Any:
        found = client.attempts(execution)
        return found[0] if found and found[0].closure.phase == 2 else None  # RUNNING

    running = wait_until(attempt, "the job to be told of")
    assert [(log.name, log.uri) for log in running.closure.logs] == [("there", "http://there/1")]
    server.stop(signal.SIGKILL)
    (job / "state").write_text(json.dumps({"phase": "SUCCEEDED", "outputs": {"o0": 7}}))
    again = connect(launch(tmp_path / "data", port=server.port))
    done = again.wait(again.remote.fetch_execution(name=execution.id.name))
    assert again.phase(done) == "SUCCEEDED", done.closure.error
    assert done.outputs["o0"] == 7
    assert (job / "calls").read_text() == "create n0 flytesnacks-development\n"
    (last,) = again.attempts(done)
    assert last.closure.metadata.plugin_identifier == "connector-service"


def test_the_command_line_shows_the_links_of_the_job(
    connected: Any, flytelite: Any, projects: Path, tmp_path: Path
) -> None:
    job = make_job(tmp_path, phase="SUCCEEDED", logs=["http://there/1", "http://there/2"], outputs={"o0": 7})
    here = {"FLYTELITE_ENDPOINT": connected.endpoint}
    printed = flytelite("run", projects / "files/files.py", "filed", "--place", job, env=here).stdout
    lines = printed.splitlines()
    assert [line for line in lines if "http://there" in line] == [
        "  n0 file  there http://there/1",
        "  n0 file  there http://there/2",
    ]
    name = lines[-1].rpartition("/")[2]
    table = flytelite("ls", "nodes", name, env=here).stdout
    assert "there http://there/1, there http://there/2" in table


@pytest.mark.parametrize("phase", ["FAILED", "ABORTED", "RETRYABLE_FAILED"])
def test_run_says_what_the_connector_said_of_a_job_that_died(
    connected: Any, flytelite: Any, projects: Path, tmp_path: Path, phase: str
) -> None:
    job = make_job(tmp_path, phase=phase, message="no such table: orders", logs=["http://there/1"])
    here = {"FLYTELITE_ENDPOINT": connected.endpoint}
    printed = flytelite("run", projects / "files/files.py", "filed", "--place", job, env=here, code=1).stdout
    error = printed.partition("FAILED in node n0")[2].partition("logs")[0]
    assert "no such table: orders" in error
    assert "http://there/1" in printed


def serve(launch: Any, folder: Path) -> Any:
    """A server with the connectors, in a folder that its connector service imports from."""
    shutil.copy2(CONNECTORS, folder)
    (folder / "flytelite.yaml").write_text("connector_modules: [filing]\n")
    return launch(folder / "data")


def make_job(folder: Path, **state: Any) -> Path:
    """A job whose state is that."""
    job = folder / "job"
    job.mkdir()
    (job / "state").write_text(json.dumps(state))
    return job
