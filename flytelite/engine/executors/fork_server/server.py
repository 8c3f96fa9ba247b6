"""A process that has flytekit imported and forks the task processes of one Python environment.

Run as ``python fork_server/server.py CONTROL FILES``. CONTROL is the number of a descriptor, its end of a pair of
SOCK_SEQPACKET sockets; the engine has the other end. FILES is how many files it, and all its tasks, may have open. The
server says on it, in JSON, that it is ready or why it will not do. From then on a message is one attempt: ATTEMPT, with
three descriptors beside it: the attempt's connection, its lock and its log. The server ends when the engine does, and
never looks back at what it has forked. The message BRANCH has a fork of the server import more modules and serve on a
control socket of its own; beside it are a connection, on which it reads what to import (modules, env, and for a user's
module what user_module.py wants), and that socket.

An attempt is given to a waiter (waiter.py), which outlives the server. The waiter reads from the connection what it has
to know (four bytes of length, then JSON: directory, token, grace), answers STARTED, and leaves the rest (argv, env,
cwd, lesson, memory, in the same form) to the task process. The connection stays open until the exit record is written.
The next task process is forked in advance.

Runs in the task's environment, where flytelite may not be installed: its siblings and shim.py are in a package of
another name.
"""

from __future__ import annotations

import sys
from pathlib import Path
from types import ModuleType

if __name__ == "__main__":
    # Not in the path: a task that imports "server" or "state" means its own.
    package = ModuleType("_flytelite_executors")
    package.__path__ = [str(Path(sys.path.pop(0)).parent)]
    sys.modules[package.__name__] = package
    __package__ = f"{package.__name__}.fork_server"

import contextlib
import ctypes
import gc
import json
import os
import select
import signal
import socket
import traceback
from collections.abc import Callable, Sequence
from typing import Any, NoReturn

from .. import shim
from . import immortals, practice, preparation, rehearsal, task, user_module, waiter
from .preparation import Prepared

ATTEMPT = b"+"
BRANCH = b"*"
PR_SET_PDEATHSIG = 1


def main() -> None:
    """Import flytekit and serve."""
    control = socket.socket(fileno=int(sys.argv[1]))
    shim.limit_open_files(int(sys.argv[2]))
    greet(control, _practised)


def _practised() -> Prepared:
    prepared = preparation.prepare()
    practice.practise(prepared)
    immortals.immortalise(prepared)
    return prepared


def greet(control: socket.socket, prepare: Callable[[], Prepared]) -> NoReturn:
    """Import what has to be imported, say whether that went well, and serve."""
    try:
        prepared = prepare()
        prepared.needed = rehearsal.rehearse(prepared)
        said: dict[str, Any] = {"places": prepared.places}
    except BaseException as error:
        said = {"refusal": f"{type(error).__name__}: {error}"}
        end_children()
    try:
        control.send(json.dumps(said).encode())
    except OSError:
        os._exit(0)  # the engine is gone, or wants the server no more
    if "refusal" in said:
        os._exit(1)
    serve(control, prepared)


def end_children() -> None:
    """End what an import has started, and what that has started in turn."""
    for _ in range(shim.MOST_GENERATIONS):
        children: set[int] = set()
        for of_thread in Path("/proc/self/task").glob("*/children"):
            with contextlib.suppress(OSError):
                children.update(map(int, of_thread.read_text().split()))
        if not children:
            return
        for pid in children:
            with contextlib.suppress(OSError):
                os.kill(pid, signal.SIGKILL)
                os.waitpid(pid, 0)


