from __future__ import annotations

import asyncio

import pytest
from flyteidl.core import (
    catalog_pb2,
    execution_pb2,
    identifier_pb2,
    interface_pb2,
    literals_pb2,
    tasks_pb2,
    types_pb2,
)

from flytelite.engine.catalog import NoCacheVersion, inputs_hash, key_of, signature
from flytelite.engine.record import CachedArtifact, ReservationHolder

SUCCEEDED = execution_pb2.WorkflowExecution.SUCCEEDED
Status = catalog_pb2.CatalogCacheStatus

SOURCE = """
import functools, os, time
from pathlib import Path
from flytekit import dynamic, map_task, task, workflow

def ran(directory, what):
    with open(directory + "/ran", "a") as file:
        file.write(what + "\\n")

@task(cache=True, cache_version="1", cache_ignore_input_vars=("directory",))
def square(directory: str, a: int) -> int:
    ran(directory, f"square{a}")
    return a * a

@workflow
def wf(directory: str, a: int) -> int:
    return square(directory=directory, a=a)

@workflow
def mapped(directory: str, values: list[int]) -> list[int]:
    return map_task(functools.partial(square, directory=directory))(a=values)

@dynamic(cache=True, cache_version="1", cache_ignore_input_vars=("directory",))
def many(directory: str, n: int) -> list[int]:
    ran(directory, "many")
    return [square(directory=directory, a=i) for i in range(n)]

@workflow
def dyn(directory: str, n: int) -> list[int]:
    return many(directory=directory, n=n)

@task(cache=True, cache_version="1", cache_serialize=True, cache_ignore_input_vars=("directory",))
def slow(directory: str, a: int) -> int:
    ran(directory, "slow")
    while not Path(directory + "/go").exists():
        time.sleep(0.01)
    return a

@workflow
def serial(directory: str, a: int) -> int:
    return slow(directory=directory, a=a)

@workflow
def beside(directory: str, a: int) -> tuple[int, int]:
    return slow(directory=directory, a=a), square(directory=directory, a=a)
"""


def integer(value: int) -> literals_pb2.Literal:
    return literals_pb2.Literal(scalar=literals_pb2.Scalar(primitive=literals_pb2.Primitive(integer=value)))


def test_hashes_are_flytes():
    both = literals_pb2.LiteralMap(literals={"1": integer(1), "2": integer(2)})
    assert inputs_hash(both) == "GQid5LjHbakcW68DS3P2jp80QLbiF0olFHF2hTh5bg8"
    assert inputs_hash(literals_pb2.LiteralMap()).startswith("GKw-c0Pw")
    assert inputs_hash(both, ["1", "2"]) == inputs_hash(literals_pb2.LiteralMap())
    kind = types_pb2.LiteralType(simple=types_pb2.INTEGER)
    variables = {name: interface_pb2.Variable(type=kind, description=name) for name in "12"}
    assert signature(interface_pb2.VariableMap(variables=variables)) == "UxVtPm0k"


def text(value: str) -> literals_pb2.Literal:
    return literals_pb2.Literal(scalar=literals_pb2.Scalar(primitive=literals_pb2.Primitive(string_value=value)))


def template(name: str) -> tasks_pb2.TaskTemplate:
    id = identifier_pb2.Identifier(project="project", domain="domain", name=name, version="version")
    return tasks_pb2.TaskTemplate(id=id, metadata=tasks_pb2.TaskMetadata(discovery_version="1.0.0"))


def test_keys_are_those_of_datacatalogs_own_tests():
    """``flytepropeller/pkg/controller/nodes/catalog/datacatalog/datacatalog_test.go``."""
    kind = types_pb2.LiteralType(simple=types_pb2.STRING)
    variables = interface_pb2.VariableMap(variables={"test": interface_pb2.Variable(type=kind)})
    interface = interface_pb2.TypedInterface(inputs=variables, outputs=variables)
    inputs = literals_pb2.LiteralMap(literals={"out1": text("output1-stringval")})
    key = key_of(template("name"), interface, inputs)
    assert (key.dataset.project, key.dataset.domain, key.dataset.name) == ("project", "domain", "flyte_task-name")
    assert key.dataset.version == "1.0.0-ue5g6uuI-ue5g6uuI"
    assert key.tag == "flyte_cached-BE6CZsMk6N3ExR_4X9EuwBgj2Jh2UwasXK3a_pM9xlY"
    bare = key_of(template("name"), interface_pb2.TypedInterface(), literals_pb2.LiteralMap())
    assert bare.dataset.version == "1.0.0-GKw-c0Pw-GKw-c0Pw"
    assert bare.tag == "flyte_cached-GKw-c0PwFokMUQ6T-TUmEWnZ4_VlQ2Qpgw-vCTT0-OQ"


