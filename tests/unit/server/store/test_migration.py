"""A directory that a program wrote which knew format 1 only: two versions of a workflow, three executions, each with a
dynamic node that made the same workflow under another version; a compacted segment with its contents, and others."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import json
import os
import shutil
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import orjson
import pytest
from flyteidl.admin import common_pb2, node_execution_pb2
from flyteidl.core import identifier_pb2

from flytelite.config import Settings
from flytelite.errors import FailedPrecondition, FlyteError, ResourceExhausted, Unavailable
from flytelite.server.admin.changes import Changes
from flytelite.server.admin.closures import CLOSURES
from flytelite.server.admin.control_plane import ControlPlane
from flytelite.server.admin.schedules import Schedules
from flytelite.server.objects import Bucket
from flytelite.server.store import format_2
from flytelite.server.store.directory import FORMAT
from flytelite.server.store.disk import Disk
from flytelite.server.store.examination import examine
from flytelite.server.store.interface import Query, TableSchema
from flytelite.server.store.journal import JournalStore
from flytelite.server.store.memory import MemoryStore
from flytelite.server.store.salvage import salvage

FORMAT_1 = Path(__file__).parent / "format_1"
EXECUTIONS = ("first", "second", "third")
IN_PROJECT = {"project": "flytesnacks", "domain": "development"}


@pytest.fixture
def data_dir(tmp_path: Path) -> Path:
    shutil.copytree(FORMAT_1, tmp_path / "store")
    (tmp_path / "my-s3-bucket").mkdir()
    return tmp_path


def files(directory: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in directory.iterdir() if path.name != "lock"}


def said(directory: Path) -> Any:
    return json.loads((directory / "format.json").read_text())


def plane(data_dir: Path, store: JournalStore) -> ControlPlane:
    settings = Settings(data_dir=data_dir)
    return ControlPlane(settings, store, Bucket.open(settings), Changes())


def check(data_dir: Path) -> None:
    """Everything is there, and as it should be in the present format."""
    store = JournalStore.open(data_dir / "store")
    assert not store.damages
    found = plane(data_dir, store)
    for version in "12":
        id = identifier_pb2.Identifier(resource_type=identifier_pb2.WORKFLOW, name="w", version=version, **IN_PROJECT)
        closure = found.workflows.get(common_pb2.ObjectGetRequest(id=id)).closure.compiled_workflow
        assert closure.primary.template.id == id
        assert [node.id for node in closure.primary.template.nodes] == ["start-node", "end-node", "n0"]
        assert [task.template.id.version for task in closure.tasks] == [version]
    for name, version in zip(EXECUTIONS, ("aaa", "bbb", "ccc"), strict=True):
        request = node_execution_pb2.GetDynamicNodeWorkflowRequest()
        request.id.node_id = "d"
        request.id.execution_id.MergeFrom(identifier_pb2.WorkflowExecutionIdentifier(name=name, **IN_PROJECT))
        made = found.node_executions.dynamic_workflow(request).compiled_workflow.primary.template
        assert (made.id.name, made.id.version, made.nodes[0].id) == ("dynamic_d", version, "dn0")
    assert len(store.table(CLOSURES)) == 3, "one of all dynamic nodes, and one of each version"
    for old in "workflow_closures", "dynamic_workflows":
        assert store.table(TableSchema(old, partition=3 if old == "dynamic_workflows" else 0)).keys(Query()) == []
    asyncio.run(store.close())
    assert said(data_dir / "store") == {"format": FORMAT, "written_by": "flytelite 0.1.0"}


def test_an_older_store_is_migrated_and_kept(data_dir: Path, caplog: pytest.LogCaptureFixture) -> None:
    check(data_dir)
    assert files(data_dir / "store.format-1") == files(FORMAT_1)
    assert f"as it was, it is kept in {data_dir / 'store.format-1'}" in caplog.text
    check(data_dir)
    assert [path.name for path in data_dir.glob("store.*")] == ["store.format-1"], "once"


def test_a_migrated_store_goes_on_as_any_other(data_dir: Path) -> None:
    store = JournalStore.open(data_dir / "store", segment_bytes=2000)
    table = store.table(TableSchema("notes"))

    async def scenario() -> None:
        while (data_dir / "store" / "journal-000000000001-000000000023.jsonl").exists():
            table.put("a", {"text": "x" * 500})
            await store.durable()
            if store._maintenance.task is not None:
                await store._maintenance.task
        await store.close()

    asyncio.run(scenario())
    assert b'"table":"workflow_closures"' not in b"".join(files(data_dir / "store").values())
    check(data_dir)


def test_it_can_be_put_back_and_migrated_again(data_dir: Path) -> None:
    check(data_dir)
    shutil.rmtree(data_dir / "store")
    shutil.copytree(data_dir / "store.format-1", data_dir / "store")
    check(data_dir)
    assert files(data_dir / "store.format-1-2") == files(FORMAT_1)


class DyingDisk(Disk):
    """A disk that works until its ``last`` call that changes something; from then on every call fails."""

    def __init__(self, last: int, error: int = errno.EIO) -> None:
        self.left = last
        self.error = error


def _dying(name: str) -> Callable[..., Any]:
    original = getattr(Disk, name)

    def call(self: DyingDisk, *arguments: Any) -> Any:
        self.left -= 1
        if self.left < 0:
            raise OSError(self.error, os.strerror(self.error))
        return original(self, *arguments)

    return call


for _name in ("create", "write", "sync", "truncate", "rename", "link", "remove", "sync_directory"):
    setattr(DyingDisk, _name, _dying(_name))


def test_a_migration_can_end_at_any_point(data_dir: Path) -> None:
    calls = 0
    while True:
        home = data_dir / str(calls)
        shutil.copytree(FORMAT_1, home / "store")
        (home / "my-s3-bucket").mkdir()
        disk = DyingDisk(calls)
        with contextlib.suppress(Unavailable, ResourceExhausted):
            asyncio.run(JournalStore.open(home / "store", disk=disk).close())
        if said(home / "store")["format"] == 1:
            assert files(home / "store").items() >= files(FORMAT_1).items(), "nothing changes before the backup"
        check(home)
        assert files(home / "store.format-1") == files(FORMAT_1)
        assert [path.name for path in home.glob(".store*")] == []
        if disk.left > 0:
            break
        calls += 1
    assert calls > 20


def test_a_full_disk_is_told_of(data_dir: Path) -> None:
    with pytest.raises(ResourceExhausted, match="free some space"):
        JournalStore.open(data_dir / "store", disk=DyingDisk(3, errno.ENOSPC))
    check(data_dir)


def test_an_older_program_does_not_open_what_is_being_migrated(data_dir: Path) -> None:
    for calls in range(9, 40):
        shutil.rmtree(data_dir / "store")
        shutil.copytree(FORMAT_1, data_dir / "store")
        with pytest.raises(FlyteError):
            JournalStore.open(data_dir / "store", disk=DyingDisk(calls))
        if files(data_dir / "store").keys() == files(FORMAT_1).keys() and said(data_dir / "store")["format"] == FORMAT:
            assert said(data_dir / "store")["migrating_from"] == 1
            return
    pytest.fail("the migration never began")


def test_a_damaged_older_store_is_salvaged_first(data_dir: Path) -> None:
    store, salvaged = data_dir / "store", data_dir / "salvaged" / "store"
    damaged = store / "journal-000000000024.jsonl"
    lines = damaged.read_bytes().splitlines(keepends=True)
    assert b"literal_maps" not in lines[2]
    lines[2] = lines[2].replace(b'"key"', b'"kez"', 1)
    damaged.write_bytes(b"".join(lines))
    before = files(store)
    with pytest.raises(FailedPrecondition, match=r"has format 1 and is damaged.*flytelite doctor --repair"):
        JournalStore.open(store)
    assert files(store) == before
    assert examine(store).format == 1
    salvage(store, salvaged)
    assert said(salvaged)["format"] == 1
    repaired = JournalStore.open(salvaged)
    assert said(salvaged)["format"] == FORMAT
    assert len(repaired.table(TableSchema("workflows")).keys(Query())) == 2
    asyncio.run(repaired.close())


def test_a_store_that_does_not_say_its_format_is_taken_for_the_oldest(data_dir: Path) -> None:
    (data_dir / "store" / "format.json").unlink()
    check(data_dir)
    (data_dir / "store" / "format.json").unlink()
    check(data_dir)


def test_contents_of_format_1_are_used(data_dir: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO")
    check(data_dir)
    assert "missing or do not fit" not in caplog.text
    assert any(orjson.loads(path.read_bytes().splitlines()[-1])["format"] == 1 for path in FORMAT_1.glob("*.contents"))


def test_schedules_that_nothing_fired_yet_fire_from_now_on() -> None:
    store = MemoryStore()
    plans = store.table(TableSchema("launch_plans"))
    active = {"state": 1, "message": {"spec": {"entityMetadata": {"schedule": {"rate": {"value": 1}}}}}}
    for name, document in {
        "active": active,
        "inactive": {**active, "state": 0},
        "without": {"state": 1, "message": {"spec": {"entityMetadata": {"schedule": {}}}}},
    }.items():
        id = {"resourceType": "LAUNCH_PLAN", **IN_PROJECT, "name": name, "version": "1"}
        message = {**document["message"], "id": id}
        plans.put(f"flytesnacks/development/{name}/1", {**document, "message": message})
    before = datetime.now(UTC)
    asyncio.run(format_2.migrate(store))
    (scheduled,) = Schedules(store, Changes())
    assert (scheduled.launch_plan.name, scheduled.schedule.rate.value) == ("active", 1)
    assert before <= scheduled.since <= datetime.now(UTC)
    asyncio.run(format_2.migrate(store))  # as after a migration that was interrupted
    assert list(Schedules(store, Changes())) == [scheduled]
