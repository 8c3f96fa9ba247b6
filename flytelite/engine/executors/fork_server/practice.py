"""What a fork server does a few times itself, before its first fork, so that its forks find it done.

The interpreter specialises the code that it has run often (PEP 659), and types remember where they have found their
attributes: a process that is forked with both needs a quarter less time of its own for a short task, and less memory.
What a task changes in its process is put back; what belongs to one attempt is made anew in each forked process in any
case (``task.become``).
"""
# ruff: noqa: PTH109, PTH123, PTH208

from __future__ import annotations

import contextlib
import faulthandler
import os
import signal
import sys
import tempfile
import time
from collections.abc import Iterator

from . import code_layout
from .play import MODULE, play, stage
from .preparation import Prepared, UnsafeToFork

TIMES = 12
"""The interpreter specialises a function that it has called eight times."""

SECONDS = 10


def practise(prepared: Prepared) -> None:
    """Play tasks in this process, if all of it goes well in a fork of it. Raises UnsafeToFork."""
    try:
        with stage() as place:
            if _goes_well(prepared, place):
                prepared.moved = code_layout.executed(lambda: _play(prepared, place))
                code_layout.move_together(prepared.moved)
                for _ in range(TIMES):
                    _play(prepared, place)
    except OSError:
        pass  # for example a full disk: who has not practised serves too, only slower
    prepared.remember()
    prepared.settle()


def _goes_well(prepared: Prepared, place: str) -> bool:
    """Whether it does with this flytekit, whose inner parts are not the same in every version."""
    child = os.fork()
    if child == 0:
        try:
            signal.alarm(SECONDS)
            os._exit(0 if _play(prepared, place) else 1)
        finally:
            os._exit(1)
    return os.waitpid(child, 0)[1] == 0


def _play(prepared: Prepared, place: str) -> bool:
    """Play a task and an element of a map, loops included; whether all of it went well."""
    with _as_it_was(prepared, place), _silently():
        codes = [play(prepared, place, mapped=mapped) for mapped in (False, True)]
    return not any(codes)


@contextlib.contextmanager
def _as_it_was(prepared: Prepared, place: str) -> Iterator[None]:
    """Afterwards the process has its own environment, arguments, paths and signal handlers, no such task, no threads.

    Raises UnsafeToFork.
    """
    from flytekit.core.context_manager import FlyteEntities
    from flytekit.interfaces.stats import client

    directory, environment, paths = os.getcwd(), dict(os.environ), list(sys.path)
    arguments = sys.argv, sys.orig_argv, sys.modules["__main__"]
    interrupted, entities = signal.getsignal(signal.SIGINT), list(FlyteEntities.entities)
    try:
        yield
    finally:
        _end_loops()
        os.chdir(directory)
        os.umask(prepared.umask)
        os.environ.clear()
        os.environ.update(environment)
        sys.path[:], FlyteEntities.entities[:] = paths, entities
        sys.argv, sys.orig_argv, sys.modules["__main__"] = arguments
        sys.modules.pop(MODULE, None)
        sys.path_importer_cache.pop(place, None)
        tempfile.tempdir = None
        client._stats_client = None  # which has a socket
        signal.signal(signal.SIGINT, interrupted)
        faulthandler.unregister(signal.SIGUSR1)  # flytekit's entrypoint registers it


@contextlib.contextmanager
def _silently() -> Iterator[None]:
    """Nobody reads what such a task prints."""
    kept = [os.dup(1), os.dup(2)]
    with open(os.devnull, "wb") as null:
        os.dup2(null.fileno(), 1)
        os.dup2(null.fileno(), 2)
    try:
        yield
    finally:
        for stream in (sys.stdout, sys.stderr):
            stream.flush()
        for number, descriptor in enumerate(kept, 1):
            os.dup2(descriptor, number)
            os.close(descriptor)


def _end_loops() -> None:
    """End the threads of the event loops that flytekit keeps for each process and thread. Raises UnsafeToFork."""
    from flytekit.utils.asyn import loop_manager

    runners = loop_manager._runner_map
    for runner in runners.values():
        loop = runner._TaskRunner__loop
        loop.call_soon_threadsafe(loop.stop)
        runner._TaskRunner__runner_thread.join()
    runners.clear()
    end = time.monotonic() + SECONDS
    while len(os.listdir("/proc/self/task")) > 1:
        if time.monotonic() > end:
            raise UnsafeToFork("threads of a task that has ended go on")
        time.sleep(0.001)  # nothing tells when the system's thread has ended too
