"""What an import has left behind in its process that forked processes would share, or would not have."""
# ruff: noqa: PTH123, PTH208, PTH109, PTH115

from __future__ import annotations

import asyncio
import atexit
import builtins
import contextlib
import ctypes
import gc
import json
import os
import random
import resource
import select
import signal
import socket
import sys
import time
import traceback
import weakref
from types import ModuleType
from typing import Any

NEEDED: tuple[ModuleType, ...] = (
    builtins, contextlib, ctypes, gc, json, json.decoder, json.encoder, os, select, signal, socket, time, traceback
)  # fmt: skip
"""What a waiter runs on: it is forked from the same process, and its records are the proof of an attempt's end."""

MOST_MEMORY = 256 * 1024 * 1024
"""More than this an import must not take: the process that keeps it stays."""


class Traces:
    """What the process was like."""

    def __init__(self) -> None:
        self._state = _state()
        self._bindings = _bindings()
        self._memory = _memory()

    def left(self) -> list[str]:
        """What is different now, in words."""
        now, bindings = _state(), _bindings()
        found = [f"changes {name}" for name, value in self._state.items() if now[name] != value]
        found += [f"replaces {name}" for name, value in self._bindings.items() if bindings.get(name) != value]
        taken = _memory() - self._memory
        if taken > MOST_MEMORY:
            found.append(f"takes {taken // 1024 // 1024} MiB of memory")
        return found


def _state() -> dict[str, Any]:
    umask = os.umask(0o022)
    os.umask(umask)
    return {
        "the working directory": os.getcwd(),
        "the umask": umask,
        "signal handlers": [signal.getsignal(number) for number in sorted(signal.valid_signals())],
        "blocked signals": signal.pthread_sigmask(signal.SIG_BLOCK, ()),
        "timers": [signal.getitimer(kind) for kind in (signal.ITIMER_REAL, signal.ITIMER_VIRTUAL, signal.ITIMER_PROF)],
        "its child processes": _children(),
        "open files and connections": _files(),
        "memory shared between processes": _shared_memory(),
        "variables": dict(os.environ),
        "the garbage collector": (gc.isenabled(), gc.get_threshold(), len(gc.callbacks)),
        "the interpreter's hooks": _hooks(),
        "the arguments": list(sys.argv),
        "what runs at the exit": (atexit._ncallbacks(), len(weakref.finalize._registry), _pool_exits()),  # type: ignore[attr-defined]
        "limits": [resource.getrlimit(kind) for kind in _limits()],
        "its priority": (os.getpriority(os.PRIO_PROCESS, 0), os.sched_getaffinity(0)),
        "the running event loop": id(asyncio._get_running_loop()),
        "the state of random": hash(random.getstate()),
        "the state of numpy's random": _numpy_random(),
    }


def _bindings() -> dict[str, int]:
    """What the names in modules that a waiter needs, and in their classes, stand for."""
    found = {}
    for module in NEEDED:
        for name, value in vars(module).items():
            found[f"{module.__name__}.{name}"] = id(value)
            if isinstance(value, type) and value.__module__ == module.__name__:
                found |= {f"{module.__name__}.{name}.{part}": id(one) for part, one in list(vars(value).items())}
    return found


def _hooks() -> list[Any]:
    single = [sys.excepthook, sys.displayhook, sys.unraisablehook, sys.stdin, sys.stdout, sys.stderr, sys.gettrace()]
    return [*map(id, single), *map(id, sys.meta_path), *map(id, sys.path_hooks)]


def _files() -> dict[str, str]:
    found = {}
    for name in os.listdir("/proc/self/fd"):
        with contextlib.suppress(FileNotFoundError):  # the listing's own
            found[name] = os.readlink(f"/proc/self/fd/{name}")
    return found


def _shared_memory() -> list[str]:
    with open("/proc/self/maps", encoding="utf-8") as file:
        return [line for line in file if line.split()[1] == "rw-s"]


def _children() -> str:
    with open(f"/proc/self/task/{os.getpid()}/children", encoding="ascii") as file:
        return file.read()


def _memory() -> int:
    with open("/proc/self/statm", encoding="ascii") as file:
        return int(file.read().split()[1]) * resource.getpagesize()


def _limits() -> list[int]:
    return [getattr(resource, name) for name in dir(resource) if name.startswith("RLIMIT_")]


def _pool_exits() -> int:
    pools = sys.modules.get("multiprocessing.util")
    return len(pools._finalizer_registry) if pools is not None else 0


def _numpy_random() -> Any:
    numbers = sys.modules.get("numpy.random")
    if numbers is None:
        return None
    _, keys, *rest = numbers.get_state()
    return (keys.tobytes(), *rest)
