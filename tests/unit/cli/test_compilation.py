"""A workflow that the server would refuse is refused before anything is registered."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from flytekit.core.context_manager import FlyteEntities

from flytelite.cli.client import Client
from flytelite.cli.compilation import check
from flytelite.cli.endpoint import Endpoint
from flytelite.cli.failure import Failure
from flytelite.cli.serialization import Serializer
from flytelite.cli.source import load, locate

NOBODY = Endpoint("localhost:1", "test")
FLOW = """
from flytekit import LaunchPlan, task, workflow

@task
def double(value: int) -> int:
    return 2 * value

@workflow
def inner(value: int) -> int:
    return double(value=value)

plan = LaunchPlan.get_or_create(inner, "test_compilation.{name}", fixed_inputs={{"value": 4}})

@workflow
def outer(value: {given}) -> int:
    {body}
"""


@pytest.fixture(autouse=True)
def own_entities(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(FlyteEntities, "entities", [])
    path = list(sys.path)
    yield
    sys.path[:] = path


def check_flow(folder: Path, name: str, given: str, body: str) -> None:
    path = folder / f"{name}.py"
    path.write_text(FLOW.format(name=name, given=given, body=body))
    source = locate([path])
    serializer = Serializer(source, NOBODY, "p", "d")
    load(source)
    with Client(NOBODY) as client:
        check(client, source, serializer.serialize())


@pytest.mark.parametrize("body", ["return double(value=value)", "return inner(value=value)", "return plan()"])
def test_sound_workflows_pass_without_a_server(tmp_path: Path, body: str) -> None:
    check_flow(tmp_path, f"sound_flow_{len(body)}", "int", body)


def test_an_unsound_workflow_is_told_with_file_line_and_reason(tmp_path: Path) -> None:
    with pytest.raises(Failure) as refused:
        check_flow(tmp_path, "unsound_flow", "str", "return double(value=value)")
    assert refused.value.sentence.startswith(f"{tmp_path}/unsound_flow.py, line 15: unsound_flow.outer: node n0: ")
    assert "simple:STRING" in refused.value.sentence


def test_what_is_not_in_the_code_is_asked_of_the_server(tmp_path: Path) -> None:
    remote = (
        "from flytekit import reference_task\n"
        "    @reference_task(project='p', domain='d', name='theirs', version='1')\n"
        "    def theirs(value: int) -> int: ...\n"
        "    return theirs(value=value)"
    )
    with pytest.raises(Failure, match="no server answers at localhost:1"):
        check_flow(tmp_path, "referring_flow", "int", remote)
