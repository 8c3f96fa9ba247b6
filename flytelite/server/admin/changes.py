"""Word of what changed, for those that must act at once: the engine, waiting clients, live views."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from flyteidl.core import identifier_pb2


@dataclass(frozen=True)
class ExecutionCreated:
    """A workflow execution was stored and waits for the engine."""

    id: identifier_pb2.WorkflowExecutionIdentifier


@dataclass(frozen=True)
class ExecutionChanged:
    """A workflow, node or task event of this execution was recorded."""

    id: identifier_pb2.WorkflowExecutionIdentifier
    terminal: bool = False


@dataclass(frozen=True)
class AbortRequested:
    """TerminateExecution was accepted."""

    id: identifier_pb2.WorkflowExecutionIdentifier
    cause: str


@dataclass(frozen=True)
class SignalSet:
    """A signal has a value now."""

    id: identifier_pb2.SignalIdentifier


@dataclass(frozen=True)
class SchedulesChanged:
    """A launch plan's schedule was started or stopped."""


@dataclass(frozen=True)
class ReservationReleased:
    """Another may compute the artifact under a tag of a dataset now."""

    dataset: identifier_pb2.Identifier
    tag: str


@dataclass(frozen=True)
class ServerStopping:
    """The server ends: whoever waits for a change waits in vain."""


Change = (
    ExecutionCreated
    | ExecutionChanged
    | AbortRequested
    | SignalSet
    | SchedulesChanged
    | ReservationReleased
    | ServerStopping
)
Listener = Callable[[Change], None]


class Changes:
    """A list of listeners. Listeners are called at once, on the loop, and must not block or raise."""

    def __init__(self) -> None:
        self._listeners: list[Listener] = []

    def publish(self, change: Change) -> None:
        """Tell every listener, in the order they came."""
        for listener in tuple(self._listeners):
            listener(change)

    @contextmanager
    def listening(self, listener: Listener) -> Iterator[None]:
        """Call ``listener`` for every change while the block runs."""
        self._listeners.append(listener)
        try:
            yield
        finally:
            self._listeners.remove(listener)
