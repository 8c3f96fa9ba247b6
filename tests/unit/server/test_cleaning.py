"""Which executions go, and what of theirs stays because others use it."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from flyteidl.admin import execution_pb2
from flyteidl.core import execution_pb2 as core_execution_pb2
from flyteidl.core import identifier_pb2, literals_pb2
from flyteidl.datacatalog import datacatalog_pb2

from flytelite.errors import FailedPrecondition, InvalidArgument, ResourceExhausted
from flytelite.server.admin.closures import CLOSURES
from flytelite.server.admin.literal_maps import LITERAL_MAPS
from flytelite.server.admin.snapshot_tables import OF_EXECUTION

DAY = 86400
SUCCEEDED = core_execution_pb2.WorkflowExecution.SUCCEEDED
RECOVERED = execution_pb2.ExecutionMetadata.ExecutionMode.RECOVERED


def key(name: str) -> str:
    return f"flytesnacks/development/{name}"


def preview(home: Any, days: float, keep_last: int = 0) -> list[str]:
    found = asyncio.run(home.cleaning.preview(timedelta(days=days), keep_last))
    assert bool(found.bytes) == bool(found.executions)
    return [name.rpartition("/")[2] for name in found.executions]


def remove(home: Any, *names: str) -> Any:
    return asyncio.run(home.cleaning.remove([key(name) for name in names]))


def blob(uri: Path) -> literals_pb2.LiteralMap:
    map = literals_pb2.LiteralMap()
    map.literals["x"].scalar.blob.uri = str(uri)
    return map


def run(home: Any, name: str, day: float, **start: Any) -> None:
    home.now = day * DAY
    home.start(name, **start)
    home.end(name)


@pytest.fixture
def a(make_home: Any) -> Any:
    """A home in which an execution ended each day, and one runs since the first."""
    made = make_home("a")
    made.register()
    made.register("other")
    made.start("running")
    for day, name in enumerate(("first", "second", "third")):
        run(made, name, day, uri=f"/inputs/{name}")
    made.now = 3 * DAY
    return made


def test_age_is_counted_from_the_end_and_the_oldest_come_first(a: Any) -> None:
    assert preview(a, 0) == ["first", "second", "third"]
    assert preview(a, 1.5) == ["first", "second"]
    assert preview(a, 2.5) == ["first"]
    assert preview(a, 30) == []
    assert preview(a, 1_000_000) == []


def test_the_newest_of_each_workflow_stay(a: Any) -> None:
    run(a, "else", 0.5, workflow="other")
    a.now = 3 * DAY
    assert preview(a, 0) == ["first", "else", "second", "third"]
    assert preview(a, 0, keep_last=1) == ["first", "second"]
    assert preview(a, 0, keep_last=2) == ["first"]


@pytest.mark.parametrize(("days", "keep_last"), [(-1, 0), (0, -1)])
def test_negative_ages_and_numbers_are_refused(a: Any, days: float, keep_last: int) -> None:
    with pytest.raises(InvalidArgument):
        preview(a, days, keep_last)


def test_removing_takes_documents_files_and_literal_maps(a: Any) -> None:
    maps = a.store.table(LITERAL_MAPS)
    before = len(maps)
    gone = remove(a, "first", "second", "nobody")
    assert gone.executions == (key("first"), key("second"))
    assert (a.execution("first"), a.execution("second")) == (None, None)
    assert a.execution("third") is not None
    assert len(maps) == before - 2
    assert [path for name in ("first", "second") for path in a.settings.data_dir.rglob(f"*{name}*")] == []
    assert (a.raw("third") / "out.txt").is_file()
    assert list((a.settings.data_dir / "uploads").iterdir()) == []
    a.close()
    left = (a.settings.store / "journal-000000000001.jsonl").read_bytes()
    assert b'"document":null' in left


def test_nothing_is_left_in_any_table(a: Any) -> None:
    remove(a, "first", "second", "third")
    for name in OF_EXECUTION:
        keys = list(a.store._tables.tables[name]._rows)
        assert keys == [], name


def test_the_workflow_of_dynamic_nodes_goes_with_the_last_of_them(a: Any) -> None:
    closures = a.store.table(CLOSURES)
    registered = len(closures)
    for day, name in ((4, "fourth"), (5, "fifth")):
        a.now = day * DAY
        a.start(name)
        a.make_dynamic(name, f"made_by_{name}")
        a.end(name)
    assert len(closures) == registered + 1
    remove(a, "fourth")
    assert a.dynamic("fifth").primary.template.id.version == "made_by_fifth"
    remove(a, "fifth")
    assert len(closures) == registered


def test_what_runs_is_never_removed(a: Any) -> None:
    with pytest.raises(FailedPrecondition, match="execution flytesnacks/development/running has not ended"):
        remove(a, "first", "running")
    assert a.execution("first") is not None
    assert (a.raw("first") / "out.txt").is_file()


def test_raw_data_that_stays_in_use_stays(a: Any) -> None:
    run(a, "reader", 3, uri=a.raw("first") / "out.txt")
    a.now = 4 * DAY
    a.start("passing")
    a.end("passing", SUCCEEDED, blob(a.raw("second") / "out.txt"))
    remove(a, "first", "second", "third")
    assert (a.raw("first") / "out.txt").read_text() == "raw data of first"
    assert (a.raw("second") / "out.txt").is_file()  # only a file of another execution names it
    assert not a.raw("third").exists()


def test_what_the_cache_holds_stays(a: Any) -> None:
    a.write("catalog/ab/cd.pb", b"")
    path = a.write("catalog/ab/outputs.pb", blob(a.raw("first") / "out.txt").SerializeToString())
    remove(a, "first")
    assert path.is_file()
    assert (a.raw("first") / "out.txt").is_file()


def test_what_a_running_execution_recovers_from_stays(a: Any) -> None:
    a.plane.executions.recover(execution_pb2.ExecutionRecoverRequest(id=a.id("second"), name="again"))
    assert preview(a, 0) == ["first", "third"]


def test_children_stay_with_the_execution_that_started_them(a: Any) -> None:
    node = identifier_pb2.NodeExecutionIdentifier(node_id="n0", execution_id=a.id("third"))
    a.now = 0.5 * DAY
    metadata = execution_pb2.ExecutionMetadata(mode=4, parent_node_execution=node)
    a.start("child", metadata=metadata)
    a.end("child")
    a.now = 3 * DAY
    assert preview(a, 1.5) == ["first", "second"]
    assert preview(a, 0) == ["first", "child", "second", "third"]


def test_a_disk_that_refuses_leaves_everything(a: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    renamed = Path.rename

    def rename(self: Path, target: Path) -> Path:
        if self == a.raw("second"):
            raise OSError(28, "No space left on device")
        return renamed(self, target)

    monkeypatch.setattr(Path, "rename", rename)
    with pytest.raises(ResourceExhausted, match="No space"):
        remove(a, "first", "second")
    assert a.execution("first") is not None
    assert (a.raw("first") / "out.txt").is_file()
    assert (a.settings.data_dir / "attempts/flytesnacks/development/first/n0/0/task.log").is_file()


def test_what_the_cache_service_holds_stays(a: Any) -> None:
    dataset = datacatalog_pb2.DatasetID(project="p", domain="d", name="n", version="v")
    a.plane.datasets.create(datacatalog_pb2.CreateDatasetRequest(dataset={"id": dataset}))
    (value,) = a.plane.executions.inputs(a.id("first")).literals.values()
    artifact = datacatalog_pb2.Artifact(id="a1", dataset=dataset, data=[{"name": "x", "value": value}])
    a.plane.artifacts.create(datacatalog_pb2.CreateArtifactRequest(artifact=artifact))
    remove(a, "first", "second")
    request = datacatalog_pb2.GetArtifactRequest(dataset=dataset, artifact_id="a1")
    assert a.plane.artifacts.get(request).artifact.data[0].value == value
