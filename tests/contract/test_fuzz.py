"""Generated and mutated requests over both transports: each gets a proper answer, an error stores nothing, and the
server lives on.

A failure names seed and number of the attempt, and prints what was sent. The same seed sends the same again.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from typing import Any
from urllib.parse import quote

import pytest

from flytelite.errors import Code
from flytelite.server.store.interface import Query

from .fuzzing.attempts import Attempt, Fuzzer
from .fuzzing.client import Client, check_alive
from .rpcs.node_executions import HAVE_CHILDREN, HAVE_DYNAMIC
from .rpcs.rows import METHODS, Call, changed
from .rpcs.server import Server, World, running
from .rpcs.signals import HAVE_SIGNAL
from .rpcs.table import ROWS
from .rpcs.words import CREATE_EXECUTION, CREATE_TASK, SCOPE, TASK, archived

SEED = "flytelite"
ATTEMPTS_PER_WORLD = 100
"""After so many attempts the store begins anew: sooner or later somebody archives the project."""

SUCCESSES = ("grpc OK", "http 200")

GOOD = [
    call for row in ROWS for call in (*row.given, *([row.call] if row.code is Code.OK else [])) if call != archived()
]
BAD = [row.call for row in ROWS if row.code is not Code.OK]
GIVEN = (*HAVE_CHILDREN, *HAVE_DYNAMIC[-1:], *HAVE_SIGNAL)


def fuzz(server: Server, seed: str, count: int) -> Counter[str]:
    """Send so many attempts; how often what came of them."""
    outcomes: Counter[str] = Counter()
    world = server.world(GIVEN)
    fuzzer = Fuzzer(seed, GOOD, BAD)
    client = Client(server.target)
    try:
        for number in range(count):
            attempt = fuzzer.attempt(number)
            before = world.store.position
            try:
                outcome = client.send(attempt)
                assert outcome in SUCCESSES or world.store.position == before, f"{outcome}, but something was stored"
            except Exception as error:
                pytest.fail(f"attempt {number} of seed {seed!r}: {error}\n{attempt}")
            outcomes[outcome] += 1
            if (number + 1) % ATTEMPTS_PER_WORLD == 0:
                check_alive(client)
                read_all(client, server.restarted(world))
                world = server.world(GIVEN)
    finally:
        client.close()
    return outcomes


def read_all(client: Client, world: World) -> None:
    """Whatever got into the store can be shown as JSON, which is the harder way."""
    plane = world.control_plane
    kinds = {
        "tasks": plane.tasks,
        "workflows": plane.workflows,
        "launch_plans": plane.launch_plans,
        "executions": plane.executions,
    }
    for kind, noun in kinds.items():
        for record in noun.records.find(Query()):
            id = record.message.id
            parts = [id.project, id.domain, id.name, *([id.version] if kind != "executions" else [])]
            path = "/".join(quote(quote(part, safe=""), safe="") for part in parts)
            read(client, f"/api/v1/{kind}/{path}")
            if kind == "executions":
                read(client, f"/api/v1/data/executions/{path}")
                read(client, f"/api/v1/metrics/executions/{path}?depth=10")
                read(client, f"/api/v1/node_executions/{path}?limit=1000")
                read(client, f"/api/v1/signals/{path}?limit=1000")
    for record in plane.node_executions.records.find(Query()):
        id = record.message.id
        parts = [id.execution_id.project, id.execution_id.domain, id.execution_id.name, id.node_id]
        path = "/".join(quote(quote(part, safe=""), safe="") for part in parts)
        read(client, f"/api/v1/data/node_executions/{path}")
        read(client, f"/api/v1/task_executions/{path}?limit=1000")
    for path in ("projects", "matchable_attributes?resource_type=6", "executions/flytesnacks/development?limit=1000"):
        read(client, f"/api/v1/{path}")


def read(client: Client, path: str) -> None:
    client.send(Attempt("GET", path, b""))


@pytest.fixture
def server(tmp_path: Any) -> Iterator[Server]:
    with running(tmp_path) as started:
        yield started


def test_a_few_hundred(server: Server):
    outcomes = fuzz(server, SEED, 400)
    # Not all of them stop at the door.
    assert outcomes["grpc OK"] > 30
    assert outcomes["http 200"] > 30


HUGE = "x" * 10_000_000


@pytest.mark.parametrize(
    ("call", "code"),
    [
        (Call("AdminService/GetTask", {"id": {**TASK, "name": HUGE}}), Code.NOT_FOUND),
        (Call("AdminService/CreateTask", changed(CREATE_TASK, id__name=HUGE)), Code.OK),
        (Call("AdminService/CreateExecution", changed(CREATE_EXECUTION, name=HUGE)), Code.INVALID_ARGUMENT),
        (Call("AdminService/ListTasks", {"id": SCOPE, "limit": 1, "filters": f"eq(name,{HUGE})"}), Code.OK),
        (Call("AdminService/ListTasks", {"id": SCOPE, "limit": 1, "filters": HUGE}), Code.INVALID_ARGUMENT),
        (Call("AdminService/ListTasks", {"id": SCOPE, "limit": 1, "token": HUGE}), Code.INVALID_ARGUMENT),
        (Call("AdminService/RegisterProject", {"project": {"id": HUGE, "name": "x"}}), Code.INVALID_ARGUMENT),
        (Call("DataProxyService/GetData", {"flyte_url": f"flyte://v1/{HUGE}"}), Code.INVALID_ARGUMENT),
    ],
    ids=lambda value: value.method if isinstance(value, Call) else value.name,
)
def test_ten_megabytes(server: Server, call: Call, code: Code):
    server.world(GIVEN)
    client = Client(server.target)
    message = call.message("").SerializeToString()
    assert client.send(Attempt("", f"/{METHODS[call.method].name}", message)) == f"grpc {code.name}"
    check_alive(client)
    client.close()


@pytest.mark.soak
@pytest.mark.timeout(1200)
def test_twenty_thousand(server: Server):
    outcomes = fuzz(server, SEED, 20_000)
    assert outcomes["grpc OK"] > 2000
    assert outcomes["http 200"] > 2000
