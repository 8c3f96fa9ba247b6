from __future__ import annotations

import msgpack
import pytest
from flyteidl.core import dynamic_job_pb2, literals_pb2, types_pb2

from flytelite.engine.tasks import private_inputs


def blob(path, format: str = "") -> literals_pb2.Literal:
    metadata = literals_pb2.BlobMetadata(type=types_pb2.BlobType(format=format))
    return literals_pb2.Literal(scalar=literals_pb2.Scalar(blob=literals_pb2.Blob(uri=str(path), metadata=metadata)))


def packed(value) -> literals_pb2.Literal:
    binary = literals_pb2.Binary(tag="msgpack", value=msgpack.packb(value))
    return literals_pb2.Literal(scalar=literals_pb2.Scalar(binary=binary))


def literals(**values) -> literals_pb2.LiteralMap:
    return literals_pb2.LiteralMap(literals=values)


@pytest.fixture
def bucket(tmp_path):
    (tmp_path / "bucket/raw/many/deep").mkdir(parents=True)
    (tmp_path / "bucket/raw/one.txt").write_text("one")
    (tmp_path / "bucket/raw/two.txt").write_text("two")
    (tmp_path / "bucket/raw/many/deep/three.txt").write_text("three")
    return tmp_path / "bucket"


@pytest.fixture
def directory(tmp_path):
    return tmp_path / "copies"


def test_files_wherever_they_are_named_are_copied_once(bucket, directory):
    one, two, many = (bucket / "raw" / name for name in ("one.txt", "two.txt", "many"))
    listed = literals_pb2.LiteralCollection(literals=[blob(one), blob(two)])
    union = literals_pb2.Union(value=blob(many))
    inputs = literals(
        list=literals_pb2.Literal(collection=listed),
        map=literals_pb2.Literal(map=literals(x=blob(one))),
        union=literals_pb2.Literal(scalar=literals_pb2.Scalar(union=union)),
        dataclass=packed({"file": {"path": str(two)}, "number": 1}),
    )
    copies, too_large = private_inputs.copy(inputs, bucket, directory)
    assert set(copies) == {str(one), str(two), str(many)}
    assert not too_large
    replaced = private_inputs.replace(inputs, copies).literals
    assert [item.scalar.blob.uri for item in replaced["list"].collection.literals] == [
        copies[str(one)],
        copies[str(two)],
    ]
    assert replaced["map"].map.literals["x"].scalar.blob.uri == copies[str(one)]
    assert replaced["union"].scalar.union.value.scalar.blob.uri == copies[str(many)]
    assert msgpack.unpackb(replaced["dataclass"].scalar.binary.value) == {
        "file": {"path": copies[str(two)]},
        "number": 1,
    }
    for stored, private in ((one, copies[str(one)]), (many / "deep/three.txt", f"{copies[str(many)]}/deep/three.txt")):
        with open(private, "a") as file:
            file.write("changed")
        assert "changed" not in stored.read_text()


def test_what_is_elsewhere_or_only_read_or_gone_is_left_alone(bucket, directory, tmp_path):
    (tmp_path / "mine.txt").write_text("mine")
    (bucket / "raw/out").symlink_to(tmp_path / "mine.txt")
    text = literals_pb2.Literal(
        scalar=literals_pb2.Scalar(primitive=literals_pb2.Primitive(string_value=str(bucket / "raw/one.txt")))
    )
    inputs = literals(
        elsewhere=blob(tmp_path / "mine.txt"),
        remote=blob("s3://bucket/raw/one.txt"),
        pickle=blob(bucket / "raw/one.txt", private_inputs.PICKLE),
        gone=blob(bucket / "raw/gone.txt"),
        above=blob(f"{bucket}/../mine.txt"),
        link=blob(bucket / "raw/out"),
        text=text,
    )
    assert private_inputs.copy(inputs, bucket, directory) == ({}, [])
    assert not directory.exists()


def test_what_is_too_large_is_told_where_it_cannot_be_cloned(bucket, directory, monkeypatch):
    monkeypatch.setattr(private_inputs, "COPIED_BYTES", 4)
    monkeypatch.setattr(private_inputs, "_clone", lambda source, target: False)
    inputs = literals(a=blob(bucket / "raw/many"), b=blob(bucket / "raw/one.txt"))
    copies, too_large = private_inputs.copy(inputs, bucket, directory)
    assert list(copies) == [str(bucket / "raw/one.txt")]
    assert too_large == [str(bucket / "raw/many")]


def test_results_name_what_is_stored(bucket, directory, tmp_path):
    inputs = literals(a=blob(bucket / "raw/one.txt"), b=blob(bucket / "raw/many"))
    copies, _ = private_inputs.copy(inputs, bucket, directory)
    one, many = (copies[str(bucket / "raw" / name)] for name in ("one.txt", "many"))
    outputs = literals(a=blob(one), b=blob(f"{many}/deep/three.txt"), c=blob("/elsewhere"))
    (tmp_path / "outputs.pb").write_bytes(outputs.SerializeToString())
    futures = dynamic_job_pb2.DynamicJobSpec()
    futures.nodes.add().inputs.add().binding.scalar.blob.uri = one
    (tmp_path / "futures.pb").write_bytes(futures.SerializeToString())
    private_inputs.give_back(directory, tmp_path)
    found = literals_pb2.LiteralMap.FromString((tmp_path / "outputs.pb").read_bytes()).literals
    assert {name: literal.scalar.blob.uri for name, literal in found.items()} == {
        "a": str(bucket / "raw/one.txt"),
        "b": str(bucket / "raw/many/deep/three.txt"),
        "c": "/elsewhere",
    }
    spec = dynamic_job_pb2.DynamicJobSpec.FromString((tmp_path / "futures.pb").read_bytes())
    assert spec.nodes[0].inputs[0].binding.scalar.blob.uri == str(bucket / "raw/one.txt")


def test_results_that_are_none_are_left_to_their_judge(bucket, directory, tmp_path):
    copies, _ = private_inputs.copy(literals(a=blob(bucket / "raw/one.txt")), bucket, directory)
    content = b"\xff" + copies[str(bucket / "raw/one.txt")].encode()
    (tmp_path / "outputs.pb").write_bytes(content)
    private_inputs.give_back(directory, tmp_path)
    assert (tmp_path / "outputs.pb").read_bytes() == content
