"""What a forked process does to be the flytekit task process that a command line would have made.

Runs in each forked child of a fork server.
"""
# Plain os and open: every task runs this, and pathlib takes its time.
# ruff: noqa: PTH100, PTH110, PTH119, PTH120, PTH123, PTH208

from __future__ import annotations

import atexit
import contextlib
import os
import signal
import sys
import threading
import time
from typing import NoReturn

from . import state
from .preparation import Prepared

FAILED_FLUSH = 120
"""The interpreter's exit code when what was printed cannot be written."""

EXIT_CALLBACKS_SECONDS = 5.0
"""How long what is registered to run at the exit may take, once the task has ended."""


def run(prepared: Prepared, argv: list[str], env: dict[str, str], cwd: str, lesson: str) -> NoReturn:
    """Be the process of that command, to its end; into the file ``lesson``, unless it is empty, go what it imports."""
    become(prepared, argv, env, cwd)
    code = call(prepared, argv)
    if lesson:
        _teach(prepared, lesson)
    _leave(code)


def become(prepared: Prepared, argv: list[str], env: dict[str, str], cwd: str) -> None:
    """Become the process of that command; ``argv[0]`` is the path of flytekit's console script.

    The log is on descriptors 1 and 2 and nothing else is open. A working directory that would have other modules take
    the place of those that are imported already gets an interpreter of its own.
    """
    os.umask(prepared.umask)
    os.chdir(cwd)
    for name in os.environ.keys() - env.keys():
        del os.environ[name]
    os.environ.update(env)
    time.tzset()
    paths = [os.path.abspath(path) for path in env.get("PYTHONPATH", "").split(os.pathsep) if path]
    if prepared.move is not None:
        prepared.move(os.path.abspath(cwd))
    else:
        if any(shadows(path, prepared.libraries) for path in paths):
            os.execve(argv[0], argv, env)  # noqa: S606  there is no shell
        sys.path[:] = list(dict.fromkeys([os.path.dirname(argv[0]), *paths, *prepared.path]))
    sys.argv = list(argv)
    sys.orig_argv = [sys.executable, *argv]
    state.fresh_main(argv[0])
    state.fresh_state()


def shadows(directory: str, libraries: frozenset[str] | set[str]) -> bool:
    """Whether modules in a directory, which comes first in the path, have the names of imported libraries."""
    try:
        entries = os.listdir(directory)
    except OSError:
        return False
    for entry in entries:
        stem, _, suffix = entry.partition(".")
        if stem in libraries and (suffix in ("py", "pyc") or suffix.endswith("so")):
            return True
        if entry in libraries and os.path.exists(f"{directory}/{entry}/__init__.py"):
            return True
    return False


def _teach(prepared: Prepared, lesson: str) -> None:
    """Write down the libraries that were imported since the fork, in that order; nothing that users write."""
    homes = tuple(f"{place}/" for place in (*prepared.places, os.path.dirname(os.__file__)))
    names = []
    for name, module in list(sys.modules.items()):
        new = name not in prepared.modules and not name.startswith("__")
        origin = getattr(module, "__file__", None) if new else None
        if isinstance(origin, str) and origin.startswith(homes):
            names.append(name)
    with contextlib.suppress(OSError), open(lesson, "w", encoding="utf-8") as file:  # the next attempt teaches it too
        file.write("\n".join(names))


def call(prepared: Prepared, argv: list[str]) -> int:
    """Run the command; the exit code that an interpreter would make of how it ended."""
    try:
        try:
            prepared.entrypoints[os.path.basename(argv[0])].call(argv[0], argv[1:])
        finally:
            _flush()  # as an interpreter does before it says how its script ended
    except SystemExit as ended:
        if ended.code is None or isinstance(ended.code, int):
            return (ended.code or 0) & 0xFF
        print(ended.code, file=sys.stderr)
        return 1
    except BaseException:
        sys.excepthook(*sys.exc_info())
        return 1
    return 0


def _leave(code: int) -> NoReturn:
    """End as an interpreter does, but for taking itself apart, and for waiting for ever."""
    try:
        threading._shutdown()  # type: ignore[attr-defined]
        _limit_exit_callbacks(code)
        atexit._run_exitfuncs()
    except BaseException:
        sys.excepthook(*sys.exc_info())
    os._exit(code if _flush() else FAILED_FLUSH)


def _limit_exit_callbacks(code: int) -> None:
    """The task has ended and said how: callbacks that then wait for each other must not keep its process.

    flytekit's do so when an eager task ends while its deck is being published.
    """

    def leave(*_: object) -> None:
        _flush()
        os._exit(code)

    signal.signal(signal.SIGALRM, leave)
    signal.setitimer(signal.ITIMER_REAL, EXIT_CALLBACKS_SECONDS)


def _flush() -> bool:
    """Write out what was printed; whether that worked."""
    written = True
    for stream in (sys.stdout, sys.stderr):
        try:
            if stream is not None and not stream.closed:
                stream.flush()
        except (OSError, ValueError):
            written = False
    return written
