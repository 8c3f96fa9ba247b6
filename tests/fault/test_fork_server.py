"""SIGKILL of the fork server, of the server, and of both, while 50 attempts run."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import grpc
import pytest
from flyteidl.admin import common_pb2, execution_pb2
from flyteidl.core import literals_pb2
from flyteidl.core.execution_pb2 import WorkflowExecution
from flyteidl.service.admin_pb2_grpc import AdminServiceStub

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="fork servers are used on Linux only")

SCOPE = {"project": "flytesnacks", "domain": "development"}
WIDTH = 25
FLOW = f"""
import os, time
from pathlib import Path
from flytekit import task, workflow

@task
def hold(number: int, place: str) -> int:
    with open(f"{{place}}/{{os.environ['FLYTE_INTERNAL_EXECUTION_ID']}}-{{number}}", "a") as file:
        file.write("once ")
    while not Path(place, "go").exists():
        time.sleep(0.02)
    return number

@workflow
def wide(place: str) -> None:
    for number in range({WIDTH}):
        hold(number=number, place=place)
"""


def fork_server(server: int) -> int:
    for process in Path("/proc").glob("[0-9]*"):
        try:
            parent = int((process / "stat").read_text().rpartition(")")[2].split()[1])
            if parent == server and "fork_server/server.py" in (process / "cmdline").read_text():
                return int(process.name)
        except OSError:
            continue
    pytest.fail("the server has no fork server")


@pytest.mark.parametrize("victims", [["fork server"], ["server"], ["fork server", "server"]], ids=" and ".join)
def test_every_attempt_runs_once_whoever_is_killed(launch, tmp_path, environ, wait_until, victims):
    place = tmp_path / "place"
    place.mkdir()
    (tmp_path / "holding.py").write_text(FLOW)
    server = launch(tmp_path / "data")
    command = [sys.executable, "-m", "flytelite", "register", "--endpoint", server.endpoint, "holding.py"]
    subprocess.run(command, env=environ, cwd=tmp_path, check=True, stdout=subprocess.DEVNULL)
    admin = AdminServiceStub(grpc.insecure_channel(server.endpoint))
    listing = common_pb2.ResourceListRequest(id=common_pb2.NamedEntityIdentifier(**SCOPE), limit=10)
    (plan,) = admin.ListLaunchPlans(listing).launch_plans
    request = execution_pb2.ExecutionCreateRequest(**SCOPE)
    request.spec.launch_plan.CopyFrom(plan.id)
    text = literals_pb2.Primitive(string_value=str(place))
    request.inputs.literals["place"].scalar.primitive.CopyFrom(text)
    ids = [admin.CreateExecution(request).id for _ in range(2)]
    wait_until(lambda: len(list(place.iterdir())) == 2 * WIDTH, "all attempts to run", 120)

    pids = {"fork server": fork_server(server.process.pid), "server": server.process.pid}
    for victim in victims:
        os.kill(pids[victim], signal.SIGKILL)
    if "server" in victims:
        server.process.wait()
        server = launch(tmp_path / "data")
        admin = AdminServiceStub(grpc.insecure_channel(server.endpoint))
    (place / "go").touch()

    def phases():
        found = [admin.GetExecution(execution_pb2.WorkflowExecutionGetRequest(id=id)) for id in ids]
        return [WorkflowExecution.Phase.Name(one.closure.phase) for one in found]

    wait_until(lambda: not {"RUNNING", "QUEUED"} & set(phases()), "both executions to end", 120)
    assert phases() == ["SUCCEEDED", "SUCCEEDED"]
    runs = {path.name: path.read_text() for path in place.iterdir() if path.name != "go"}
    assert len(runs) == 2 * WIDTH
    assert set(runs.values()) == {"once "}
