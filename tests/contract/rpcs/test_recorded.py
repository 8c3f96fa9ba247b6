"""What FlyteAdmin 1.16.8 answered to calls made at random, recorded: flytelite answers the same, field by field.

Each file has one call a line; a line with ``world`` begins anew. Left out of the records are texts of errors, and
``<time>`` and ``<bucket>`` stand for what no two servers agree on.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from google.rpc import status_pb2

from flytelite.config import Settings
from flytelite.errors import FlyteError
from flytelite.server.objects import Bucket

from .rows import Call, as_dict
from .server import World

RECORDED = Path(__file__).parent / "recorded"
TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z")


def scenarios() -> Iterator[Any]:
    for path in sorted(RECORDED.glob("*.jsonl")):
        worlds: list[list[Any]] = []
        for line in path.read_text().splitlines():
            step = json.loads(line)
            worlds.append([]) if "world" in step else worlds[-1].append(step)
        for number, steps in enumerate(worlds):
            yield pytest.param(steps, id=f"{path.stem} {number}")


@pytest.mark.parametrize("steps", list(scenarios()))
def test_the_answers_are_those_of_flyteadmin(steps: list[Any], tmp_path: Path):
    settings = Settings(data_dir=tmp_path)
    world = World(settings, Bucket.open(settings))
    for number, step in enumerate(steps):
        call = Call(step["method"], step["request"])
        recorded = {name: step[name] for name in ("answer", "code", "details") if name in step}
        answered = outcome(world, call)
        assert differs(recorded, answered) == "", f"call {number}: {call.method} {json.dumps(call.request)}"


def outcome(world: World, call: Call) -> dict[str, Any]:
    try:
        answer = as_dict(world.do(call))
    except FlyteError as error:
        status = status_pb2.Status()
        for detail in error.details:
            status.details.add().Pack(detail)
        return {"code": error.code.name} | as_dict(status)
    return {"answer": answer} if answer else {}


def differs(recorded: Any, answered: Any, path: str = "") -> str:
    """Where the two differ; empty when they do not."""
    if isinstance(recorded, dict) and isinstance(answered, dict) and recorded.keys() == answered.keys():
        problems = (differs(value, answered[name], f"{path}.{name}") for name, value in recorded.items())
    elif isinstance(recorded, list) and isinstance(answered, list) and len(recorded) == len(answered):
        pairs = enumerate(zip(recorded, answered, strict=True))
        problems = (differs(*pair, f"{path}[{index}]") for index, pair in pairs)
    else:
        return "" if same(recorded, answered) else f"{path}: {answered!r} is not {recorded!r}"
    return next(filter(None, problems), "")


def same(recorded: Any, answered: Any) -> bool:
    if recorded == "<time>":
        return bool(TIME.fullmatch(answered))
    if isinstance(recorded, str) and recorded.startswith("<bucket>"):
        return bool(answered.endswith(recorded.removeprefix("<bucket>")))
    return bool(recorded == answered)
