"""What is printed while an execution runs and when it is over."""

from __future__ import annotations

import datetime
import enum
import io
from collections import namedtuple
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple, Optional

import pytest
from flyteidl.admin import execution_pb2, node_execution_pb2, task_execution_pb2
from flyteidl.core import execution_pb2 as core_execution_pb2
from flyteidl.core import identifier_pb2, literals_pb2
from flytekit import workflow
from flytekit.core.context_manager import FlyteContextManager
from flytekit.core.type_engine import TypeEngine
from flytekit.types.file import FlyteFile

from flytelite.cli.nodes import Attempts, NodeReader, NodeView, failed_leaves
from flytelite.cli.outcome import last_lines, literal_text, print_failure, print_logs, print_outputs
from flytelite.cli.progress import Lines, LiveTree, seconds

SUCCEEDED = core_execution_pb2.NodeExecution.SUCCEEDED
FAILED = core_execution_pb2.NodeExecution.FAILED
RUNNING = core_execution_pb2.NodeExecution.RUNNING
EXECUTION = identifier_pb2.WorkflowExecutionIdentifier(project="p", domain="d", name="run")


class Colour(enum.Enum):
    RED = "red"


@dataclass
class Point:
    x: int
    tags: list[str]


def literal(value: Any, python_type: Any) -> literals_pb2.Literal:
    context = FlyteContextManager.current_context()
    return TypeEngine.to_literal(context, value, python_type, TypeEngine.to_literal_type(python_type)).to_flyte_idl()


@pytest.mark.parametrize(
    ("value", "python_type", "text"),
    [
        (3, int, "3"),
        (0.5, float, "0.5"),
        (True, bool, "True"),
        ("it's", str, '"it\'s"'),
        (datetime.datetime(2026, 1, 31, 12, 0), datetime.datetime, "2026-01-31T12:00:00"),
        (datetime.timedelta(minutes=90), datetime.timedelta, "1:30:00"),
        (Colour.RED, Colour, "red"),
        ([1, 2], list[int], "[1, 2]"),
        ({"b": 2, "a": 1}, dict[str, int], "{'a': 1, 'b': 2}"),
        (None, Optional[int], "None"),  # noqa: UP045
        (4, Optional[int], "4"),  # noqa: UP045
        (Point(1, ["a"]), Point, "Point(x=1, tags=['a'])"),
        ([Point(1, [])], list[Point], "[Point(x=1, tags=[])]"),
    ],
)
def test_literals_read_as_python_writes_the_value(value: Any, python_type: Any, text: str) -> None:
    assert literal_text(literal(value, python_type), python_type) == text


def test_a_structure_of_unknown_type_is_shown_plainly() -> None:
    assert literal_text(literal(Point(1, ["a"]), Point)) == "{'x': 1, 'tags': ['a']}"


def test_a_file_is_shown_as_its_address() -> None:
    blob = literals_pb2.Blob(uri="/bucket/report.txt")
    assert literal_text(literals_pb2.Literal(scalar=literals_pb2.Scalar(blob=blob)), FlyteFile) == "/bucket/report.txt"


class Result(NamedTuple):
    total: int
    point: Point


@workflow
def nothing_done(total: int, point: Point) -> Result:
    return Result(total=total, point=point)


def test_outputs_have_name_type_and_value(capsys: pytest.CaptureFixture[str]) -> None:
    full = literals_pb2.LiteralMap(literals={"total": literal(3, int), "point": literal(Point(1, []), Point)})
    print_outputs(nothing_done, execution_pb2.WorkflowExecutionGetDataResponse(full_outputs=full))
    assert capsys.readouterr().out.splitlines() == [
        "outputs",
        "  total: int = 3",
        "  point: Point = Point(x=1, tags=[])",
    ]


def node_execution(node: str, phase: int, parent: bool = False) -> node_execution_pb2.NodeExecution:
    execution = node_execution_pb2.NodeExecution(
        id=identifier_pb2.NodeExecutionIdentifier(node_id=node, execution_id=EXECUTION),
        metadata=node_execution_pb2.NodeExecutionMetaData(
            spec_node_id=node.rpartition("-")[2] if "-0-" in node else node, is_parent_node=parent
        ),
    )
    execution.closure.phase = phase
    execution.closure.started_at.FromDatetime(datetime.datetime(2026, 1, 1))
    execution.closure.duration.FromTimedelta(datetime.timedelta(seconds=1.5))
    execution.closure.updated_at.FromDatetime(datetime.datetime(2026, 1, 1))
    return execution


