"""Executions that go from one data directory to another."""

from __future__ import annotations

import asyncio
import gzip
import io
import tarfile
from pathlib import Path
from typing import Any

import msgpack
import orjson
import pytest
from flyteidl.admin import execution_pb2, launch_plan_pb2, node_execution_pb2, task_execution_pb2
from flyteidl.core import execution_pb2 as core_execution_pb2
from flyteidl.core import identifier_pb2, literals_pb2
from google.protobuf.json_format import MessageToJson

from flytelite.errors import AlreadyExists, FailedPrecondition, InvalidArgument, NotFound
from flytelite.server.admin.closures import CLOSURES

SUCCEEDED = core_execution_pb2.WorkflowExecution.SUCCEEDED


def literals(**values: literals_pb2.Literal) -> literals_pb2.LiteralMap:
    return literals_pb2.LiteralMap(literals=values)


def packed(**values: Any) -> literals_pb2.Literal:
    made = literals_pb2.Literal()
    made.scalar.binary.tag, made.scalar.binary.value = "msgpack", msgpack.packb(values)
    return made


def blob(uri: Any) -> literals_pb2.Literal:
    made = literals_pb2.Literal()
    made.scalar.blob.uri = str(uri)
    return made


def everything(home: Any, name: str) -> str:
    """What clients are told of an execution."""
    id = home.id(name)
    node = identifier_pb2.NodeExecutionIdentifier(execution_id=id, node_id="n0")
    plane = home.plane
    answers = [
        plane.executions.get(execution_pb2.WorkflowExecutionGetRequest(id=id)),
        plane.executions.data(execution_pb2.WorkflowExecutionGetDataRequest(id=id)),
        plane.node_executions.get(node_execution_pb2.NodeExecutionGetRequest(id=node)),
        plane.node_executions.data(node_execution_pb2.NodeExecutionGetDataRequest(id=node)),
        *plane.task_executions.list(
            task_execution_pb2.TaskExecutionListRequest(node_execution_id=node, limit=10)
        ).task_executions,
        plane.executions.resolved_spec(id),
        plane.launch_plans.find(answers_plan(plane, id)),
        plane.workflows.closure(plane.executions.find(id).closure.workflow_id),
    ]
    return "\n".join(MessageToJson(answer, sort_keys=True) for answer in answers)


def answers_plan(plane: Any, id: Any) -> identifier_pb2.Identifier:
    return plane.executions.find(id).spec.launch_plan


@pytest.fixture
def archive(tmp_path: Path) -> Path:
    return tmp_path / "x.tar.gz"


@pytest.fixture
def a(make_home: Any) -> Any:
    """A home with one failed execution, whose input is a file that somebody uploaded."""
    made = make_home("a")
    made.register()
    made.start("one", uri=made.write("flytesnacks/development/UPLOAD/in.txt", b"input"))
    made.end("one")
    return made


def moved(text: str, old: Any, new: Any) -> str:
    text = text.replace(old.settings.authority, new.settings.authority)
    return text.replace(f"{old.settings.data_dir}/", f"{new.settings.data_dir}/")


def test_a_failed_execution_is_the_same_elsewhere(a: Any, make_home: Any, archive: Path) -> None:
    b = make_home("a.b")
    exported = a.export(archive, "one")
    assert (exported.executions, exported.left_out) == (1, 0)
    imported = b.take_in(archive)
    assert imported.executions == ("flytesnacks/development/one",)
    assert imported.known == ()
    assert everything(b, "one") == moved(everything(a, "one"), a, b)
    for path in (
        "my-s3-bucket/flytesnacks/development/UPLOAD/in.txt",
        "my-s3-bucket/flytesnacks/development/HASH/code.tar.gz",
        "my-s3-bucket/metadata/propeller/flytesnacks-development-one/n0/data/0/deck.html",
        "attempts/flytesnacks/development/one/n0/0/task.log",
        str((a.raw("one") / "out.txt").relative_to(a.settings.data_dir)),
    ):
        assert (b.settings.data_dir / path).read_bytes() == (a.settings.data_dir / path).read_bytes()
    assert not (b.settings.data_dir / "attempts/flytesnacks/development/one/n0/0/process").exists()
    assert list((b.settings.data_dir / "uploads").iterdir()) == []


