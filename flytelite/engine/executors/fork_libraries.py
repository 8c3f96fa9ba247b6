"""Fork servers that have also imported the libraries of a task: importing pandas costs a third of a second.

What a task imports is learned from its first attempt, which writes it down. Only libraries are imported ahead, never
the user's own modules: those have to come from the attempt's own copy of its code version, in its own environment and
working directory, and what they make when they are imported (random generators, identifiers, paths) is not shared.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from flytelite.engine.executors.fork_client import ForkServer, branched
from flytelite.engine.executors.interface import Command

FEW = 20
"""So many modules are imported in less time than it is worth to keep a process for."""

MOST = 4
"""Fork servers with libraries at the same time."""

IDLE_SECONDS = 600.0

OF_ONE_ATTEMPT = frozenset(
    {
        "BATCH_JOB_ARRAY_INDEX_VAR_NAME",
        "FLYTE_ATTEMPT_NUMBER",
        "FLYTE_EXECUTION_URL",
        "FLYTE_K8S_ARRAY_INDEX",
        "PYTHONPATH",
        "TMPDIR",
        "_F_EE_ROOT",
        "_F_SS_C",
    }
)
"""Variables that differ between attempts of a task, beside FLYTE_INTERNAL_*; libraries do not ask for them."""

_Key = tuple[str, tuple[str, ...], frozenset[tuple[str, str]]]


@dataclass
class _Lesson:
    """What the tasks of one module import, and which of them have told."""

    modules: tuple[str, ...] = ()
    taught: set[str] = field(default_factory=set)


@dataclass(frozen=True)
class _Entry:
    server: ForkServer
    parent: ForkServer
    timer: asyncio.TimerHandle


class Libraries:
    """The fork servers with libraries; ``retire`` ends one."""

    def __init__(self, retire: Callable[[ForkServer], None]) -> None:
        self._retire = retire
        self._lessons: dict[tuple[str, ...], _Lesson] = {}
        self._entries: dict[_Key, _Entry] = {}
        self._closed = False

    def find(self, parent: ForkServer, command: Command) -> ForkServer | None:
        """A server that has what the task imports; None when that is little or not known, or while it is imported."""
        lesson = self._lessons.get(_topic(parent, command))
        if self._closed or lesson is None or len(lesson.modules) < FEW:
            return None
        key = (parent.interpreter, lesson.modules, frozenset(_common(command.env).items()))
        server = self._usable(key, parent)
        if server is None:
            server = branched(parent, lesson.modules, _common(command.env))
        self._keep(key, server, parent)
        return server if server.ready() else None

    def wants_lesson(self, parent: ForkServer, command: Command) -> bool:
        """Whether it is not known yet what the task imports."""
        lesson = self._lessons.get(_topic(parent, command))
        return lesson is None or _name(command) not in lesson.taught

    def learn(self, parent: ForkServer, command: Command, modules: list[str]) -> None:
        """Remember what the task imported beyond what was imported for it, and have it imported."""
        lesson = self._lessons.setdefault(_topic(parent, command), _Lesson())
        lesson.taught.add(_name(command))
        new = [name for name in modules if name not in lesson.modules]
        if len(new) >= FEW:
            lesson.modules = (*lesson.modules, *new)
            self.find(parent, command)

    def drop(self, server: ForkServer) -> None:
        """Forget a server that has ended."""
        for key, entry in list(self._entries.items()):
            if entry.server is server:
                self._end(self._entries.pop(key))

    def close(self) -> None:
        """End all servers, and begin no more."""
        self._closed = True
        for entry in self._entries.values():
            self._end(entry)
        self._entries.clear()

    def _usable(self, key: _Key, parent: ForkServer) -> ForkServer | None:
        """The server of that key, taken out. One that refused is not tried again, one whose parent ended is."""
        entry = self._entries.pop(key, None)
        if entry is None:
            return None
        entry.timer.cancel()
        if entry.server.outdated() or not (entry.server.ready() or entry.parent is parent):
            self._retire(entry.server)
            return None
        return entry.server

    def _keep(self, key: _Key, server: ForkServer, parent: ForkServer) -> None:
        while len(self._entries) >= MOST:  # the first is the one that was not used for the longest time
            self._end(self._entries.pop(next(iter(self._entries))))
        timer = asyncio.get_running_loop().call_later(IDLE_SECONDS, self.drop, server)
        self._entries[key] = _Entry(server, parent, timer)

    def _end(self, entry: _Entry) -> None:
        entry.timer.cancel()
        self._retire(entry.server)


def _topic(parent: ForkServer, command: Command) -> tuple[str, ...]:
    """Tasks of one module import much the same, in whatever version."""
    scope = (command.env.get(f"FLYTE_INTERNAL_TASK_{name}", "") for name in ("PROJECT", "DOMAIN"))
    argv = command.argv
    module = argv[argv.index("task-module") + 1] if "task-module" in argv[:-1] else _name(command)
    return (parent.interpreter, *scope, module)


def _name(command: Command) -> str:
    return command.env.get("FLYTE_INTERNAL_TASK_NAME", "")


def _common(env: Mapping[str, str]) -> dict[str, str]:
    return {
        name: value
        for name, value in env.items()
        if name not in OF_ONE_ATTEMPT and not name.startswith("FLYTE_INTERNAL_")
    }
