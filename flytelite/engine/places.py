"""How many may run at the same time, of an execution or of an array.

After a restart those that run already have their places before anybody else, in whatever order they are taken up.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Iterator
from types import TracebackType

from flyteidl.core import identifier_pb2

from flytelite.engine import notes
from flytelite.engine.events import NODE_TERMINAL, TASK_TERMINAL
from flytelite.engine.record import Note, ReadView


class Places:
    """So many places, of which an earlier engine has given some: to ``running``, by the keys of their notes."""

    def __init__(self, number: int, running: Iterable[str] = ()) -> None:
        self._running = set(running)
        self._free = asyncio.Semaphore(max(0, number - len(self._running)))
        self._too_many = max(0, len(self._running) - number)

    async def take(self, who: str) -> None:
        """Wait for a place, unless there has been one since before the restart."""
        if who in self._running:
            self._running.remove(who)
        else:
            await self._free.acquire()

    def release(self) -> None:
        """Let another have the place."""
        if self._too_many:
            self._too_many -= 1
        else:
            self._free.release()

    def forget(self, who: str) -> None:
        """What ran is ended, and nobody takes it up."""
        if who in self._running:
            self._running.remove(who)
            self.release()


class Slot:
    """A place that is taken once, if at all, and given back at the end at the latest."""

    def __init__(self, places: Places | None, who: str = "") -> None:
        self._places = places
        self._who = who
        self._held = False

    async def __aenter__(self) -> Slot:
        await self.take()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.release()

    async def take(self) -> None:
        """Wait for a place, unless there is one already."""
        if self._places is not None and not self._held:
            await self._places.take(self._who)
            self._held = True

    def release(self) -> None:
        """Let another have the place."""
        if self._held and self._places is not None:
            self._held = False
            self._places.release()


def gives_its_place_away(note: Note) -> bool:
    """Whether a node has left its place to what is inside of it: an array without a number of its own, a dynamic."""
    return bool(note.get("dynamic") or note.get("shares"))


def is_running(note: Note) -> bool:
    """Whether there is a process, or a job, of an array's element."""
    return "intent" in note and note.get("phase") not in TASK_TERMINAL


def left_running(view: ReadView, id: identifier_pb2.WorkflowExecutionIdentifier) -> Iterator[str]:
    """What of an execution has places that an earlier engine gave: the keys of the notes of nodes and elements."""
    for node in view.node_executions(id):
        if node.closure.phase in NODE_TERMINAL:
            continue
        key = notes.node_key(id, node.id.node_id)
        note = view.note(key) or {}
        if note.get("shares"):
            for index in range(int(note.get("size", 0))):
                inner = notes.element_key(id, node.id.node_id, index)
                if is_running(view.note(inner) or {}):
                    yield inner
        elif not gives_its_place_away(note) and _occupies(note, node.closure.workflow_node_metadata.executionId.name):
            yield key


def _occupies(note: Note, child: str) -> bool:
    return bool(child) or "intent" in note or "size" in note
