"""Fork servers that have also imported the libraries of a task: importing pandas costs a third of a second.

What a task imports is learned from its first attempt, which writes it down. These servers import libraries only; when
the user's own modules can be imported for more than one attempt is a matter of its own (fork_modules.py).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from flytelite.engine.executors.fork_branches import Branches
from flytelite.engine.executors.fork_client import ForkServer, branched
from flytelite.engine.executors.fork_server.import_watch import OF_ONE_ATTEMPT
from flytelite.engine.executors.interface import Command

FEW = 20
"""So many modules are imported in less time than it is worth to keep a process for."""

IDLE_SECONDS = 600.0

_Key = tuple[str, tuple[str, ...], frozenset[tuple[str, str]]]


@dataclass
class _Lesson:
    """What the tasks of one module import, and which of them have told. ``few`` is what nobody imports ahead."""

    modules: tuple[str, ...] = ()
    few: tuple[str, ...] = ()
    taught: set[str] = field(default_factory=set)


class Libraries:
    """The fork servers with libraries; ``retire`` ends one."""

    def __init__(self, retire: Callable[[ForkServer], None]) -> None:
        self._lessons: dict[tuple[str, ...], _Lesson] = {}
        self._branches: Branches[_Key] = Branches(retire, IDLE_SECONDS)

    def find(self, parent: ForkServer, command: Command) -> ForkServer | None:
        """A server that has what the task imports; None when that is little or not known, or while it is imported."""
        lesson = self._lessons.get(topic(parent, command))
        if self._branches.closed or lesson is None or len(lesson.modules) < FEW:
            return None
        key = (parent.interpreter, lesson.modules, frozenset(common(command.env).items()))
        # One that refused is not tried again, one whose parent ended is.
        server = self._branches.take(
            key, lambda one: not one.server.outdated() and (one.server.ready() or one.parent is parent)
        )
        if server is None:
            server = branched(parent, lesson.modules, common(command.env))
        self._branches.keep(key, server, parent)
        return server if server.ready() else None

    def wants_lesson(self, parent: ForkServer, command: Command) -> bool:
        """Whether it is not known yet what the task imports."""
        lesson = self._lessons.get(topic(parent, command))
        return lesson is None or _name(command) not in lesson.taught

    def learn(self, parent: ForkServer, command: Command, modules: list[str]) -> None:
        """Remember what the task imported beyond what was imported for it, and have it imported."""
        lesson = self._lessons.setdefault(topic(parent, command), _Lesson())
        lesson.taught.add(_name(command))
        new = tuple(dict.fromkeys([*lesson.few, *(name for name in modules if name not in lesson.modules)]))
        if len(new) < FEW:
            lesson.few = new
        else:
            lesson.modules, lesson.few = (*lesson.modules, *new), ()
            self.find(parent, command)

    def beside(self, found: ForkServer | None, parent: ForkServer, command: Command) -> tuple[str, ...] | None:
        """What the task imports beside what the server has that was found; None while it is not known or imported."""
        lesson = self._lessons.get(topic(parent, command))
        if lesson is None or not lesson.taught or (lesson.modules and found is None):
            return None
        return lesson.few

    def drop(self, server: ForkServer) -> None:
        """Forget a server that has ended."""
        self._branches.drop(server)

    def close(self) -> None:
        """End all servers, and begin no more."""
        self._branches.close()


def topic(parent: ForkServer, command: Command) -> tuple[str, ...]:
    """What tasks of one module have in common, in whatever version: they import much the same."""
    scope = (command.env.get(f"FLYTE_INTERNAL_TASK_{name}", "") for name in ("PROJECT", "DOMAIN"))
    argv = command.argv
    module = argv[argv.index("task-module") + 1] if "task-module" in argv[:-1] else _name(command)
    return (parent.interpreter, *scope, module)


def _name(command: Command) -> str:
    return command.env.get("FLYTE_INTERNAL_TASK_NAME", "")


def common(env: Mapping[str, str]) -> dict[str, str]:
    """The variables that all attempts of a task have alike."""
    return {
        name: value
        for name, value in env.items()
        if name not in OF_ONE_ATTEMPT and not name.startswith("FLYTE_INTERNAL_")
    }
