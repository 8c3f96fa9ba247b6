"""The store with 1,000, 10,000 and 100,000 executions of 10 nodes, and beside SQLite for the same durable puts.

Run as ``python tests/benchmarks/bench_store.py [--sizes N ...] [--place DIR] [--keep DIR] [--compaction]``. One
execution is really run; a store is made of copies of its documents, under other names and times, as a compaction writes
them. Each size is measured in processes of its own, three times by turns; what is printed are the medians of these. The
largest needs about 4 GB of disk and takes minutes to write: ``--keep`` leaves the stores there for the next run. Times
of CPU are there for machines that do other things too.
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import json
import os
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import durable_puts
import grpc
import orjson
from flyteidl.admin import common_pb2, event_pb2
from flyteidl.core.execution_pb2 import NodeExecution, WorkflowExecution
from flyteidl.service.admin_pb2_grpc import AdminServiceStub

from flytelite.config import Settings
from flytelite.server.admin import execution_tables as tables
from flytelite.server.admin.changes import Changes
from flytelite.server.admin.control_plane import ControlPlane
from flytelite.server.objects import Bucket
from flytelite.server.store.copier import Copier, Group, Pick
from flytelite.server.store.directory import Directory
from flytelite.server.store.disk import Disk
from flytelite.server.store.interface import TableSchema
from flytelite.server.store.journal import JournalStore
from flytelite.server.store.rows import Row

sys.path.insert(0, str(Path(__file__).parents[1] / "fault"))
import copying

NODES = 10
SIZES = (1_000, 10_000, 100_000)
NAME = "template0"
LISTS, EVENTS, TURNS, NEW_FILTERS = 100, 500, 3, 9
FIRST = datetime(2026, 1, 1, tzinfo=UTC)


def documents(place: Path) -> dict[str, dict[str, dict[str, Any]]]:
    """All documents of a server that has run one execution, by table and key."""
    command = [sys.executable, "-m", "flytelite", "up", "--port", "0", "--executor", "subprocess"]
    subprocess.run([*command, "--data-dir", str(place), "--detach"], check=True, stdout=subprocess.DEVNULL)
    running = json.loads((place / "server.json").read_text())
    with grpc.insecure_channel(running["endpoint"]) as channel:
        admin = AdminServiceStub(channel)
        admin.CreateTask(copying.task_request("v"))
        admin.CreateWorkflow(copying.workflow_request("v", NODES))
        admin.CreateLaunchPlan(copying.launch_plan_request("v"))
        admin.CreateExecution(copying.execution_request(NAME, "v", 1))
        while copying.executions(admin)[NAME].closure.phase != WorkflowExecution.SUCCEEDED:
            time.sleep(0.1)
    os.kill(running["pid"], signal.SIGTERM)
    while (place / "server.json").exists():
        time.sleep(0.1)
    found: dict[str, dict[str, dict[str, Any]]] = {}
    for path in sorted((place / "store").glob("journal-*.jsonl")):
        for line in path.read_bytes().rstrip(b" ").splitlines():
            for change in orjson.loads(line)["changes"]:
                table = found.setdefault(change["table"], {})
                table[change["key"]] = change["document"]
    return {name: {key: value for key, value in table.items() if value} for name, table in found.items()}


def kept_documents(kept: Path, place: Path) -> dict[str, dict[str, dict[str, Any]]]:
    """Those documents, from the file where an earlier run has left them if there is one."""
    if not kept.exists():
        kept.write_bytes(orjson.dumps(documents(place)))
    found: dict[str, dict[str, dict[str, Any]]] = orjson.loads(kept.read_bytes())
    return found


def another(store: Path, target: Path, *, copied: bool) -> None:
    """Another store of the same files, which are compacted segments that no server writes to.

    ``copied``: so that to remove such a file is work for the file system, as it is in a store that is used.
    """
    target.mkdir(parents=True)
    for path in store.iterdir():
        if path.name != "lock":
            (shutil.copyfile if copied else os.link)(path, target / path.name)
    if copied:
        os.sync()


class Texts:
    """Documents that are not in any file yet, where a copier expects a segment."""

    def __init__(self) -> None:
        self.texts: list[bytes] = []

    def pick(self, table: str, key: str, order: int, text: bytes, columns: tuple[Any, ...] = ()) -> Pick:
        self.texts.append(text)
        return Pick(table, Row(key, order, 0, b""), columns, self, len(self.texts) - 1)  # type: ignore[arg-type]

    def read(self, place: int) -> bytes:
        return self.texts[place]


def fill(store: Path, template: dict[str, dict[str, dict[str, Any]]], size: int) -> None:
    """Write a store with so many executions as one compacted segment."""
    directory = Directory(store, Disk())
    directory.take()
    parts = {schema.name: schema.partition for schema in vars(tables).values() if isinstance(schema, TableSchema)}
    copier = Copier(store, directory.disk, 1, size)
    copier.begin(parts, size * 100)
    order = 0
    for table, rows in template.items():
        if table != "executions" and not parts.get(table):
            texts = Texts()
            picks = [texts.pick(table, key, order + n, orjson.dumps(row)) for n, (key, row) in enumerate(rows.items())]
            order += len(picks)
            copier.copy_rows(table, [], picks)
    kinds = [
        (table, key, orjson.dumps(row))
        for table in template
        if parts.get(table)
        for key, row in template[table].items()
    ]
    (execution,) = template["executions"].values()
    columns = sorted(tables.EXECUTIONS.columns)
    for start in range(0, size, 500):
        names = [f"e{number:08d}"[: len(NAME)] for number in range(start, min(start + 500, size))]
        texts, groups = Texts(), []
        for name in names:
            picks = []
            for table, key, text in kinds:
                order += 1
                picks.append(
                    texts.pick(table, key.replace(NAME, name), order, text.replace(NAME.encode(), name.encode()))
                )
            if picks:
                groups.append(Group("/".join(picks[0].row.key.split("/")[:3]), picks, [], True))
        copier.copy_groups(groups)
        texts, picks = Texts(), []
        for name in names:
            order += 1
            row = one(execution, name)
            picks.append(
                texts.pick(
                    "executions",
                    f"flytesnacks/development/{name}",
                    order,
                    orjson.dumps(row),
                    tuple(map(row.get, columns)),
                )
            )
        copier.copy_rows("executions", columns, picks)
    copier.complete()
    copier.segment.close()
    directory.release()


def one(execution: dict[str, Any], name: str) -> dict[str, Any]:
    """The execution under another name, a second after the one before; each tenth has failed."""
    number = int(name[1:])
    row: dict[str, Any] = orjson.loads(orjson.dumps(execution).replace(NAME.encode(), name.encode()))
    at = (FIRST + timedelta(seconds=number)).isoformat(timespec="microseconds")
    for column in ("created_at", "execution_created_at", "started_at"):
        if column in row:
            row[column] = at
    row["duration"] = number % 1000
    if number % 10 == 0:
        row["phase"] = row["message"]["closure"]["phase"] = "FAILED"
    return row


def measure(data_dir: Path) -> dict[str, float]:
    """The figures of one store, in a fresh process."""
    began, began_cpu = time.perf_counter(), time.process_time()
    settings = Settings(data_dir=data_dir)
    store = JournalStore.open(settings.store)
    settings.bucket.mkdir(exist_ok=True)
    control_plane = ControlPlane(settings, store, Bucket.open(settings), Changes())
    figures = {"open, s": time.perf_counter() - began, "open, s of CPU": time.process_time() - began_cpu}
    listed = common_pb2.ResourceListRequest(id=copying.EXECUTIONS, limit=100)
    listed.filters = "eq(phase,SUCCEEDED)+gt(duration,100)"
    listed.sort_by.key = "created_at"
    list_executions = control_plane.handlers()["flyteidl.service.AdminService/ListExecutions"]
    assert len(list_executions(listed).executions) == 100
    pages, pages_cpu = [], []
    matching = len(store.table(tables.EXECUTIONS)) * 8 // 10
    for number in range(LISTS):  # other pages each time, so that what was decoded before does not help
        listed.token = str((matching - 100) * (LISTS - number * 37 % LISTS) // LISTS)  # the last one first
        began_cpu = time.thread_time()
        pages.append(timed(lambda: list_executions(listed)))
        pages_cpu.append(time.thread_time() - began_cpu)
    for title, times in ("ms", pages), ("ms of CPU", pages_cpu):
        figures[f"list page of 100, {title}"] = statistics.median(times) * 1000
        figures[f"the last page, asked for first, {title}"] = times[0] * 1000
    middles = []
    for number in range(NEW_FILTERS):
        listed.filters = f"eq(phase,SUCCEEDED)+gt(duration,{number})"
        listed.token = str(matching // 2 - number * matching // 100)
        began_cpu = time.thread_time()
        list_executions(listed)
        middles.append(time.thread_time() - began_cpu)
    figures["a page in the middle, new filter, ms of CPU"] = statistics.median(middles) * 1000
    figures |= asyncio.run(events(control_plane, store))
    status = Path("/proc/self/status").read_text()
    figures["resident, MB"] = int(status.split("VmRSS:")[1].split()[0]) / 1000
    return figures


async def compaction(data_dir: Path) -> dict[str, float]:
    """How long requests wait while the whole store is compacted, and while it is not: a read and an event on disk,
    again and again."""
    settings = Settings(data_dir=data_dir)
    store = JournalStore.open(settings.store, segment_bytes=64 * 1024)
    settings.bucket.mkdir(exist_ok=True)
    control_plane = ControlPlane(settings, store, Bucket.open(settings), Changes())
    gc.freeze()
    found: dict[str, list[float]] = {}
    number = await requests(control_plane, store, 0, asyncio.create_task(asyncio.sleep(5)), found, "idle")
    while len(store._segments) < 3 or store._maintenance.task is not None:  # until the one to compact is checked
        number = await requests(control_plane, store, number, asyncio.create_task(asyncio.sleep(0)), {}, "")
    compacting = asyncio.create_task(store._maintenance._compact(store._segments[:-1]))
    store._maintenance.task = compacting  # so that it begins no other
    began = time.perf_counter()
    await requests(control_plane, store, number, compacting, found, "compacting")
    seconds = time.perf_counter() - began
    await store.close()
    figures = {"compaction, s": seconds}
    for title, times in found.items():
        times.sort()
        for name, place in ("median", len(times) // 2), ("99 of 100", len(times) * 99 // 100), ("worst", -1):
            figures[f"{title}, {name}, ms"] = times[place] * 1000
    return figures


async def requests(
    control_plane: ControlPlane,
    store: JournalStore,
    number: int,
    until: asyncio.Task[None],
    found: dict[str, list[float]],
    title: str,
) -> int:
    create = control_plane.handlers()["flyteidl.service.AdminService/CreateNodeEvent"]
    while not until.done():
        name = f"fresh{number}"
        control_plane.executions.create(copying.execution_request(name, "v", 1))
        number += 1
        for node in range(NODES):
            began = time.perf_counter()
            await asyncio.sleep(0.005)
            assert control_plane.executions.find(copying.execution_id(name)) is not None
            found.setdefault(f"read, {title}", []).append(time.perf_counter() - began - 0.005)
            event = node_event(name, node, NodeExecution.QUEUED)
            began = time.perf_counter()
            create(event)
            await store.durable()
            found.setdefault(f"event, {title}", []).append(time.perf_counter() - began)
    await until
    return number


def node_event(name: str, node: int, phase: NodeExecution.Phase.ValueType) -> event_pb2.NodeExecutionEventRequest:
    request = event_pb2.NodeExecutionEventRequest()
    request.event.id.node_id = f"n{node}"
    request.event.id.execution_id.CopyFrom(copying.execution_id(name))
    request.event.phase = phase
    request.event.occurred_at.GetCurrentTime()
    return request


def timed(step: Callable[[], Any]) -> float:
    began = time.perf_counter()
    step()
    return time.perf_counter() - began


async def events(control_plane: ControlPlane, store: JournalStore) -> dict[str, float]:
    """What a node event costs this thread, and how long it takes until it is on disk."""
    create = control_plane.handlers()["flyteidl.service.AdminService/CreateNodeEvent"]
    cpu, durable = [], []
    phases = (NodeExecution.QUEUED, NodeExecution.RUNNING, NodeExecution.SUCCEEDED)
    for number in range(EVENTS // 30):
        control_plane.executions.create(copying.execution_request(f"fresh{number}", "v", 1))
        for node in range(NODES):
            for phase in phases:
                request = node_event(f"fresh{number}", node, phase)
                began, began_cpu = time.perf_counter(), time.thread_time()
                create(request)
                cpu.append(time.thread_time() - began_cpu)
                await store.durable()
                durable.append(time.perf_counter() - began)
    await store.close()
    return {
        "node event, ms of CPU": statistics.median(cpu) * 1000,
        "node event on disk, ms": statistics.median(durable) * 1000,
    }


def _size(text: str) -> int:
    if int(text) < SIZES[0]:
        raise argparse.ArgumentTypeError(
            f"{text} executions are too few for pages in the middle of a list: at least {SIZES[0]}"
        )
    return int(text)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--sizes", type=_size, nargs="+", default=SIZES)
    parser.add_argument("--place", type=Path, help="A directory on the disk to measure.")
    parser.add_argument("--keep", type=Path, help="Where the stores stay, to be measured again; made if need be.")
    parser.add_argument("--compaction", action="store_true", help="Measure how long requests wait meanwhile instead.")
    parser.add_argument("--measure", type=Path, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.measure:
        place = arguments.measure
        print(json.dumps(asyncio.run(compaction(place)) if arguments.compaction else measure(place)))
        return
    if arguments.keep:
        arguments.keep.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=arguments.keep or arguments.place) as made:
        place = Path(made)
        kept = arguments.keep or place
        template = kept_documents(kept / "template.json", place / "template")
        found: dict[int, list[dict[str, float]]] = {size: [] for size in arguments.sizes}
        for turn in range(1 if arguments.compaction else TURNS):
            for size, figures in found.items():
                store = kept / f"{size}-executions"
                if not (store / "format.json").exists():
                    fill(store, template, size)
                data_dir = place / f"{size}-{turn}"
                another(store, data_dir / "store", copied=arguments.compaction)
                command = [sys.executable, __file__, "--measure", str(data_dir)]
                command += ["--compaction"] if arguments.compaction else []
                done = subprocess.run(command, check=True, stdout=subprocess.PIPE)
                figures.append(json.loads(done.stdout))
                shutil.rmtree(data_dir)
        print(f"{'executions':44}" + "".join(f"{size:12,}" for size in found))
        for title in next(iter(found.values()))[0]:
            medians = [statistics.median(one[title] for one in figures) for figures in found.values()]
            print(f"{title:44}" + "".join(f"{figure:12.2f}" for figure in medians))
        if arguments.compaction:
            return
        text = orjson.dumps(next(iter(template["node_executions"].values())))
        print(f"\n{'durable puts per second':32}{'flytelite':>12}{'SQLite':>12}{'ratio':>12}")
        for title, ours, theirs in durable_puts.beside_sqlite(place, text):
            print(f"{title:32}{ours:12.0f}{theirs:12.0f}{ours / theirs:12.2f}")


if __name__ == "__main__":
    main()