def test_what_does_not_change_a_type_does_not_change_the_key():
    """Descriptions, metadata and annotations, at any depth; all but an annotation made for the key."""
    plain = types_pb2.LiteralType(collection_type=types_pb2.LiteralType(simple=types_pb2.STRUCT))
    told = types_pb2.LiteralType()
    told.CopyFrom(plain)
    told.collection_type.metadata["title"] = "T"
    told.collection_type.annotation.annotations["shown"] = "red"

    def signed(kind, description=""):
        variable = interface_pb2.Variable(type=kind, description=description)
        return signature(interface_pb2.VariableMap(variables={"a": variable}))

    assert signed(told, "what it is") == signed(plain)
    told.collection_type.annotation.annotations["cache-key-metadata"] = "v2"
    assert signed(told) != signed(plain)


def test_a_literal_with_a_hash_counts_by_it_alone():
    def inputs(value):
        own = integer(value)
        own.hash = "same"
        return literals_pb2.LiteralMap(
            literals={"x": literals_pb2.Literal(collection=literals_pb2.LiteralCollection(literals=[own]))}
        )

    assert inputs_hash(inputs(1)) == inputs_hash(inputs(2))


def test_a_cached_task_needs_a_version():
    with pytest.raises(NoCacheVersion):
        key_of(tasks_pb2.TaskTemplate(), interface_pb2.TypedInterface(), literals_pb2.LiteralMap())


def ran(bench) -> list[str]:
    path = bench.directory / "ran"
    return path.read_text().split() if path.exists() else []


def again(bench, name, inputs, execution, **spec):
    """One more execution of a workflow that was built before."""
    bench.id = bench.ledger.create(execution, bench.closures[f"flow.{name}"], bench.literals(**inputs), **spec)
    return bench.go(bench.id)


def last_event(bench, execution, node="n0"):
    events = [event for event in bench.ledger.of(node) if "id" in event.DESCRIPTOR.fields_by_name]
    return [event for event in events if event.id.execution_id.name == execution][-1]


def test_a_second_run_is_a_hit(bench):
    inputs = {"directory": str(bench.directory), "a": 3}
    assert bench.run(SOURCE, inputs=inputs).phase == SUCCEEDED
    first = last_event(bench, "exec").task_node_metadata
    assert first.cache_status == Status.CACHE_POPULATED
    assert first.catalog_key.dataset_id.name == "flyte_task-flow.square"
    assert first.catalog_key.artifact_tag.name.startswith("flyte_cached-")
    assert again(bench, "wf", {**inputs, "directory": "/elsewhere"}, "second").phase == SUCCEEDED
    assert bench.outputs() == {"o0": "9"}
    assert ran(bench) == ["square3"]
    id = bench.id
    assert [line for line in bench.ledger.lines(id) if line.startswith("n0")] == ["n0 SUCCEEDED"]
    second = last_event(bench, "second").task_node_metadata
    assert second.cache_status == Status.CACHE_HIT
    assert second.catalog_key.artifact_tag == first.catalog_key.artifact_tag
    assert second.catalog_key.source_task_execution.node_execution_id.execution_id.name == "exec"
    assert again(bench, "wf", inputs, "third", overwrite_cache=True).phase == SUCCEEDED
    assert ran(bench) == ["square3", "square3"]
    assert last_event(bench, "third").task_node_metadata.cache_status == Status.CACHE_POPULATED
    assert again(bench, "wf", inputs, "fourth").phase == SUCCEEDED
    source = last_event(bench, "fourth").task_node_metadata.catalog_key.source_task_execution
    assert source.node_execution_id.execution_id.name == "third"


