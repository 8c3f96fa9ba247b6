"""What is said of a node that waits, and how it is drawn."""

from __future__ import annotations

import datetime
import enum
import io
from dataclasses import dataclass
from typing import Any, Optional

import pytest
from flyteidl.admin import node_execution_pb2
from flyteidl.core import execution_pb2, identifier_pb2
from flytekit.core.type_engine import TypeEngine
from flytekit.types.directory import FlyteDirectory
from flytekit.types.file import FlyteFile

from flytelite.cli.endpoint import Endpoint
from flytelite.cli.gates import Gate, answer, literal_type_name
from flytelite.cli.nodes import Attempts, NodeView
from flytelite.cli.progress import Lines, LiveTree

HERE = Endpoint("localhost:1", "the default address")


class Colour(enum.Enum):
    RED = "red"
    BLUE = "blue"


@dataclass
class Point:
    x: int


@pytest.mark.parametrize(
    ("python_type", "text"),
    [
        (int, "int"),
        (datetime.timedelta, "timedelta"),
        (list[dict[str, bool]], "list[dict[str, bool]]"),
        (Colour, "one of red, blue"),
        (Optional[float], "float | None"),  # noqa: UP045
        (Point, "Point"),
        (dict, "struct"),
        (FlyteFile, "FlyteFile"),
        (FlyteDirectory, "FlyteDirectory"),
    ],
)
def test_a_literal_type_is_written_as_in_python(python_type: Any, text: str) -> None:
    assert literal_type_name(TypeEngine.to_literal_type(python_type).to_flyte_idl()) == text


def test_the_answer_names_all_that_is_not_the_default(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("FLYTE_DEFAULT_PROJECT", raising=False)
    monkeypatch.delenv("FLYTE_DEFAULT_DOMAIN", raising=False)
    plain = identifier_pb2.WorkflowExecutionIdentifier(project="flytesnacks", domain="development", name="run")
    assert answer(HERE, plain, "all right") == "flytelite signal run 'all right' VALUE"
    other = identifier_pb2.WorkflowExecutionIdentifier(project="mine", domain="staging", name="run")
    by_flag = Endpoint("localhost:1", "--endpoint")
    assert answer(by_flag, other, "s") == "flytelite signal run s VALUE -p mine -d staging --endpoint localhost:1"
    monkeypatch.setenv("FLYTE_DEFAULT_PROJECT", "mine")
    assert answer(HERE, other, "s") == "flytelite signal run s VALUE -d staging"
    assert answer(HERE, plain, "s") == "flytelite signal run s VALUE -p flytesnacks"


def view(phase: int) -> NodeView:
    id = identifier_pb2.NodeExecutionIdentifier(node_id="n1")
    message = node_execution_pb2.NodeExecution(id=id)
    message.closure.phase = phase
    return NodeView(message, Attempts(), gate=Gate("signal s (int)", "flytelite signal run s VALUE"))


def test_a_waiting_node_comes_with_its_answer(capsys: pytest.CaptureFixture[str]) -> None:
    from rich.console import Console

    waiting, done = view(execution_pb2.NodeExecution.RUNNING), view(execution_pb2.NodeExecution.SUCCEEDED)
    with Lines("app.flow") as lines:
        lines.show((waiting,))
        lines.show((done,))
    assert [line.split() for line in capsys.readouterr().out.splitlines()[1:]] == [
        ["n1", "signal", "s", "(int)", "RUNNING"],
        ["answer", "it:", "flytelite", "signal", "run", "s", "VALUE"],
        ["n1", "signal", "s", "(int)", "SUCCEEDED"],
    ]
    for node, answers in ((waiting, 1), (done, 0)):
        tree = LiveTree("app.flow")
        tree._nodes = (node,)
        console = Console(width=100, file=io.StringIO(), record=True)
        console.print(tree)
        text = console.export_text()
        assert "n1 signal s (int)" in text
        assert text.count("answer it: flytelite signal run s VALUE") == answers
