"""flytelite itself, with tasks forked and as new processes, through gRPC as any client would."""

from __future__ import annotations

import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path

import grpc
from flyteidl.admin import common_pb2, execution_pb2, version_pb2
from flyteidl.core import literals_pb2
from flyteidl.core.execution_pb2 import WorkflowExecution
from flyteidl.service.admin_pb2_grpc import AdminServiceStub

from comparison.figures import Figures
from comparison.processes import Tree, free_port, listens

FLOWS = Path(__file__).parents[1] / "flows"
FLYTELITE = [sys.executable, "-m", "flytelite"]
SCOPE = {"project": "flytesnacks", "domain": "development"}
IDLE_SECONDS = 5.0
OVER = (WorkflowExecution.SUCCEEDED, WorkflowExecution.FAILED, WorkflowExecution.ABORTED)


def measure(executor: str, rounds: dict[str, int], rate_seconds: float) -> Figures:
    """One column; ``rounds`` says how often each thing is measured."""
    note = "each task a forked process" if executor == "fork" else "each task a new process"
    figures = Figures("flytelite" if executor == "fork" else "flytelite, subprocess", note)
    with tempfile.TemporaryDirectory(prefix="bench-") as place:
        for number in range(rounds.get("start", 1) - 1):
            with _server(Path(place) / f"start{number}", executor) as (_, _, seconds):
                figures.samples.setdefault("start", []).append(seconds)
        with _server(Path(place) / "data", executor) as (tree, client, seconds):
            figures.samples.setdefault("start", []).append(seconds)
            client.register(*([FLOWS / "latency.py", FLOWS / "dag.py"] if "dag" in rounds else [FLOWS / "latency.py"]))
            for name in ("one", "one"):
                client.run(name)
            time.sleep(IDLE_SECONDS)
            figures.samples["memory"] = [tree.memory()]
            for key, name in (("one", "one"), ("chain", "chain"), ("map", "spread"), ("dag", "dag")):
                if key in rounds:
                    figures.samples[key] = [client.run(name) for _ in range(rounds[key])]
            for at_once in (2, 8):
                figures.samples[f"rate{at_once}"] = [rate(lambda: client.run("one"), at_once, rate_seconds)]
    return figures


def rate(run: Callable[[], object], at_once: int, seconds: float) -> float:
    """How many runs a second end when so many go on at a time."""
    ended = [0] * at_once
    begin = time.perf_counter()

    def work(number: int) -> None:
        while time.perf_counter() - begin < seconds:
            run()
            ended[number] += 1

    threads = [threading.Thread(target=work, args=(number,)) for number in range(at_once)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return sum(ended) / (time.perf_counter() - begin)


class Client:
    """Runs the launch plans of the benchmark's workflows."""

    def __init__(self, endpoint: str) -> None:
        self.endpoint = endpoint
        self.channel = grpc.insecure_channel(endpoint)
        self.admin = AdminServiceStub(self.channel)
        number = literals_pb2.Literal()
        number.scalar.primitive.integer = 1
        many = literals_pb2.Literal(collection=literals_pb2.LiteralCollection(literals=[number] * 100))
        self.inputs = {"spread": literals_pb2.LiteralMap(literals={"numbers": many})}
        self.number = literals_pb2.LiteralMap(literals={"number": number})

    def register(self, *files: Path) -> None:
        for file in files:
            command = [*FLYTELITE, "register", "--endpoint", self.endpoint, str(file)]
            subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
        request = common_pb2.ResourceListRequest(limit=100)
        request.id.MergeFrom(common_pb2.NamedEntityIdentifier(**SCOPE))
        plans = self.admin.ListLaunchPlans(request).launch_plans
        self.plans = {plan.id.name.rpartition(".")[2]: plan.id for plan in plans}

    def run(self, name: str) -> float:
        """Seconds from the request to the end as it is seen. Raises RuntimeError when it did not succeed."""
        request = execution_pb2.ExecutionCreateRequest(**SCOPE, inputs=self.inputs.get(name, self.number))
        request.spec.launch_plan.CopyFrom(self.plans[name])
        begin = time.perf_counter()
        id = self.admin.CreateExecution(request).id
        found = execution_pb2.Execution()
        while found.closure.phase not in OVER:  # the answer is held until the end, at most for a second
            found = self.admin.GetExecution(execution_pb2.WorkflowExecutionGetRequest(id=id))
        seconds = time.perf_counter() - begin
        if found.closure.phase != WorkflowExecution.SUCCEEDED:
            raise RuntimeError(f"{name}: {found.closure.error.message}")
        return seconds


class _server:
    """A fresh server: its tree, a client, and the seconds from its start to the first answered RPC."""

    def __init__(self, directory: Path, executor: str) -> None:
        self.port = free_port()
        options = ["--port", str(self.port), "--data-dir", str(directory / "data"), "--executor", executor]
        self.tree = Tree([*FLYTELITE, "up", *options], directory)

    def __enter__(self) -> tuple[Tree, Client, float]:
        self.tree.until(lambda: listens(self.port), every=0.002)
        client = Client(f"localhost:{self.port}")
        client.admin.GetVersion(version_pb2.GetVersionRequest())
        return self.tree, client, time.perf_counter() - self.tree.began

    def __exit__(self, *exception: object) -> None:
        self.tree.__exit__()