def test_what_was_imported_is_there_after_a_restart_and_can_be_relaunched(
    a: Any, make_home: Any, archive: Path
) -> None:
    b = make_home("b")
    a.export(archive)
    b.take_in(archive)
    b.close()
    b = make_home("b")
    again = b.plane.executions.relaunch(execution_pb2.ExecutionRelaunchRequest(id=a.id("one"), name="two")).id
    (value,) = b.plane.executions.inputs(again).literals.values()
    assert Path(value.scalar.blob.uri) == b.bucket / "flytesnacks/development/UPLOAD/in.txt"
    assert b.plane.executions.inputs(again) == b.plane.executions.inputs(a.id("one"))


def test_registering_the_same_at_its_new_place_is_known_to_be_the_same(a: Any, make_home: Any, archive: Path) -> None:
    b = make_home("b")
    a.export(archive)
    b.take_in(archive)
    with pytest.raises(AlreadyExists, match="identical structure"):
        b.register()


def test_the_same_archive_again_adds_nothing(a: Any, make_home: Any, archive: Path) -> None:
    b = make_home("b")
    a.export(archive)
    b.take_in(archive)
    before = b.store.position
    for target in (a, b):
        again = target.take_in(archive)
        assert (again.executions, again.documents, again.files) == ((), 0, 0)
        assert again.known == ("flytesnacks/development/one",)
    assert b.store.position == before


def test_paths_inside_packed_and_large_values_move_too(a: Any, make_home: Any, archive: Path, tmp_path: Path) -> None:
    a.now = 10
    inside = a.write("flytesnacks/development/INSIDE/deep.txt", b"deep")
    large = a.write("flytesnacks/development/LARGE/file.txt", b"large")
    a.start("two", uri="/tmp/x")
    outputs = literals(
        x=packed(file={"path": str(inside)}, list=[f"file://{inside}", 1.5, None], beside=f"{a.settings.data_dir}-2/x"),
        y=literals_pb2.Literal(map=literals(k=blob(large))),
        z=blob("x" * 100_000),
    )
    a.end("two", SUCCEEDED, outputs)
    maps = a.plane.literal_maps
    map = literals(x=blob(large), z=blob("y" * 100_000))
    assert "binary" in a.store.table(maps._table.schema).get(maps.put(map))

    b = make_home("b")
    a.export(archive, "two")
    b.take_in(archive)
    found = b.plane.executions.data(execution_pb2.WorkflowExecutionGetDataRequest(id=a.id("two"))).full_outputs
    value = msgpack.unpackb(found.literals["x"].scalar.binary.value)
    there = b.bucket / "flytesnacks/development/INSIDE/deep.txt"
    assert value["file"]["path"] == str(there)
    assert value["list"] == [f"file://{there}", 1.5, None]
    assert value["beside"] == f"{a.settings.data_dir}-2/x"  # another directory, whose name begins alike
    assert there.read_bytes() == b"deep"
    assert Path(found.literals["y"].map.literals["k"].scalar.blob.uri).read_bytes() == b"large"


def test_workflows_of_dynamic_nodes_travel_once_and_move(a: Any, make_home: Any, archive: Path) -> None:
    for name in "some", "other":
        a.start(name)
        a.make_dynamic(name, f"of_{name}", arg=f"{a.bucket}/x")
        a.end(name)
    a.export(archive, "some", "other")
    b = make_home("b")
    b.take_in(archive)
    assert len(b.store.table(CLOSURES)) == 2, "that of the workflow and that of both nodes"
    for name in "some", "other":
        made = b.dynamic(name).primary.template
        assert made.id.version == f"of_{name}"
        assert made.nodes[0].inputs[0].binding.scalar.primitive.string_value == f"{b.bucket}/x"


