"""Fork servers that have also imported a user's module: each attempt of one code version begins where its import ended.

One is made when a second attempt of the same module, version and environment comes, and only for modules that merely
define things (fork_server/user_module.py): what it is forked from must not differ from what the attempt would have
imported.
"""

from __future__ import annotations

import asyncio
import logging
import secrets
import shutil
from collections import OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from flytelite.engine.executors.fork_branches import Branches
from flytelite.engine.executors.fork_client import ForkServer, branched
from flytelite.engine.executors.fork_libraries import common, topic
from flytelite.engine.executors.interface import Command

REMEMBERED = 1000
"""Keys of which is remembered that they came once, or that their modules cannot be imported for all."""

IDLE_SECONDS = 60.0

IMPORT_SECONDS = 30
"""An import that takes longer is given up, with its process."""

RESOLVER = "flytekit.core.python_auto_container.default_task_resolver"
ARRAY_RESOLVER = "flytekit.core.array_node_map_task.ArrayNodeMapTaskResolver"

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class _Key:
    """What has to be the same for attempts to begin alike."""

    topic: tuple[str, ...]
    program: str
    module: str
    code: Path
    env: frozenset[tuple[str, str]]


class Modules:
    """The fork servers with users' modules; ``retire`` ends one."""

    def __init__(self, retire: Callable[[ForkServer], None]) -> None:
        self._branches: Branches[_Key] = Branches(retire, IDLE_SECONDS)
        self._seen: OrderedDict[_Key, str] = OrderedDict()  # why it cannot be done, or nothing

    def find(self, parent: ForkServer, libraries: Sequence[str] | None, command: Command) -> ForkServer | None:
        """A server that has the task's module, which is made for the second attempt; None while it has not.

        ``parent`` is what it is forked from, ``libraries`` what the module imports beside what that has; None when it
        is not known.
        """
        key = _key(parent, command)
        if self._branches.closed or key is None or self._is_first(key) or self._seen[key] or libraries is None:
            return None
        server = self._branches.take(key, lambda one: one.parent is parent and not one.server.outdated())
        if server is None:
            self._branches.end(lambda other: other.topic == key.topic and other.code != key.code)
            server = self._begin(key, parent, libraries)
        self._branches.keep(key, server, parent)
        return server if server.ready() else None

    def drop(self, server: ForkServer) -> None:
        """Forget a server that has ended or is not needed."""
        self._branches.drop(server)

    def close(self) -> None:
        """End all servers, and begin no more."""
        self._branches.close()

    def _is_first(self, key: _Key) -> bool:
        if key in self._seen:
            self._seen.move_to_end(key)
            return False
        self._seen[key] = ""
        if len(self._seen) > REMEMBERED:
            self._seen.popitem(last=False)
        return True

    def _begin(self, key: _Key, parent: ForkServer, libraries: Sequence[str]) -> ForkServer:
        # Beside the original, where a copy that is left behind is removed at the next start.
        copy = key.code.with_name(f".{key.code.name}.{secrets.token_hex(8)}")
        task = {
            "module": key.module,
            "program": key.program,
            "code": str(key.code),
            "copy": str(copy),
            "seconds": IMPORT_SECONDS,
        }
        server = branched(parent, libraries, dict(key.env), task)

        def done(refusal: Exception | None) -> None:
            if refusal is not None:
                self._refused(key, server, str(refusal) or "its process ended")
                asyncio.get_running_loop().run_in_executor(None, partial(shutil.rmtree, copy, ignore_errors=True))

        server.when_ready(done)
        return server

    def _refused(self, key: _Key, server: ForkServer, reason: str) -> None:
        self._seen[key] = reason
        logger.info("each task of the module %s imports it for itself: %s", key.module, reason)
        self.drop(server)


def _key(parent: ForkServer, command: Command) -> _Key | None:
    """None for what has to begin by itself: without a known version of its code, or with secrets."""
    module = _module(command.argv)
    if module is None or command.code is None or command.secret_env or command.masked:
        return None
    if command.env.get("PYTHONPATH") != str(command.cwd):
        return None
    return _Key(topic(parent, command), command.argv[0], module, command.code, frozenset(common(command.env).items()))


def _module(argv: Sequence[str]) -> str | None:
    """The module that flytekit's own resolvers import first."""
    if "--resolver" not in argv[:-2]:
        return None
    at = argv.index("--resolver") + 1
    arguments = list(argv[at + 1 :])
    resolver = argv[at]
    if resolver == ARRAY_RESOLVER and "resolver" in arguments[:-1]:
        at = arguments.index("resolver") + 1
        resolver, arguments = arguments[at], arguments[at + 1 :]
    if resolver != RESOLVER or "task-module" not in arguments[:-1]:
        return None
    return arguments[arguments.index("task-module") + 1]
