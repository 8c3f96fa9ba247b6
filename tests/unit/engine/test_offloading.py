"""Literals that are too large to be passed on: who offloads them, and who looks into them."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from pathlib import Path

import pytest
from flyteidl.core import execution_pb2, interface_pb2, literals_pb2, types_pb2

from flytelite.config import Settings
from flytelite.engine import offloading

SUCCEEDED = execution_pb2.WorkflowExecution.SUCCEEDED
FAILED = execution_pb2.WorkflowExecution.FAILED

SOURCE = """
from flytekit import conditional, map_task, task, workflow

@task
def texts(n: int) -> list[str]:
    return [str(i) * 500_000 for i in range(n)]

@task
def size(text: str) -> int:
    return len(text)

@task
def total(sizes: list[int]) -> int:
    return sum(sizes)

@task
def doubled(text: str) -> str:
    return text + text

@task
def count(texts: list[str]) -> int:
    return sum(len(text) for text in texts)

@workflow
def mapped(n: int) -> int:
    return total(sizes=map_task(size)(text=texts(n=n)))

@workflow
def item(n: int) -> int:
    return size(text=texts(n=n)[2])

@workflow
def gathered(n: int) -> int:
    return count(texts=map_task(doubled)(text=texts(n=n)))

@workflow
def passed(n: int) -> list[str]:
    return texts(n=n)
"""


@pytest.fixture
def offloads(bench):
    bench.settings = replace(bench.settings, literal_offloading_min_mb=1)
    return bench


def outputs_of(bench, node: str) -> literals_pb2.Literal:
    return literals_pb2.LiteralMap.FromString(Path(bench.node(node).closure.output_uri).read_bytes()).literals["o0"]


@pytest.mark.parametrize(("name", "result"), [("mapped", "1500000"), ("item", "500000"), ("gathered", "3000000")])
def test_who_needs_what_is_inside_gets_it(offloads, name, result):
    closure = offloads.run(SOURCE, name, {"n": 3})
    assert closure.phase == SUCCEEDED, closure
    assert offloads.outputs() == {"o0": result}
    assert outputs_of(offloads, "n0").HasField("offloaded_metadata")
    if name == "gathered":
        short = outputs_of(offloads, "n1")
        assert Path(short.offloaded_metadata.uri).name == "o0_offloaded_metadata.pb"
        assert short.offloaded_metadata.inferred_type.collection_type.simple == types_pb2.STRING
        assert short.hash
        assert len(offloading.load(short).collection.literals) == 3


def test_the_outputs_of_a_workflow_may_be_an_address(offloads):
    assert offloads.run(SOURCE, "passed", {"n": 3}).phase == SUCCEEDED
    found = offloads.ledger.execution_outputs(offloads.id).literals["o0"]
    assert offloading.load(found).collection.literals[1].scalar.primitive.string_value == "1" * 500_000


def test_off_unless_it_is_asked_for(bench):
    assert bench.run(SOURCE, "passed", {"n": 3}).phase == SUCCEEDED
    assert not outputs_of(bench, "n0").HasField("offloaded_metadata")


def test_one_that_is_gone_fails_the_node(offloads):
    closure = offloads.build(SOURCE, "item")
    offloads.id = offloads.ledger.create("exec", closure, offloads.literals(n=3))
    asyncio.run(offloads.stop_when(offloads.id, lambda: "n0 SUCCEEDED" in offloads.ledger.lines()))
    Path(outputs_of(offloads, "n0").offloaded_metadata.uri).unlink()
    found = offloads.go(offloads.id)
    assert (found.phase, found.error.code) == (FAILED, "BindingResolutionFailure")
    assert "is gone" in found.error.message


def test_limits(tmp_path):
    literal = literals_pb2.Literal()
    literal.scalar.primitive.string_value = "x" * 2_200_000
    outputs = literals_pb2.LiteralMap(literals={"large": literal, "small": literals_pb2.Literal(hash="h")})
    declared = interface_pb2.VariableMap()
    declared.variables["large"].type.simple = types_pb2.STRING

    def offload(**settings):
        given = Settings(**settings)
        return asyncio.run(offloading.offloaded(outputs, declared, tmp_path, given))

    assert offload() is outputs
    assert offload(literal_offloading_min_mb=3) is outputs
    found = offload(literal_offloading_min_mb=2)
    assert found.literals["small"] == outputs.literals["small"]
    metadata = found.literals["large"].offloaded_metadata
    assert metadata.size_bytes == literal.ByteSize()
    assert offloading.load(found.literals["large"]) == literal
    with pytest.raises(offloading.TooLargeToOffload, match=r"\[2\] MB"):
        offload(literal_offloading_min_mb=1, literal_offloading_max_mb=2)
    metadata.uri = "s3://bucket/x"
    with pytest.raises(offloading.CannotLoad, match="not on this machine"):
        offloading.load(found.literals["large"])