def test_an_archive_of_format_1_is_read(make_home: Any, archive: Path) -> None:
    latest = {}
    for segment in sorted((Path(__file__).parent / "store" / "format_1").glob("*.jsonl")):
        for line in segment.read_bytes().splitlines():
            for change in orjson.loads(line)["changes"]:
                latest[change["table"], change["key"]] = {key: change[key] for key in ("table", "key", "document")}
    assert any(table == "dynamic_workflows" for table, _ in latest)
    documents = b"".join(orjson.dumps(line) + b"\n" for line in latest.values() if line["table"] != "engine_notes")
    manifest = {"format": 1, "data_dir": "/home/me/.flytelite", "executions": [], "files": 0, "bytes": len(documents)}
    with tarfile.open(archive, "w:gz", format=tarfile.GNU_FORMAT) as tar:
        for name, content in ("snapshot.json", orjson.dumps(manifest)), ("documents.jsonl", documents):
            info = tarfile.TarInfo(name)
            info.size = len(content)
            tar.addfile(info, io.BytesIO(content))
    b = make_home("b")
    assert len(b.take_in(archive).executions) == 3
    assert b.dynamic("second").primary.template.id.version == "bbb"
    b.start("again")


def test_only_what_was_named_goes(a: Any, make_home: Any, archive: Path) -> None:
    a.register("other")
    a.now = 10
    a.start("two")
    a.end("two")
    b = make_home("b")
    a.export(archive, "two")
    b.take_in(archive)
    assert b.execution("one") is None
    assert b.execution("two").closure.error.code == "USER:Broken"
    assert (
        b.plane.tasks.find(
            identifier_pb2.Identifier(project="flytesnacks", domain="development", name="other.task", version="1")
        )
        is None
    )
    assert not (b.bucket / "flytesnacks/development/UPLOAD").exists()


def test_executions_that_have_not_ended_stay(a: Any, make_home: Any, archive: Path) -> None:
    a.start("running")
    with pytest.raises(FailedPrecondition, match="execution flytesnacks/development/running has not ended"):
        a.export(archive, "running")
    with pytest.raises(NotFound, match="there is no execution"):
        a.export(archive, "nobody")
    assert a.export(archive).left_out == 1
    b = make_home("b")
    assert b.take_in(archive).executions == ("flytesnacks/development/one",)
    assert b.plane.executions.unfinished() == []


def test_another_execution_of_that_name_is_kept(a: Any, make_home: Any, archive: Path) -> None:
    b = make_home("b")
    b.now = 99
    b.register()
    b.start("one")
    b.end("one")
    asyncio.run(b.store.durable())
    before, files = b.store.position, sorted(b.settings.data_dir.rglob("*"))
    a.export(archive)
    with pytest.raises(AlreadyExists, match="there is another execution flytesnacks/development/one here"):
        b.take_in(archive)
    assert (b.store.position, sorted(b.settings.data_dir.rglob("*"))) == (before, files)


def test_another_structure_of_a_version_is_kept(a: Any, make_home: Any, archive: Path) -> None:
    b = make_home("b")
    b.register(arg="other")
    before = b.store.position
    a.export(archive)
    with pytest.raises(AlreadyExists, match=r"registered here with a different structure"):
        b.take_in(archive)
    assert b.store.position == before
    assert b.execution("one") is None


def test_another_file_is_kept(a: Any, make_home: Any, archive: Path) -> None:
    b = make_home("b")
    mine = b.write("flytesnacks/development/UPLOAD/in.txt", b"mine")
    a.export(archive)
    with pytest.raises(FailedPrecondition, match=r"in\.txt is here already with other content"):
        b.take_in(archive)
    assert mine.read_bytes() == b"mine"
    assert not (b.bucket / "metadata").exists()


def test_files_of_an_import_that_was_interrupted_are_replaced(a: Any, make_home: Any, archive: Path) -> None:
    b = make_home("b")
    left = b.write("metadata/propeller/flytesnacks-development-one/n0/data/0/outputs.pb", b"half")
    a.export(archive)
    b.take_in(archive)
    assert literals_pb2.LiteralMap.FromString(left.read_bytes()).literals["x"].scalar.blob.uri.startswith(str(b.bucket))


