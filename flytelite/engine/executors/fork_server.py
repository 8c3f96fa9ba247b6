"""A process that has flytekit imported and forks the task processes of one Python environment.

Run as ``python fork_server.py CONTROL``. CONTROL is the number of a descriptor, its end of a pair of SOCK_SEQPACKET
sockets; the engine has the other end. The server says on it, in JSON, that it is ready or why it will not do. From
then on a message is one attempt: a byte, with three descriptors beside it: the attempt's connection, its lock and its
log. The server ends when the engine does, and never looks back at what it has forked.

For each attempt it forks a waiter, which does what shim.py does for a plain subprocess and outlives the server. The
waiter reads a request from the connection (four bytes of length, then JSON: directory, token, grace, argv, env, cwd),
answers STARTED, forks the task and waits for it. The connection stays open for as long as the waiter lives.

Runs in the task's environment, where flytelite may not be installed: it loads its two siblings by path.
"""
# ruff: noqa: PTH120, PTH208

from __future__ import annotations

import sys

if __name__ == "__main__":
    del sys.path[0]  # the directory of this file, which holds a subprocess.py that is not Python's

import gc
import importlib.util
import json
import os
import signal
import socket
import traceback
from types import ModuleType
from typing import TYPE_CHECKING, Any, NoReturn

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
    try:
        prepared = fork_task.prepare()
        threads = len(os.listdir("/proc/self/task"))
        if threads > 1:
            raise RuntimeError(f"importing flytekit and its plugins started {threads - 1} threads")
    except Exception as error:
        control.send(json.dumps({"refusal": f"{type(error).__name__}: {error}"}).encode())
        os._exit(1)
    control.send(json.dumps({"places": prepared.places}).encode())
    serve(control, prepared)


def serve(control: socket.socket, prepared: fork_task.Prepared) -> NoReturn:
    """Fork a waiter for each message until the engine is gone."""
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # the system buries the waiters
    while True:
        message, descriptors, _, _ = socket.recv_fds(control, 1, 3)
        if not message:
            os._exit(0)
        connection, lock, log = descriptors
        try:
            child = os.fork()
        except OSError as error:
            os.write(connection, str(error).encode())
        else:
            if child == 0:
                control.close()
                wait(connection, lock, log, prepared)
        for descriptor in descriptors:
            os.close(descriptor)


def wait(connection: int, lock: int, log: int, prepared: fork_task.Prepared) -> NoReturn:
    """The waiter: run one attempt to its end."""
    try:
        os.setsid()
        gc.disable()
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        # As the shim has them: its lock, and the log for itself and the task.
        for source, target in ((lock, 0), (log, 1), (log, 2)):
            os.dup2(source, target)
        os.close(lock)
        os.close(log)
        request = _read(connection)
        os.write(connection, STARTED)

        def become() -> NoReturn:
            gc.enable()
            try:
                os.close(connection)
                fork_task.run(prepared, request["argv"], request["env"], request["cwd"])
            except BaseException:
                traceback.print_exc()
                os._exit(1)

        shim.attend(request["directory"], request["token"], request["grace"], become)
    except BaseException:
        traceback.print_exc()
    finally:
        os._exit(0)
    raise AssertionError


def _read(connection: int) -> Any:
    """The request. Raises EOFError when the engine is gone before it is complete."""
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
