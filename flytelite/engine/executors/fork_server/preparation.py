"""What a fork server has imported and remembers before its first fork.

Runs in the task's own Python environment: standard library, flytekit and what flytekit needs.
"""
# ruff: noqa: PTH110, PTH112, PTH116, PTH123, PTH208

from __future__ import annotations

import contextlib
import ctypes
import functools
import gc
import importlib
import linecache
import os
import shutil
import site
import sys
import time
from collections.abc import Callable, Sequence
from types import CodeType
from typing import Any

from . import state
from .entrypoint import Entrypoint

STARTUP_HOOKS = frozenset({"sitecustomize", "usercustomize"})
"""Modules that an interpreter imports by itself when it starts."""

NEVER_PRELOADED = frozenset({"cupy", "jax", "tensorflow", "torch"})
"""Libraries that may talk to a graphics processor once they are imported, which no fork survives."""

HUGE_PAGE = 2 * 1024 * 1024
MADV_COLLAPSE = 25

QUIET = {"JE_ARROW_MALLOC_CONF": "background_thread:false"}
"""Keeps pyarrow's allocator from starting a thread when it is imported."""


class UnsafeToFork(Exception):
    """What was imported did more than to define things."""


class Prepared:
    """What the process was like before the first fork, for its children to start from."""

    def __init__(self) -> None:
        from flytekit.bin import entrypoint
        from flytekit.core import base_task, context_manager
        from flytekit.utils.asyn import run_sync

        self.umask = os.umask(0o022)
        os.umask(self.umask)
        self.path = list(sys.path)
        commands = (entrypoint.execute_task_cmd, entrypoint.map_execute_task_cmd)
        self.entrypoints = {command.name: Entrypoint(command.name, command) for command in commands}
        self.places = {path: os.stat(path).st_mtime_ns for path in _site_packages()}
        self.loop_start = functools.partial(run_sync, _nothing)
        for module in (contextlib, state, entrypoint, base_task, context_manager):
            linecache.getlines(str(module.__file__))  # flytekit remembers where its contexts are made, in their words
        self.move: Callable[[str], None] | None = None  # where a user's module is imported: see user_module.py
        self.moved: dict[int, CodeType] = {}  # where the code of tasks was: see code_layout.py
        self.needed: list[Any] = []  # what is copied ahead: see rehearsal.py
        self.remember()
        self.settle()

    def remember(self) -> None:
        """Remember what is imported by now."""
        names = {name.partition(".")[0] for name in sys.modules}
        self.modules = frozenset(sys.modules)
        self.libraries = (names | STARTUP_HOOKS) - set(sys.builtin_module_names)

    def settle(self, huge: bool = True) -> None:
        """Get ready for forks, and keep the collector from touching what there is. Raises UnsafeToFork."""
        state.forget_exit_callbacks()
        child = os.fork()  # libraries for linear algebra end their threads before a fork and start them when needed
        if child == 0:
            os._exit(0)
        os.waitpid(child, 0)
        threads = _other_threads()
        if threads:
            raise UnsafeToFork(f"imports started threads: {', '.join(threads)}")
        gc.collect()
        gc.freeze()
        if huge:
            _use_huge_pages()


def prepare() -> Prepared:
    """Import flytekit and whatever its tasks need first. Raises UnsafeToFork, and what an import raises."""
    # Tasks log for machines, not for people at a terminal: flytekit asks this variable while it is imported.
    os.environ.setdefault("FLYTE_INTERNAL_EXECUTION_ID", "fork-server")
    os.environ.update({**QUIET, **os.environ})  # flytekit imports its plugins, and those what they like
    from flytekit.configuration import Config
    from flytekit.core import data_persistence

    shutil.rmtree(data_persistence.flyte_tmp_dir)
    shutil.rmtree(Config.local_sandbox_path)
    state.fresh_context()  # in a flytekit that it does not fit, it fails here and not in every task
    shutil.rmtree(data_persistence.flyte_tmp_dir)
    loop = state.connector_loop()
    if loop is not None:
        loop.close()
    return Prepared()


def extend(prepared: Prepared, modules: Sequence[str], env: dict[str, str]) -> Prepared:
    """In a fork of the process: import more. Raises UnsafeToFork, and what an import raises."""
    import_libraries(prepared, modules, env)
    prepared.settle()
    return prepared


def import_libraries(prepared: Prepared, modules: Sequence[str], env: dict[str, str]) -> None:
    """Import more, in other variables. Raises UnsafeToFork, and what an import raises."""
    os.environ.clear()
    os.environ.update({**QUIET, **env})
    time.tzset()
    before = _open_files()
    for name in modules:
        importlib.import_module(name)
    found = NEVER_PRELOADED & {name.partition(".")[0] for name in sys.modules}
    if found:
        raise UnsafeToFork(f"{', '.join(sorted(found))} would not survive a fork")
    opened = _open_files() - before
    if opened:
        raise UnsafeToFork(f"imports left {len(opened)} files or connections open")
    prepared.remember()


def _use_huge_pages() -> None:
    """Have the memory in few large pages where the system can do that: a fork copies a table of all pages.

    It saves a tenth of what a short task costs. Where it cannot be had (before Linux 6.1), nothing changes.
    """
    system = ctypes.CDLL(None)
    with open("/proc/self/maps", encoding="utf-8") as file:
        mappings = [line.split() for line in file]
    for addresses, access, _, _, _, *name in mappings:
        if access == "rw-p" and name in ([], ["[heap]"]):
            begin, end = (int(address, 16) for address in addresses.split("-"))
            for place in range(-(-begin // HUGE_PAGE) * HUGE_PAGE, end - HUGE_PAGE + 1, HUGE_PAGE):
                system.madvise(ctypes.c_void_p(place), ctypes.c_size_t(HUGE_PAGE), MADV_COLLAPSE)


def _other_threads() -> list[str]:
    """What the system calls them."""
    names = []
    for thread in os.listdir("/proc/self/task"):
        if int(thread) != os.getpid():
            with contextlib.suppress(FileNotFoundError), open(f"/proc/self/task/{thread}/comm") as file:  # it has ended
                names.append(file.read().strip())
    return sorted(names)


def _open_files() -> set[str]:
    listed = os.listdir("/proc/self/fd")
    return {name for name in listed if os.path.exists(f"/proc/self/fd/{name}")}  # not the listing's own


def _site_packages() -> list[str]:
    places = [*site.getsitepackages(), site.getusersitepackages()]
    return [place for place in places if place in sys.path and os.path.isdir(place)]


async def _nothing() -> None:
    """What flytekit's loop is started with."""