def test_a_link_that_leads_out_is_not_followed(a: Any, make_home: Any, archive: Path, tmp_path: Path) -> None:
    b = make_home("b")
    (tmp_path / "outside").mkdir()
    b.bucket.mkdir(exist_ok=True)
    (b.bucket / "flytesnacks").symlink_to(tmp_path / "outside")
    a.export(archive)
    with pytest.raises(FailedPrecondition, match="leads out of the data directory"):
        b.take_in(archive)
    assert list((tmp_path / "outside").iterdir()) == []


def test_launch_plans_do_not_start_anything_by_themselves(make_home: Any, archive: Path) -> None:
    a, b = make_home("a"), make_home("b")
    a.register("timed", schedule=True)
    a.register("w", version="2")
    b.register("w", version="1")
    a.export(archive)
    b.take_in(archive)
    b.take_in(archive)

    def state(name: str, version: str) -> int:
        id = identifier_pb2.Identifier(project="flytesnacks", domain="development", name=name, version=version)
        return b.plane.launch_plans.find(id).closure.state

    assert state("timed", "1") == launch_plan_pb2.INACTIVE
    assert state("w", "1") == launch_plan_pb2.ACTIVE
    assert state("w", "2") == launch_plan_pb2.INACTIVE


def changed(archive: Path, change: Any) -> None:
    """Apply ``change`` to each document of an archive; None drops it."""
    with tarfile.open(archive) as tar:
        members = [(info, tar.extractfile(info).read()) for info in tar]
    contents = {info.name: content for info, content in members}
    lines = [change(orjson.loads(line)) for line in contents["documents.jsonl"].splitlines()]
    documents = b"".join(orjson.dumps(line) + b"\n" for line in lines if line is not None)
    manifest = orjson.loads(contents["snapshot.json"])
    manifest["bytes"] += len(documents) - len(contents["documents.jsonl"])
    contents |= {"documents.jsonl": documents, "snapshot.json": orjson.dumps(manifest)}
    with gzip.open(archive, "wb") as file, tarfile.open(fileobj=file, mode="w", format=tarfile.GNU_FORMAT) as tar:
        for info, _ in members:
            info.size = len(contents[info.name])
            tar.addfile(info, io.BytesIO(contents[info.name]))


def of_table(name: str, change: Any) -> Any:
    def applied(line: Any) -> Any:
        return change(line) if line["table"] == name else line

    return applied


DAMAGES = {
    "an unknown table": of_table("projects", lambda line: {**line, "table": "engine_notes"}),
    "another key": of_table("executions", lambda line: {**line, "key": "flytesnacks/development/two"}),
    "no message": of_table("tasks", lambda line: {**line, "document": {}}),
    "no such field": of_table("tasks", lambda line: {**line, "document": {**line["document"], "message": {"id": 3}}}),
    "no closure": of_table("closures", lambda line: None),
    "no execution": of_table("executions", lambda line: None),
    "a running execution": of_table(
        "executions",
        lambda line: {
            **line,
            "document": {
                **line["document"],
                "message": {**line["document"]["message"], "closure": {"phase": "RUNNING"}},
            },
        },
    ),
    "a column that is no scalar": of_table(
        "node_executions", lambda line: {**line, "document": {**line["document"], "phase": ["x"]}}
    ),
    "a literal map of nothing": of_table("literal_maps", lambda line: {**line, "document": {"binary": "CgU="}}),
}


@pytest.mark.parametrize("damage", list(DAMAGES))
def test_documents_that_are_not_what_they_should_be_are_refused(
    a: Any, make_home: Any, archive: Path, damage: str
) -> None:
    b = make_home("b")
    a.export(archive)
    changed(archive, DAMAGES[damage])
    before = b.store.position
    with pytest.raises(InvalidArgument):
        b.take_in(archive)
    assert b.store.position == before
    assert [path for path in b.settings.data_dir.rglob("*") if path.name in ("outputs.pb", "task.log")] == []