def test_elements_are_cached_one_by_one(bench):
    directory = str(bench.directory)
    assert bench.run(SOURCE, "mapped", inputs={"directory": directory, "values": [1, 2]}).phase == SUCCEEDED
    assert again(bench, "mapped", {"directory": directory, "values": [2, 3]}, "second").phase == SUCCEEDED
    assert bench.outputs() == {"o0": "[4,9]"}
    assert sorted(ran(bench)) == ["square1", "square2", "square3"]
    resources = {}
    for event in bench.ledger.events:
        if "task_type" in event.DESCRIPTOR.fields_by_name and event.parent_node_execution_id.execution_id == bench.id:
            for resource in event.metadata.external_resources:
                resources[resource.index] = resource
    assert resources[0].cache_status == Status.CACHE_HIT
    assert resources[0].phase == execution_pb2.TaskExecution.SUCCEEDED
    assert resources[1].cache_status == Status.CACHE_POPULATED


def test_a_dynamic_node_is_cached_as_a_whole(bench):
    inputs = {"directory": str(bench.directory), "n": 2}
    assert bench.run(SOURCE, "dyn", inputs=inputs).phase == SUCCEEDED
    assert again(bench, "dyn", inputs, "second").phase == SUCCEEDED
    assert bench.outputs() == {"o0": "[0,1]"}
    assert sorted(ran(bench)) == ["many", "square0", "square1"]
    assert [line for line in bench.ledger.lines(bench.id) if line.startswith("n0")] == ["n0 SUCCEEDED"]


def test_serialized_runs_wait_for_each_other(bench):
    bench.build(SOURCE, "serial")
    inputs = bench.literals(directory=str(bench.directory), a=5)
    ids = [bench.ledger.create(name, bench.closures["flow.serial"], inputs) for name in ("first", "second")]

    async def main():
        propeller = bench.engine()
        await propeller.start()
        await bench.ledger.until(lambda: "n0 TE0 RUNNING" in bench.ledger.lines())
        await bench.ledger.until(lambda: bench.ledger.lines().count("n0 QUEUED") == 2)
        (bench.directory / "go").touch()
        closures = [await asyncio.wait_for(bench.ledger.ended(id), 60) for id in ids]
        await propeller.stop()
        return closures

    assert [closure.phase for closure in asyncio.run(main())] == [SUCCEEDED, SUCCEEDED]
    assert ran(bench) == ["slow"]
    lines = [[line for line in bench.ledger.lines(id) if line.startswith("n0")] for id in ids]
    assert ["n0 QUEUED", "n0 SUCCEEDED"] in lines
    assert not bench.ledger.reservations


STUBBORN = """
import os, time
from pathlib import Path
from flytekit import map_task, task, workflow
from flytekit.exceptions.user import FlyteRecoverableException

@task(cache=True, cache_version="1", cache_serialize=True, retries=2)
def stubborn(directory: str) -> int:
    number = int(os.environ["FLYTE_ATTEMPT_NUMBER"])
    with open(directory + "/ran", "a") as file:
        file.write(f"{os.environ['FLYTE_INTERNAL_EXECUTION_ID']}-{number}\\n")
    while not Path(directory, f"go{number}").exists():
        time.sleep(0.01)
    if number < 2:
        raise FlyteRecoverableException("not yet")
    return number

@workflow
def wf(directory: str) -> int:
    return stubborn(directory=directory)

@workflow
def mapped(directories: list[str]) -> list[int]:
    return map_task(stubborn)(directory=directories)
"""


@pytest.mark.parametrize("name", ["wf", "mapped"])
def test_who_tries_again_has_the_reservation_still(bench, name):
    bench.build(STUBBORN, name)
    directory = str(bench.directory)
    inputs = bench.literals(directory=directory) if name == "wf" else bench.literals(directories=[directory])
    first, second = (bench.ledger.create(one, bench.closures[f"flow.{name}"], inputs) for one in ("first", "second"))

    async def until(condition) -> None:
        while not condition():  # noqa: ASYNC110  the other side is a process
            await asyncio.sleep(0.01)

    async def main():
        propeller = bench.engine()
        async with asyncio.timeout(100):
            await propeller.start()
            await until(lambda: sum("reservation" in note for note in bench.ledger.notes.values()) == 2)
            for number in range(3):
                await until(lambda n=number: len(ran(bench)) == n + 1)
                (bench.directory / f"go{number}").touch()
            closures = [await bench.ledger.ended(id) for id in (first, second)]
            await propeller.stop()
        return closures

    assert [closure.phase for closure in asyncio.run(main())] == [SUCCEEDED, SUCCEEDED]
    assert ran(bench) == ["first-0", "first-1", "first-2"]
    assert not bench.ledger.reservations


