"""A task of a connector, over the death of the server."""

from __future__ import annotations

import json
import shutil
import signal
from pathlib import Path
from typing import Any

CONNECTORS = Path(__file__).parents[1] / "unit/engine/connectors/filing.py"


def test_the_same_job_is_watched_on_after_kill_9(tmp_path: Path, launch: Any, connect: Any, wait_until: Any) -> None:
    shutil.copy2(CONNECTORS, tmp_path)  # the folder of the server, which its connector service imports from
    (tmp_path / "flytelite.yaml").write_text("connector_modules: [filing]\n")
    job = tmp_path / "job"
    job.mkdir()
    (job / "state").write_text(json.dumps({"phase": "RUNNING", "logs": ["http://there/1"]}))
    server = launch(tmp_path / "data")
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