class Recorded:
    """The answers of a server, as the client gives them; counts what is asked."""

    def __init__(self) -> None:
        self.asked: list[str] = []
        self.nodes = {
            "": [
                node_execution("start-node", SUCCEEDED),
                node_execution("n0", SUCCEEDED),
                node_execution("n1", FAILED, parent=True),
            ],
            "n1": [node_execution("n1-0-n0", FAILED)],
        }

    def node_executions(self, id: Any, parent: str = "", filters: str = "") -> list[Any]:
        return self.nodes[parent]

    def node_execution(self, id: Any) -> node_execution_pb2.NodeExecution:
        execution = node_execution(id.node_id, FAILED)
        execution.closure.error.message = f"Traceback of {id.node_id}:\n  1 / 0\nZeroDivisionError"
        return execution

    def task_executions(self, id: Any) -> list[Any]:
        self.asked.append(id.node_id)
        attempts = []
        for attempt in range(2 if id.node_id == "n1-0-n0" else 1):
            execution = task_execution_pb2.TaskExecution()
            execution.id.retry_attempt = attempt
            execution.id.task_id.name = "app.divide"
            execution.closure.logs.add(name="task log", uri=f"http://here/logs/{id.node_id}/{attempt}")
            execution.closure.logs.add(name="log file", uri=f"file:///logs/{id.node_id}/{attempt}.log")
            attempts.append(execution)
        return attempts


@pytest.fixture
def nodes() -> tuple[NodeView, ...]:
    return NodeReader(Recorded()).read(EXECUTION)  # type: ignore[arg-type]


def test_the_tree_has_the_levels_without_start_and_end(nodes: tuple[NodeView, ...]) -> None:
    walked = [(depth, node.id, node.phase_name, node.attempts.count) for top in nodes for depth, node in top.walk()]
    assert walked == [(0, "n0", "SUCCEEDED", 1), (0, "n1", "FAILED", 1), (1, "n0", "FAILED", 2)]


def test_an_ended_node_is_asked_for_its_attempts_once() -> None:
    recorded = Recorded()
    reader = NodeReader(recorded)  # type: ignore[arg-type]
    first = reader.read(EXECUTION)
    recorded.asked.clear()
    assert reader.read(EXECUTION) == first
    assert recorded.asked == []


def test_an_item_of_a_map_task_counts_once_however_often_it_was_tried() -> None:
    class Mapped(Recorded):
        def task_executions(self, id: Any) -> list[Any]:
            execution = task_execution_pb2.TaskExecution()
            phases = core_execution_pb2.TaskExecution
            for index, attempt, phase in ((0, 0, phases.FAILED), (0, 1, phases.SUCCEEDED), (1, 0, phases.FAILED)):
                part = execution.closure.metadata.external_resources.add(
                    index=index, retry_attempt=attempt, phase=phase
                )
                part.logs.add(name="log file", uri=f"file:///logs/{index}/{attempt}.log")
            return [execution]

    first = NodeReader(Mapped()).read(EXECUTION)[0]  # type: ignore[arg-type]
    assert first.attempts.items == (1, 2)
    assert first.attempts.failure_log == "/logs/1/0.log"


def test_a_failure_is_told_where_it_began(nodes: tuple[NodeView, ...], capsys: pytest.CaptureFixture[str]) -> None:
    assert [node.key for node in failed_leaves(nodes)] == ["run/n1-0-n0"]
    execution = execution_pb2.Execution()
    execution.closure.phase = core_execution_pb2.WorkflowExecution.FAILED
    print_failure(Recorded(), execution, nodes)  # type: ignore[arg-type]
    printed = capsys.readouterr().out
    assert "FAILED in node n0 (app.divide), attempt 2" in printed
    assert "ZeroDivisionError" in printed
    assert "Traceback of n1-0-n0" in printed
    assert "Traceback of n1:" not in printed
    assert "/logs/n1-0-n0/1.log" in printed