def test_a_restarted_engine_gives_back_what_the_first_attempt_took(bench):
    bench.build(STUBBORN)
    bench.id = bench.ledger.create("exec", bench.closures["flow.wf"], bench.literals(directory=str(bench.directory)))
    (bench.directory / "go0").touch()
    bench.crash("n0 TE1 RUNNING")
    assert list(bench.ledger.reservations.values()) == ["exec-n0-0"]
    (bench.directory / "go1").touch()
    (bench.directory / "go2").touch()
    assert bench.go(bench.id).phase == SUCCEEDED
    assert ran(bench) == ["exec-0", "exec-1", "exec-2"]
    assert not bench.ledger.reservations


def test_what_others_put_into_the_catalog_is_a_hit_if_it_fits(bench):
    closure = bench.build(SOURCE)
    inputs = bench.literals(directory=str(bench.directory), a=3)
    template = closure.tasks[0].template
    given = literals_pb2.LiteralMap(literals={name: inputs.literals[name] for name in ("directory", "a")})
    key = key_of(template, template.interface, given)
    maps = {"flytelite://good": integer(81), "flytelite://bad": bench.literals(a="text").literals["a"]}
    bench.ledger.maps = {uri: literals_pb2.LiteralMap(literals={"o0": value}) for uri, value in maps.items()}
    bench.ledger.artifacts[key.dataset.SerializeToString(deterministic=True), key.tag] = CachedArtifact(
        "mine", "flytelite://bad", {}, {}
    )
    bench.id = bench.ledger.create("first", closure, inputs, overwrite_cache=False)
    assert bench.go(bench.id).phase == SUCCEEDED
    assert bench.outputs() == {"o0": "9"}
    artifact = CachedArtifact("mine", "flytelite://good", {"execution-name": "other"}, {"task-version": "7"})
    bench.ledger.artifacts[key.dataset.SerializeToString(deterministic=True), key.tag] = artifact
    bench.id = bench.ledger.create("second", closure, inputs)
    assert bench.go(bench.id).phase == SUCCEEDED
    assert bench.outputs() == {"o0": "81"}
    hit = last_event(bench, "second").task_node_metadata.catalog_key
    assert hit.artifact_tag.artifact_id == "mine"
    source = hit.source_task_execution
    assert (source.task_id.name, source.task_id.version) == ("flow.square", "7")
    assert source.node_execution_id.node_id == "unknown"
    assert source.node_execution_id.execution_id.name == "other"


def test_a_reservation_of_others_is_waited_for_until_it_expires(bench, monkeypatch):
    closure = bench.build(SOURCE, "serial")
    (bench.directory / "go").touch()
    bench.id = bench.ledger.create("exec", closure, bench.literals(directory=str(bench.directory), a=5))
    take, asked = bench.ledger.reserve, []

    def reserve(dataset, tag, owner):
        asked.append(owner)
        return ReservationHolder("somebody", 0.05) if len(asked) < 3 else take(dataset, tag, owner)

    monkeypatch.setattr(bench.ledger, "reserve", reserve)
    assert bench.go(bench.id).phase == SUCCEEDED
    assert len(asked) == 3
    assert ran(bench) == ["slow"]


def test_who_waits_for_a_reservation_leaves_its_place_to_others(bench, monkeypatch):
    closure = bench.build(SOURCE, "beside")
    (bench.directory / "go").touch()
    inputs = bench.literals(directory=str(bench.directory), a=5)
    id = bench.ledger.create("exec", closure, inputs, max_parallelism=1)
    take, asked = bench.ledger.reserve, []

    def others_have_run() -> bool:
        return "n1 SUCCEEDED" in bench.ledger.lines()

    def reserve(dataset, tag, owner):
        asked.append((dataset, tag))
        return take(dataset, tag, owner) if others_have_run() else ReservationHolder("somebody")

    monkeypatch.setattr(bench.ledger, "reserve", reserve)

    async def main():
        propeller = bench.engine()
        await propeller.start()
        await asyncio.wait_for(bench.ledger.until(others_have_run), 60)
        propeller.reservation_released(*asked[0])
        found = await asyncio.wait_for(bench.ledger.ended(id), 60)
        await propeller.stop()
        return found

    assert asyncio.run(main()).phase == SUCCEEDED
    assert sorted(ran(bench)) == ["slow", "square5"]
    assert "n0 QUEUED" in bench.ledger.lines()
