"""A process that has flytekit imported and forks the task processes of one Python environment.

Run as ``python fork_server.py CONTROL``. CONTROL is the number of a descriptor, its end of a pair of SOCK_SEQPACKET
sockets; the engine has the other end. The server says on it, in JSON, that it is ready or why it will not do. From
then on a message is one attempt: ATTEMPT, with three descriptors beside it: the attempt's connection, its lock and its
log. The server ends when the engine does, and never looks back at what it has forked. The message BRANCH has a fork of
the server import more modules and serve on a control socket of its own; beside it are a connection, on which it reads
what to import (modules, env), and that socket.

An attempt is given to a waiter, which does what shim.py does for a plain subprocess and outlives the server. The waiter
reads from the connection what it has to know (four bytes of length, then JSON: directory, token, grace), answers
STARTED, and leaves the rest (argv, env, cwd, lesson, in the same form) to the task process. The connection stays open
for as long as the waiter lives. A waiter and its task process are forked in advance, one pair at a time, because two
forks of a process of this size are a good part of what a short task takes.

Runs in the task's environment, where flytelite may not be installed: it loads its two siblings by path.
"""
# ruff: noqa: PTH120

from __future__ import annotations

import sys

if __name__ == "__main__":
    del sys.path[0]  # the directory of this file, which holds a subprocess.py that is not Python's

import contextlib
import gc
import importlib.util
import json
import os
import select
import signal
import socket
import traceback
from collections.abc import Callable
from types import ModuleType
from typing import TYPE_CHECKING, Any, NoReturn

ATTEMPT = b"+"
BRANCH = b"*"
STARTED = b"+"


def _sibling(name: str) -> ModuleType:
    path = os.path.join(os.path.dirname(__file__), f"{name}.py")  # noqa: PTH118
    spec = importlib.util.spec_from_file_location(f"_flytelite_{name}", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


if TYPE_CHECKING:
    from flytelite.engine.executors import fork_task, shim
else:
    shim, fork_task = _sibling("shim"), _sibling("fork_task")


def main() -> None:
    """Import flytekit and serve."""
    control = socket.socket(fileno=int(sys.argv[1]))
    greet(control, fork_task.prepare)


def greet(control: socket.socket, prepare: Callable[[], fork_task.Prepared]) -> NoReturn:
    """Import what has to be imported, say whether that went well, and serve."""
    try:
        prepared = prepare()
        said: dict[str, Any] = {"places": prepared.places}
    except BaseException as error:
        said = {"refusal": f"{type(error).__name__}: {error}"}
    try:
        control.send(json.dumps(said).encode())
    except OSError:
        os._exit(0)  # the engine is gone, or wants the server no more
    if "refusal" in said:
        os._exit(1)
    serve(control, prepared)


def serve(control: socket.socket, prepared: fork_task.Prepared) -> NoReturn:
    """Hand each attempt to a spare waiter until the engine is gone."""
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # the system buries the waiters
    spare: socket.socket | None = None
    while True:
        with contextlib.suppress(OSError):  # said to whoever asks for an attempt
            spare = spare or prefork(control, prepared)
        message, descriptors, _, _ = socket.recv_fds(control, 1, 3)
        if not message:
            os._exit(0)
        try:
            if message == BRANCH:
                branch(control, spare, prepared, *descriptors)
            else:
                if spare is None or not hand(spare, descriptors):
                    hand(prefork(control, prepared), descriptors)
                spare = None
        except OSError as error:
            os.write(descriptors[0], str(error).encode())
        for descriptor in descriptors:
            os.close(descriptor)


def branch(
    control: socket.socket, spare: socket.socket | None, prepared: fork_task.Prepared, connection: int, other: int
) -> None:
    """Fork a server that imports more; ``other`` is its control. Raises OSError."""
    if os.fork():
        return
    try:
        os.setsid()
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        control.close()
        if spare is not None:
            spare.close()
        wanted = _read(connection)
        os.close(connection)
        greet(socket.socket(fileno=other), lambda: fork_task.extend(prepared, wanted["modules"], wanted["env"]))
    except BaseException:
        traceback.print_exc()
    finally:
        os._exit(1)


def hand(spare: socket.socket, descriptors: list[int]) -> bool:
    """Give an attempt to a waiter; False when that has been killed."""
    with spare, contextlib.suppress(OSError):
        socket.send_fds(spare, [b"+"], descriptors)
        return True
    return False


def prefork(control: socket.socket, prepared: fork_task.Prepared) -> socket.socket:
    """A waiter with a task process that both wait for an attempt to come over the socket. Raises OSError."""
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    with theirs:
        if os.fork() == 0:
            control.close()
            ours.close()
            wait(theirs, prepared)
    return ours


def wait(orders: socket.socket, prepared: fork_task.Prepared) -> NoReturn:
    """The waiter: fork the task process, wait for the attempt and then for its end."""
    try:
        os.setsid()
        gc.disable()
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)

        def become() -> NoReturn:
            orders.close()
            ours.close()
            gc.enable()
            begin(theirs, prepared)

        task = shim.Task(0)
        task.run(become)
        theirs.close()
        message, descriptors, _, _ = socket.recv_fds(orders, 1, 3)
        if message:
            attend(task, ours, *descriptors)
    except BaseException:
        traceback.print_exc()
    finally:
        os._exit(0)
    raise AssertionError


def attend(task: shim.Task, orders: socket.socket, connection: int, lock: int, log: int) -> None:
    """Have the task process run the attempt, and wait for its end."""
    # As the shim has them: its lock, and the log.
    for source, target in ((lock, 0), (log, 1), (log, 2)):
        os.dup2(source, target)
    os.close(lock)
    attempt = _read(connection)
    os.write(connection, STARTED)
    task.grace = attempt["grace"]

    def release() -> None:
        with contextlib.suppress(OSError):  # it may have been ended already
            socket.send_fds(orders, [b"+"], [connection, log])
        orders.close()

    shim.attend(attempt["directory"], attempt["token"], task, release)
    os.close(
        connection
    )  # by its end, the exit of a process of this size, the engine would hear of it milliseconds later


def begin(orders: socket.socket, prepared: fork_task.Prepared) -> NoReturn:
    """The task process: wait for the attempt and become its command."""
    try:
        if not select.select([orders], [], [], 0)[0]:
            fork_task.warm(prepared)
        message, descriptors, _, _ = socket.recv_fds(orders, 1, 2)
        orders.close()
        if not message:
            os._exit(0)
        connection, log = descriptors
        os.dup2(log, 1)
        os.dup2(log, 2)
        os.close(log)
        command = _read(connection)
        os.close(connection)
        fork_task.run(prepared, command["argv"], command["env"], command["cwd"], command["lesson"])
    except BaseException:
        traceback.print_exc()
    finally:
        os._exit(1)
    raise AssertionError


def _read(connection: int) -> Any:
    """One message of the request. Raises EOFError when the engine is gone before it is complete."""
    length = int.from_bytes(_exactly(connection, 4), "big")
    return json.loads(_exactly(connection, length))


def _exactly(connection: int, count: int) -> bytes:
    parts = []
    while count:
        part = os.read(connection, count)
        if not part:
            raise EOFError("the engine ended while it asked for an attempt")
        parts.append(part)
        count -= len(part)
    return b"".join(parts)


if __name__ == "__main__":
    main()