class Waiters:
    """The waiter that gets the next attempts, and its successors."""

    def __init__(self, control: socket.socket, prepared: Prepared) -> None:
        self.control = control
        self.prepared = prepared
        self.orders: socket.socket | None = None
        self.left = 0

    def prefork(self, held: Sequence[int] = ()) -> socket.socket:
        """The socket of a waiter that takes one more attempt; it does not keep those descriptors. Raises OSError."""
        if self.orders is None:
            self.orders, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
            self.left = waiter.SHARED
            with theirs:
                if os.fork() == 0:
                    self.control.close()
                    self.orders.close()
                    for descriptor in held:
                        os.close(descriptor)
                    wait(theirs, self.prepared)
        return self.orders

    def hand(self, descriptors: list[int]) -> None:
        """Give an attempt to a waiter; one that has been killed is replaced. Raises OSError."""
        for _ in range(2):
            try:
                socket.send_fds(self.prefork(descriptors), [ATTEMPT], descriptors)
            except BrokenPipeError:
                self.close()
            else:
                self.left -= 1
                if self.left == 0:
                    self.close()
                return

    def close(self) -> None:
        """Give the waiter no more attempts: it ends when its tasks have ended."""
        if self.orders is not None:
            self.orders.close()
            self.orders = None


def serve(control: socket.socket, prepared: Prepared) -> NoReturn:
    """Hand each attempt to a waiter until the engine is gone."""
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # the system buries the waiters
    waiters = Waiters(control, prepared)
    while True:
        with contextlib.suppress(OSError):  # said to whoever asks for an attempt
            waiters.prefork()
        message, descriptors, _, _ = socket.recv_fds(control, 1, 3)
        if not message:
            os._exit(0)
        try:
            if message == BRANCH:
                branch(waiters, *descriptors)
            else:
                waiters.hand(descriptors)
        except OSError as error:
            os.write(descriptors[0], str(error).encode())
        for descriptor in descriptors:
            os.close(descriptor)


def branch(waiters: Waiters, connection: int, other: int) -> None:
    """Fork a server that imports more, and ends with this one; ``other`` is its control. Raises OSError."""
    parent = os.getpid()
    if os.fork():
        return
    try:
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
        # Who is left by a process that an import starts is this one's child.
        ctypes.CDLL(None).prctl(waiter.PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
        if os.getppid() != parent:
            os._exit(0)
        os.setsid()
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        waiters.control.close()
        waiters.close()
        wanted = waiter.read(connection)
        os.close(connection)
        greet(socket.socket(fileno=other), lambda: _extended(waiters.prepared, wanted))
    except BaseException:
        traceback.print_exc()
    finally:
        os._exit(1)


def _extended(prepared: Prepared, wanted: dict[str, Any]) -> Prepared:
    if "module" in wanted:
        return user_module.load(prepared, wanted)
    return preparation.extend(prepared, wanted["modules"], wanted["env"])


def wait(orders: socket.socket, prepared: Prepared) -> NoReturn:
    """The waiter."""
    try:
        os.setsid()
        os.dup2(1, 2)  # it outlives the engine, whose stderr may be a pipe that somebody reads to its end
        gc.disable()
        waiter.Waiter(orders, shim, lambda attempt: begin(attempt, prepared)).run()
    except BaseException:
        traceback.print_exc()
    finally:
        os._exit(0)
    raise AssertionError


def begin(orders: socket.socket, prepared: Prepared) -> NoReturn:
    """The task process: wait for the attempt and become its command."""
    try:
        if not select.select([orders], [], [], 0)[0]:
            rehearsal.warm(prepared)
        message, descriptors, _, _ = socket.recv_fds(orders, 1, 2)
        orders.close()
        if not message:
            os._exit(0)
        connection, log = descriptors
        os.dup2(log, 1)
        os.dup2(log, 2)
        os.close(log)
        command = waiter.read(connection)
        os.close(connection)
        shim.limit(command["memory"])
        task.run(prepared, command["argv"], command["env"], command["cwd"], command["lesson"])
    except BaseException:
        traceback.print_exc()
    finally:
        os._exit(1)
    raise AssertionError


if __name__ == "__main__":
    del __file__  # flytekit compares the paths of a main module's file for each task that it makes
    main()
