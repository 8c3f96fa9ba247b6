"""From CreateExecution to SUCCEEDED as a gRPC client sees it: forked tasks beside plain subprocesses.

Run as ``python tests/benchmarks/bench_task_latency.py [--rounds N] [--executor fork|subprocess ...]``. Prints medians
in milliseconds. It looks for the end every 2 ms, which is part of what it measures. Where pandas is installed, tasks of
a module that imports it run by turns with those of one that does not.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import grpc
from flyteidl.admin import common_pb2, execution_pb2
from flyteidl.core import identifier_pb2, literals_pb2
from flyteidl.core.execution_pb2 import WorkflowExecution
from flyteidl.service.admin_pb2_grpc import AdminServiceStub

FLOWS = Path(__file__).parent / "flows"
HAS_PANDAS = importlib.util.find_spec("pandas") is not None
PAUSE = 3.0
"""Seconds after a first attempt in which what it has imported is imported for the next ones."""

FLYTELITE = [sys.executable, "-m", "flytelite"]
SCOPE = {"project": "flytesnacks", "domain": "development"}
LOOK_EVERY = 0.002
OVER = (WorkflowExecution.SUCCEEDED, WorkflowExecution.FAILED, WorkflowExecution.ABORTED)


@contextmanager
def server(directory: Path, executor: str) -> Iterator[str]:
    """The endpoint of a server with that executor."""
    options = ["--port", "0", "--data-dir", str(directory), "--executor", executor]
    subprocess.run([*FLYTELITE, "up", *options, "--detach"], check=True, stdout=subprocess.DEVNULL)
    try:
        yield json.loads((directory / "server.json").read_text())["endpoint"]
    finally:
        subprocess.run([*FLYTELITE, "down", "--data-dir", str(directory)], check=True, stdout=subprocess.DEVNULL)


def integer(number: int) -> literals_pb2.Literal:
    literal = literals_pb2.Literal()
    literal.scalar.primitive.integer = number
    return literal


class Client:
    """Runs the launch plans of the benchmark's workflows."""

    def __init__(self, endpoint: str) -> None:
        self.admin = AdminServiceStub(grpc.insecure_channel(endpoint))
        for name in ["latency.py", *(["latency_pandas.py"] if HAS_PANDAS else [])]:
            command = [*FLYTELITE, "register", "--endpoint", endpoint, name]
            subprocess.run(command, check=True, stdout=subprocess.DEVNULL, cwd=FLOWS)
        request = common_pb2.ResourceListRequest(limit=100)
        request.id.MergeFrom(common_pb2.NamedEntityIdentifier(**SCOPE))
        plans = self.admin.ListLaunchPlans(request).launch_plans
        self.plans = {plan.id.name.rpartition(".")[2]: plan.id for plan in plans}

    def run(self, name: str, inputs: literals_pb2.LiteralMap) -> float:
        """Seconds from the request to the end that was seen. Raises RuntimeError when it did not succeed."""
        request = execution_pb2.ExecutionCreateRequest(**SCOPE, inputs=inputs)
        request.spec.launch_plan.CopyFrom(self.plans[name])
        begin = time.perf_counter()
        id = self.admin.CreateExecution(request).id
        found = self.wait(id)
        seconds = time.perf_counter() - begin
        if found.closure.phase != WorkflowExecution.SUCCEEDED:
            raise RuntimeError(f"{name}: {found.closure.error.message}")
        return seconds

    def wait(self, id: identifier_pb2.WorkflowExecutionIdentifier) -> execution_pb2.Execution:
        while True:
            found = self.admin.GetExecution(execution_pb2.WorkflowExecutionGetRequest(id=id))
            if found.closure.phase in OVER:
                return found
            time.sleep(LOOK_EVERY)

    def throughput(self, count: int, inputs: literals_pb2.LiteralMap) -> float:
        """One-task executions per second when they are all asked for at once."""
        request = execution_pb2.ExecutionCreateRequest(**SCOPE, inputs=inputs)
        request.spec.launch_plan.CopyFrom(self.plans["one"])
        begin = time.perf_counter()
        asked = [self.admin.CreateExecution.future(request) for _ in range(count)]
        for future in asked:
            self.wait(future.result().id)
        return count / (time.perf_counter() - begin)


def measure(executor: str, rounds: int) -> dict[str, float]:
    """Medians in milliseconds, and executions per second."""
    number = literals_pb2.LiteralMap(literals={"number": integer(1)})
    many = literals_pb2.Literal(collection=literals_pb2.LiteralCollection(literals=[integer(i) for i in range(100)]))
    numbers = literals_pb2.LiteralMap(literals={"numbers": many})
    slow = executor == "subprocess"
    kinds = [
        ("one task", "one", number, max(3, rounds // 5) if slow else rounds),
        ("chain of 10", "chain", number, 2 if slow else max(3, rounds // 5)),
        ("map of 100", "spread", numbers, 1 if slow else max(3, rounds // 10)),
    ]
    results = {}
    with tempfile.TemporaryDirectory() as place, server(Path(place) / "data", executor) as endpoint:
        client = Client(endpoint)
        client.run("one", number)
        for title, name, inputs, count in kinds:
            try:
                results[f"{title}, ms"] = statistics.median(client.run(name, inputs) for _ in range(count)) * 1000
            except RuntimeError as error:
                print(f"{executor}: {str(error).splitlines()[0]}", file=sys.stderr)
        results["tasks per second"] = client.throughput(10 if slow else 100, number)
        if HAS_PANDAS:
            results |= beside_pandas(client, number, 3 if slow else rounds)
    return results


def beside_pandas(client: Client, number: literals_pb2.LiteralMap, rounds: int) -> dict[str, float]:
    """Milliseconds of tasks whose module imports pandas, and by turns of others."""
    results = {}
    for title in ("pandas, first attempt", "pandas, second attempt", "pandas, third attempt"):
        results[f"{title}, ms"] = client.run("frame", number) * 1000
        time.sleep(PAUSE)
    pairs = [(client.run("frame", number), client.run("one", number)) for _ in range(rounds)]
    with_pandas, without = (statistics.median(column) * 1000 for column in zip(*pairs, strict=True))
    return {**results, "pandas, later, ms": with_pandas, "by turns without, ms": without}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=30)
    parser.add_argument("--executor", nargs="+", default=["fork", "subprocess"])
    arguments = parser.parse_args()
    found = {executor: measure(executor, arguments.rounds) for executor in arguments.executor}
    titles = list(dict.fromkeys(title for results in found.values() for title in results))
    print(f"{'':26}" + "".join(f"{executor:>12}" for executor in found) + f"   ({os.cpu_count()} cores)")
    for title in titles:
        print(f"{title:26}" + "".join(f"{results.get(title, float('nan')):12.1f}" for results in found.values()))


if __name__ == "__main__":
    main()
