"""Following one execution: a turn for each change, without asking again and again."""

from __future__ import annotations

import http.client
import json
import threading
import time
from collections.abc import Iterator
from urllib.parse import quote

from flyteidl.core import execution_pb2, identifier_pb2

from flytelite.cli.client import Client
from flytelite.cli.endpoint import Endpoint
from flytelite.cli.failure import Failure

QUIET_SECONDS = 60.0
"""The stream says at least a comment within this time; a server that does not is gone."""
RECONNECT_DELAYS = (0.1, 0.3, 1.0, 3.0, 10.0)
POLL_DELAYS = (0.2, 0.5, 1.0, 2.0, 5.0)

OVER = (
    execution_pb2.WorkflowExecution.SUCCEEDED,
    execution_pb2.WorkflowExecution.FAILED,
    execution_pb2.WorkflowExecution.ABORTED,
    execution_pb2.WorkflowExecution.TIMED_OUT,
)


def changes(client: Client, id: identifier_pb2.WorkflowExecutionIdentifier) -> Iterator[None]:
    """Yield at once, and again after every change; the last turn comes when the execution is over.

    Changes that come while the caller is busy are one turn. A server without the event stream is polled. Raises
    Failure when the server is lost.
    """
    stream = _Stream(client.endpoint, id)
    stream.start()
    while True:
        terminal = stream.wait()
        if not stream.supported:
            yield from _poll(client, id)
            return
        yield
        if terminal:
            return


class _Stream(threading.Thread):
    """Reads the server's event stream of one execution and remembers only the last message."""

    supported = True

    def __init__(self, endpoint: Endpoint, id: identifier_pb2.WorkflowExecutionIdentifier) -> None:
        super().__init__(daemon=True, name="execution-events")
        self._endpoint = endpoint
        self._path = f"/flytelite/v1/executions/{quote(id.project)}/{quote(id.domain)}/{quote(id.name)}/events"
        self._changed = threading.Event()
        self._terminal = False
        self._failure: Failure | None = None

    def wait(self) -> bool:
        """Wait for the next change; True when the execution is over. Raises Failure when the server is lost."""
        self._changed.wait()
        self._changed.clear()
        if self._failure is not None:
            raise self._failure
        return self._terminal

    def run(self) -> None:
        reason = ""
        delays = iter((0.0, *RECONNECT_DELAYS))
        for delay in delays:
            time.sleep(delay)
            try:
                if self._read():
                    return
                delays = iter(RECONNECT_DELAYS)
            except (OSError, http.client.HTTPException, ValueError) as error:
                reason = str(error)
        self._failure = Failure(
            f"lost the server at {self._endpoint.authority} ({reason}); the execution goes on when it is up again"
        )
        self._changed.set()

    def _read(self) -> bool:
        """Follow the stream; True when there is nothing more to follow, False when it broke off."""
        kind = http.client.HTTPConnection if self._endpoint.insecure else http.client.HTTPSConnection
        connection = kind(self._endpoint.authority, timeout=QUIET_SECONDS)
        try:
            connection.request("GET", self._path, headers={"Accept": "text/event-stream"})
            response = connection.getresponse()
            if response.status != http.client.OK:
                self.supported = False
                self._changed.set()
                return True
            for line in response:
                if line.startswith(b"data:"):
                    self._terminal = bool(json.loads(line[len(b"data:") :])["terminal"])
                    self._changed.set()
                    if self._terminal:
                        return True
            return False
        finally:
            connection.close()


def _poll(client: Client, id: identifier_pb2.WorkflowExecutionIdentifier) -> Iterator[None]:
    """For a Flyte that is not flytelite."""
    delays = iter(POLL_DELAYS)
    while True:
        over = client.execution(id).closure.phase in OVER
        yield
        if over:
            return
        time.sleep(next(delays, POLL_DELAYS[-1]))
