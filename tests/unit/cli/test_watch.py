"""Following an execution by the server's event stream, against a real HTTP server that speaks it."""

from __future__ import annotations

import queue
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest
from flyteidl.admin import execution_pb2
from flyteidl.core import execution_pb2 as core_execution_pb2
from flyteidl.core import identifier_pb2

from flytelite.cli import watch
from flytelite.cli.endpoint import Endpoint
from flytelite.cli.failure import Failure

EXECUTION = identifier_pb2.WorkflowExecutionIdentifier(project="p", domain="d", name="run")
BREAK = object()


@dataclass
class Stream:
    """What the server says next; BREAK ends one response."""

    says: queue.SimpleQueue[Any] = field(default_factory=queue.SimpleQueue)
    status: int = 200
    paths: list[str] = field(default_factory=list)
    port: int = 0


@dataclass
class Client:
    """The part of a client that following needs."""

    endpoint: Endpoint
    phases: list[int] = field(default_factory=list)

    def execution(self, id: Any) -> execution_pb2.Execution:
        execution = execution_pb2.Execution()
        execution.closure.phase = self.phases.pop(0)
        return execution


@pytest.fixture
def stream() -> Iterator[Stream]:
    state = Stream()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            state.paths.append(self.path)
            self.send_response(state.status)
            self.end_headers()
            while state.status == 200 and (said := state.says.get()) is not BREAK:
                self.wfile.write(said)
                self.wfile.flush()

        def log_message(self, *arguments: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    state.port = server.server_port
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield state
    state.says.put(BREAK)
    server.shutdown()
    server.server_close()


def follow(stream: Stream, *phases: int) -> Iterator[None]:
    client = Client(Endpoint(f"127.0.0.1:{stream.port}", "test"), list(phases))
    return watch.changes(client, EXECUTION)  # type: ignore[arg-type]


def message(terminal: bool) -> bytes:
    return f'data: {{"terminal": {str(terminal).lower()}}}\n\n'.encode()


def test_each_change_is_a_turn_and_the_last_one_ends(stream: Stream) -> None:
    turns = follow(stream)
    stream.says.put(message(False))
    next(turns)
    stream.says.put(b": waiting\n\n")
    stream.says.put(message(True))
    next(turns)
    assert next(turns, "over") == "over"
    assert stream.paths == ["/flytelite/v1/executions/p/d/run/events"]


def test_changes_that_come_meanwhile_are_one_turn(stream: Stream) -> None:
    turns = follow(stream)
    stream.says.put(message(False))
    next(turns)
    stream.says.put(message(False) * 5 + message(True))
    assert len(list(turns)) <= 6  # the reader may be awake between two of them, but never later than the last


def test_a_broken_stream_is_taken_up_again(stream: Stream) -> None:
    turns = follow(stream)
    stream.says.put(message(False))
    next(turns)
    stream.says.put(BREAK)
    stream.says.put(message(True))
    next(turns)
    assert next(turns, "over") == "over"
    assert len(stream.paths) == 2


def test_a_lost_server_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(watch, "RECONNECT_DELAYS", (0.0,))
    turns = watch.changes(Client(Endpoint("127.0.0.1:1", "test")), EXECUTION)  # type: ignore[arg-type]
    with pytest.raises(Failure, match=r"lost the server at 127\.0\.0\.1:1"):
        next(turns)


def test_a_server_without_the_stream_is_polled(stream: Stream, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(watch, "POLL_DELAYS", (0.0,))
    stream.status = 404
    phase = core_execution_pb2.WorkflowExecution
    assert len(list(follow(stream, phase.QUEUED, phase.RUNNING, phase.SUCCEEDED))) == 3
