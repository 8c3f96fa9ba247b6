"""Thousands of task attempts on one server: nothing of it grows but its files."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

import grpc
import pytest
from flyteidl.admin import common_pb2, execution_pb2
from flyteidl.core import literals_pb2
from flyteidl.core.execution_pb2 import WorkflowExecution
from flyteidl.service.admin_pb2_grpc import AdminServiceStub

pytestmark = [
    pytest.mark.skipif(sys.platform != "linux", reason="processes are looked at through /proc"),
    pytest.mark.soak,
    pytest.mark.timeout(900),
]

SCOPE = {"project": "flytesnacks", "domain": "development"}
WIDTH = 100
EXECUTIONS = int(os.environ.get("SOAK_ATTEMPTS", "10000")) // WIDTH
SECONDS = float(os.environ.get("SOAK_SECONDS", "120"))
"""On a slow machine fewer attempts have to do."""
SHORT_EXECUTIONS = 300
COMPACTIONS = 2
"""By then the server remembers as much as it ever does: the records used last are decoded, older executions are on disk
only, and what a compaction needs has been there. Memory rises and falls from one compaction to the next, so the most
that it took is what counts."""
SEGMENTS = 3
"""So many more files of the store may be open for a while."""
AT_REST = 6
"""The fork server and the one that has the user's module, each with a waiter and the task process it forked ahead."""
GROWTH = 1.05
FLOW = f"""
from flytekit import map_task, task, workflow

@task
def step(number: int) -> int:
    return number + 1

@workflow
def one() -> int:
    return step(number=1)

@workflow
def spread(numbers: list[int] = {list(range(WIDTH))}) -> list[int]:
    return map_task(step)(number=numbers)
"""


def below(pid: int) -> list[int]:
    found = []
    for thread in os.listdir(f"/proc/{pid}/task"):
        for child in Path(f"/proc/{pid}/task/{thread}/children").read_text().split():
            found += [int(child), *below(int(child))]
    return found


def memory(pid: int) -> int:
    lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    return 1024 * next(int(line.split()[1]) for line in lines if line.startswith("Anonymous:"))


def test_nothing_grows_but_the_record(launch, tmp_path, environ, wait_until, monkeypatch):
    (tmp_path / "growing.py").write_text(FLOW)
    (tmp_path / "temporary").mkdir()
    monkeypatch.setitem(environ, "TMPDIR", str(tmp_path / "temporary"))
    server = launch(tmp_path / "data")
    pid = server.process.pid
    command = [sys.executable, "-m", "flytelite", "register", "--endpoint", server.endpoint, "growing.py"]
    subprocess.run(command, env=environ, cwd=tmp_path, check=True, stdout=subprocess.DEVNULL)
    admin = AdminServiceStub(grpc.insecure_channel(server.endpoint))
    listing = common_pb2.ResourceListRequest(id=common_pb2.NamedEntityIdentifier(**SCOPE), limit=10)
    plans = {plan.id.name.rpartition(".")[2]: plan.id for plan in admin.ListLaunchPlans(listing).launch_plans}

    def run(name: str = "spread") -> None:
        request = execution_pb2.ExecutionCreateRequest(**SCOPE, inputs=literals_pb2.LiteralMap())
        request.spec.launch_plan.CopyFrom(plans[name])
        id = admin.CreateExecution(request).id

        def phase() -> int:
            found = admin.GetExecution(execution_pb2.WorkflowExecutionGetRequest(id=id))
            return found.closure.phase if found.closure.phase in (4, 5, 6, 7) else 0

        assert wait_until(phase, "the execution to end", 120) == WorkflowExecution.SUCCEEDED

    def state() -> dict[str, int]:
        wait_until(lambda: len(below(pid)) == AT_REST, "waiters to end")
        left = [*(tmp_path / "data/attempts").rglob("work"), *(tmp_path / "data/tmp").iterdir()]
        return {
            "open files": len(os.listdir(f"/proc/{pid}/fd")),
            "threads": len(os.listdir(f"/proc/{pid}/task")),
            "directories of attempts": len(left),
            "temporary files": len(list((tmp_path / "temporary").rglob("*"))),
        }

    for _ in range(SHORT_EXECUTIONS):
        run("one")
    size = 0
    compacted: set[str] = set()
    while len(compacted) < COMPACTIONS:
        run()
        size = max(size, memory(pid))
        compacted |= {path.name for path in (tmp_path / "data/store").glob("*.contents")}
    before = state()
    deadline = time.monotonic() + SECONDS
    done = 0
    while done < EXECUTIONS and time.monotonic() < deadline:
        run()
        done += 1
    assert done >= 2
    after = state()
    assert after["open files"] <= before["open files"] + SEGMENTS
    assert {**after, "open files": 0} == {**before, "open files": 0}
    grown = memory(pid)
    print(f"{done} executions: from {size} to {grown} bytes")
    assert grown <= size * GROWTH
