"""The API over gRPC, as clients in other processes see it.

Run as ``python tests/benchmarks/bench_rpc.py [--only reads|lists|writes ...] [--executions N] [--keep DIR]``. Reads are
measured by turns with a grpc.aio server whose one handler does nothing, on a port of its own; writes beside that server
under the same load, and beside one whose handler waits for a sync that it shares with whoever else waits. Clients send
bytes that were made before. The lists need a store of 100,000 executions: some 200 MB in ``--keep``, which leaves it
there for the next run, or in a temporary directory. CPU is that of the server's process, for machines that do other
things too.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import signal
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from multiprocessing import get_context
from pathlib import Path
from typing import Any, NamedTuple

import bench_store
import grpc
from flyteidl.admin import common_pb2, execution_pb2, version_pb2
from flyteidl.core.execution_pb2 import WorkflowExecution
from flyteidl.service.admin_pb2_grpc import AdminServiceStub

sys.path.insert(0, str(Path(__file__).parents[1] / "fault"))
import copying

WARM_UP, READS, LISTS = 300, 2300, 60
CLIENTS, SECONDS, REQUESTS = 8, 4.0, 10_000
SYNCED_BYTES, LINE_BYTES = 2 * 1024 * 1024, 1000
CREATE_TASK = "flyteidl.service.AdminService/CreateTask"
EMPTY = "/empty.Service/Call"
LIST = common_pb2.ResourceListRequest(
    id=copying.EXECUTIONS,
    limit=100,
    filters="eq(phase,SUCCEEDED)+gt(duration,100)",
    sort_by=common_pb2.Sort(key="created_at", direction=common_pb2.Sort.DESCENDING),
)


class Process(NamedTuple):
    """A server."""

    endpoint: str
    pid: int

    def cpu(self) -> float:
        """The seconds of CPU that it has used so far."""
        user, system = Path(f"/proc/{self.pid}/stat").read_text().rpartition(")")[2].split()[11:13]
        return (int(user) + int(system)) / os.sysconf("SC_CLK_TCK")


@contextmanager
def flytelite(data_dir: Path) -> Iterator[Process]:
    """A server on that directory."""
    command = [sys.executable, "-m", "flytelite", "up", "--port", "0", "--executor", "subprocess"]
    subprocess.run([*command, "--data-dir", str(data_dir), "--detach"], check=True, stdout=subprocess.DEVNULL)
    running = json.loads((data_dir / "server.json").read_text())
    try:
        yield Process(running["endpoint"], running["pid"])
    finally:
        os.kill(running["pid"], signal.SIGTERM)
        while (data_dir / "server.json").exists():
            time.sleep(0.05)


@contextmanager
def empty_server(how: str = "--empty") -> Iterator[Process]:
    """A grpc.aio server that answers nothing; ``--empty-synced``: when a line of its own is on disk."""
    with tempfile.NamedTemporaryFile() as file:
        process = subprocess.Popen([sys.executable, __file__, how, file.name], stdout=subprocess.PIPE, text=True)
        assert process.stdout is not None
        try:
            yield Process(f"localhost:{process.stdout.readline().strip()}", process.pid)
        finally:
            process.terminate()
            process.wait()


class GroupCommit:
    """Writes a line for each who waits, and syncs the file once for all who came meanwhile."""

    def __init__(self, file: str) -> None:
        self._descriptor = os.open(file, os.O_RDWR)
        os.pwrite(self._descriptor, bytes(SYNCED_BYTES), 0)
        os.fsync(self._descriptor)
        self._waiting: list[asyncio.Future[None]] = []
        self._come = threading.Event()
        self._loop = asyncio.get_running_loop()
        threading.Thread(target=self._run, daemon=True).start()

    async def durable(self) -> None:
        future = self._loop.create_future()
        self._waiting.append(future)
        self._come.set()
        await future

    def _run(self) -> None:
        offset = 0
        while self._come.wait():
            self._come.clear()
            waiting, self._waiting = self._waiting, []
            offset = offset % (SYNCED_BYTES // 2) + os.pwrite(
                self._descriptor, b"x" * LINE_BYTES * len(waiting), offset
            )
            os.fdatasync(self._descriptor)
            self._loop.call_soon_threadsafe(lambda done: [future.set_result(None) for future in done], waiting)


async def serve_empty(file: str | None) -> None:
    commit = None if file is None else GroupCommit(file)

    async def nothing(request: bytes, context: Any) -> bytes:
        if commit is not None:
            await commit.durable()
        return b""

    server = grpc.aio.server()
    handlers = {"Call": grpc.unary_unary_rpc_method_handler(nothing)}
    server.add_generic_rpc_handlers([grpc.method_handlers_generic_handler("empty.Service", handlers)])
    port = server.add_insecure_port("localhost:0")
    await server.start()
    print(port, flush=True)
    await server.wait_for_termination()


def connected(server: Process) -> grpc.Channel:
    return grpc.insecure_channel(server.endpoint, options=[("grpc.max_receive_message_length", -1)])


def register(admin: AdminServiceStub) -> None:
    admin.CreateTask(copying.task_request("v"))
    admin.CreateWorkflow(copying.workflow_request("v"))
    admin.CreateLaunchPlan(copying.launch_plan_request("v"))


def by_turns(one: Callable[[], Any], other: Callable[[], Any]) -> tuple[float, float]:
    """The medians of both in milliseconds, each call of one after a call of the other."""
    times: tuple[list[float], list[float]] = [], []
    for _ in range(READS):
        for step, found in zip((one, other), times, strict=True):
            found.append(bench_store.timed(step))
    return statistics.median(times[0][WARM_UP:]) * 1000, statistics.median(times[1][WARM_UP:]) * 1000


def reads(place: Path) -> None:
    with flytelite(place) as server, empty_server() as empty, connected(server) as ours, connected(empty) as theirs:
        admin, nothing = AdminServiceStub(ours), theirs.unary_unary(EMPTY)
        register(admin)
        admin.CreateExecution(copying.execution_request("finished", "v", 1))
        execution = execution_pb2.WorkflowExecutionGetRequest(id=copying.execution_id("finished"))
        while admin.GetExecution(execution).closure.phase != WorkflowExecution.SUCCEEDED:
            pass  # the server holds the answer until it has ended
        task = common_pb2.ObjectGetRequest(id=copying.task_request("v").id)
        version = version_pb2.GetVersionRequest()
        calls: dict[str, Callable[[], Any]] = {
            "GetVersion": lambda: admin.GetVersion(version),
            "GetTask": lambda: admin.GetTask(task),
            "GetExecution, finished": lambda: admin.GetExecution(execution),
        }
        heads = ("ms", "empty, ms", "ratio", "CPU, ms", "empty", "ratio")
        print(f"{'one client, one call at a time':32}" + "".join(f"{head:>10}" for head in heads))
        for title, call in calls.items():
            before = server.cpu(), empty.cpu()
            ours_ms, empty_ms = by_turns(call, lambda: nothing(b""))
            spent = server.cpu() - before[0], empty.cpu() - before[1]
            ours_cpu, empty_cpu = (seconds / READS * 1000 for seconds in spent)
            print(
                f"{title:32}{ours_ms:10.3f}{empty_ms:10.3f}{ours_ms / empty_ms:10.2f}"
                f"{ours_cpu:10.3f}{empty_cpu:10.3f}{ours_cpu / empty_cpu:10.2f}"
            )


def lists(place: Path, kept: Path, executions: int) -> None:
    store = kept / f"{executions}-executions-alone"
    if not (store / "format.json").exists():
        documents = bench_store.kept_documents(kept / "template.json", place / "template")
        parts = ("node_executions", "task_executions")
        bench_store.fill(store, {table: rows for table, rows in documents.items() if table not in parts}, executions)
    bench_store.another(store, place / "large" / "store", copied=False)
    deep = common_pb2.ResourceListRequest()
    with flytelite(place / "large") as server, connected(server) as channel:
        admin = AdminServiceStub(channel)
        first, other = [], []
        before = server.cpu()
        for number in range(LISTS):
            first.append(bench_store.timed(lambda: admin.ListExecutions(LIST)))
            deep.CopyFrom(LIST)
            deep.token = str(executions * 7 // 10 * (number * 37 % LISTS) // LISTS)  # another page each time
            other.append(bench_store.timed(lambda: admin.ListExecutions(deep)))
        cpu = (server.cpu() - before) / (2 * LISTS) * 1000
        assert len(admin.ListExecutions(deep).executions) == LIST.limit
    print(f"\n{f'100 of {executions:,} executions, filtered and sorted':50}{'ms':>10}")
    for title, times in ("the first page", first), ("any page, another one each time", other):
        print(f"{title:50}{statistics.median(times) * 1000:10.2f}")
    print(f"{'CPU of the server, both together':50}{cpu:10.2f}")


def call_in_a_row(server: Process, method: str, client: int, started: Any) -> tuple[int, float, float]:
    """Send one request after the other for so long; how many, the median of the seconds that each took, and the
    seconds of CPU of this process."""
    requests = [copying.task_request(f"{client}-{number}").SerializeToString() for number in range(REQUESTS)]
    with connected(server) as channel:
        call, times = channel.unary_unary(method), []
        call(requests.pop())
        started.wait()
        cpu, end = time.process_time(), time.perf_counter() + SECONDS
        for request in requests:
            times.append(bench_store.timed(lambda: call(request)))  # noqa: B023
            if time.perf_counter() > end:
                break
        return len(times), statistics.median(times), time.process_time() - cpu


def load(title: str, server: Process, method: str, clients: int) -> float:
    """Calls a second that so many clients get through, each a process of its own."""
    context = get_context("spawn")
    with context.Manager() as manager, context.Pool(clients) as pool:
        started = manager.Barrier(clients)
        before = server.cpu()
        jobs = [(server, method, client, started) for client in range(clients)]
        results = pool.starmap(call_in_a_row, jobs, chunksize=1)
        cpu = server.cpu() - before
    calls = sum(count for count, _, _ in results)
    median = statistics.median(median for _, median, _ in results) * 1000
    of_clients = sum(seconds for _, _, seconds in results)
    print(
        f"{title:32}{clients:8}{calls / SECONDS:10.0f}{median:10.2f}{cpu / calls * 1000:10.2f}"
        f"{of_clients / calls * 1000:10.2f}"
    )
    return calls / SECONDS


def writes(place: Path, counts: Sequence[int] = (1, CLIENTS)) -> None:
    heads = "".join(f"{head:>10}" for head in ("a second", "ms", "CPU, ms", "client's"))
    print(f"\n{'':32}{'clients':>8}{heads}")
    for clients in counts:
        with flytelite(place / str(clients)) as server:
            ours = load("CreateTask, on disk", server, f"/{CREATE_TASK}", clients)
        with empty_server() as server:
            empty = load("an empty handler", server, EMPTY, clients)
        with empty_server("--empty-synced") as server:
            synced = load("an empty handler, on disk", server, EMPTY, clients)
        print(f"{'CreateTask to the two others':32}{clients:8}{ours / empty:10.2f}{ours / synced:10.2f}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--only", nargs="+", choices=("reads", "lists", "writes"), default=("reads", "lists", "writes"))
    parser.add_argument("--executions", type=int, default=100_000)
    parser.add_argument("--keep", type=Path, help="Where the store of many executions stays.")
    parser.add_argument("--empty", help=argparse.SUPPRESS)
    parser.add_argument("--empty-synced", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.empty or arguments.empty_synced:
        asyncio.run(serve_empty(arguments.empty_synced))
        return
    if arguments.keep:
        arguments.keep.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=arguments.keep) as made:
        place = Path(made)
        if "reads" in arguments.only:
            reads(place / "reads")
        if "lists" in arguments.only:
            lists(place, arguments.keep or place, arguments.executions)
        if "writes" in arguments.only:
            writes(place / "writes")


if __name__ == "__main__":
    main()