def test_the_last_lines_are_those_of_the_user(tmp_path: Path) -> None:
    log = tmp_path / "task.log"
    theirs = '{"asctime": "2026-01-02 03:04:05", "name": "flytekit", "levelname": "ERROR", "message": "Trace: ..."}'
    log.write_text(f"{theirs}\nabout to divide\n{theirs}\n")
    assert last_lines(log) == ["about to divide"]
    log.write_text("".join(f"{number}\n" for number in range(50)))
    assert last_lines(log) == ["...", *map(str, range(30, 50))]
    assert last_lines(tmp_path / "elsewhere.log") == []


def test_the_last_lines_are_for_a_screen(tmp_path: Path) -> None:
    log = tmp_path / "task.log"
    log.write_bytes(b"\n0%\r50%\r100%\r\n" + b"x" * 3000 + b"\n")
    assert last_lines(log) == ["100%", "x" * 2000 + "... and 1000 more characters"]
    theirs = '{"asctime": "2026-01-02 03:04:05", "name": "flytekit", "message": "Trace: ' + "y" * 100_000
    log.write_text(f"{theirs}\nmine\n")
    assert last_lines(log) == ["mine"]


def test_an_execution_that_failed_without_a_node_says_its_own_reason(capsys: pytest.CaptureFixture[str]) -> None:
    execution = execution_pb2.Execution()
    execution.closure.phase = core_execution_pb2.WorkflowExecution.ABORTED
    execution.closure.abort_metadata.cause = "enough"
    print_failure(Recorded(), execution, ())  # type: ignore[arg-type]
    assert capsys.readouterr().out == "ABORTED: enough\n"


def test_the_log_of_every_attempt_is_listed(nodes: tuple[NodeView, ...], capsys: pytest.CaptureFixture[str]) -> None:
    print_logs(nodes)
    paths = [line.split()[-1] for line in capsys.readouterr().out.splitlines()[1:]]
    assert paths == ["/logs/n0/0.log", "/logs/n1/0.log", "/logs/n1-0-n0/0.log", "/logs/n1-0-n0/1.log"]


def test_lines_are_printed_for_what_changed(nodes: tuple[NodeView, ...], capsys: pytest.CaptureFixture[str]) -> None:
    with Lines("app.flow") as progress:
        progress.show(nodes[:1])
        progress.show(nodes)
        progress.show(nodes)
    printed = capsys.readouterr().out.splitlines()
    assert printed[0] == "app.flow"
    assert [line.split()[:4] for line in printed[1:]] == [
        ["n0", "app.divide", "SUCCEEDED", "1.50s"],
        ["n1", "app.divide", "FAILED", "1.50s"],
        ["n0", "app.divide", "FAILED", "1.50s"],
    ]


def test_a_running_node_comes_with_what_is_said_of_its_attempt(capsys: pytest.CaptureFixture[str]) -> None:
    from rich.console import Console

    message = node_execution_pb2.NodeExecution(id=identifier_pb2.NodeExecutionIdentifier(node_id="n0"))
    message.closure.phase = RUNNING
    attempts = [Attempts(1, "app.pod", reason=reason) for reason in ("task submitted", "only [main] runs\nmore")]
    submitted, told = (NodeView(message, attempt) for attempt in attempts)
    with Lines("app.flow") as progress:
        for view in (submitted, told, told):
            progress.show((view,))
    assert [line.split() for line in capsys.readouterr().out.splitlines()[1:]] == [
        ["n0", "app.pod", "RUNNING"],
        ["only", "[main]", "runs"],
    ]
    tree = LiveTree("app.flow")
    tree._nodes = (told,)
    console = Console(width=100, file=io.StringIO(), record=True)
    console.print(tree)
    assert "only [main] runs" in console.export_text()


def test_the_live_tree_shows_every_node(nodes: tuple[NodeView, ...]) -> None:
    from rich.console import Console

    tree = LiveTree("app.flow")
    tree._nodes = nodes
    console = Console(width=100, file=io.StringIO(), record=True)
    console.print(tree)
    text = console.export_text()
    assert text.splitlines()[0] == "app.flow"
    assert text.count("failed 1.50s") == 2
    assert "attempt 2" in text


Case = namedtuple("Case", "given text")


@pytest.mark.parametrize("case", [Case(0.4, "0.40s"), Case(59.999, "60.00s"), Case(65, "1m05s"), Case(7380, "2h03m")])
def test_durations_are_short(case: Case) -> None:
    assert seconds(datetime.timedelta(seconds=case.given)) == case.text
