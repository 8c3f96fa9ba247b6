"""A process that has flytekit imported and does each round in a fork of itself, so that the user's modules are new.

Run as ``python -m flytelite.cli.rounds.warm CONTROL``. CONTROL is the number of a descriptor, one end of a pair of
sockets. Each byte on it comes with the connection of a round; the process ends when the other end is closed. Where
libraries of the system do not survive a fork, it does one round and ends, and the next one needs another process.

On its connection a round reads its job, a line; then orders, a byte each. It says, in lines of JSON, which files it has
``loaded`` and the exit ``code`` of its command. The connection is closed when the round is over.
"""

from __future__ import annotations

import contextlib
import gc
import importlib
import json
import os
import signal
import socket
import sys
import threading
import traceback
from collections.abc import Iterable
from pathlib import Path
from typing import Any, NoReturn

from flytelite.cli.failure import FAILED, INTERRUPTED, Failure
from flytelite.cli.rounds.job import FORKS, SUPERSEDE, Job, Register, Superseded

PATIENCE = 5.0
"""Seconds that a round has for its end after an order; code that is being imported may not listen."""
IMPORTED = (
    "flytelite.cli.bundle",
    "flytelite.cli.endpoint",
    "flytelite.cli.inputs",
    "flytelite.cli.nodes",
    "flytelite.cli.outcome",
    "flytelite.cli.progress",
    "flytelite.cli.register",
    "flytelite.cli.registration",
    "flytelite.cli.run",
    "flytelite.cli.values",
    "flytelite.cli.watch",
    "flytekit.configuration.plugin",
    "flytekit.remote",
    "flytekit.remote.remote_fs",
    "flytekit.tools.fast_registration",
    "flytekit.tools.serialize_helpers",
    "grpc._channel",
    "rich.live",
    "rich.tree",
)


def main() -> None:
    """Import what rounds need, then serve them."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    control = socket.socket(fileno=int(sys.argv[1]))
    for name in IMPORTED:
        importlib.import_module(name)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # flytekit has put its own there
    gc.collect()
    gc.freeze()
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # the system buries the rounds
    while True:
        message, descriptors, _, _ = socket.recv_fds(control, 1, 1)
        if not message:
            return
        if not FORKS or os.fork() == 0:
            control.close()
            attend(socket.socket(fileno=descriptors[0]))
        os.close(descriptors[0])


def attend(connection: socket.socket) -> NoReturn:
    """Do one round, whose end is the end of the process."""
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    signal.signal(signal.SIGTERM, _superseded)
    importlib.invalidate_caches()
    reader = connection.makefile("rb")
    job = Job.decode(reader.readline())
    threading.Thread(target=_obey, args=(reader,), daemon=True).start()
    code = perform(job, lambda **said: _say(connection, said))
    _say(connection, {"code": code})
    with contextlib.suppress(OSError):
        sys.stdout.flush()
        sys.stderr.flush()
    os._exit(code)  # an interpreter takes a while to take itself apart


def perform(job: Job, say: Any) -> int:
    """Do what the job says and return the exit code; errors are printed."""
    from flytelite.cli import register, run
    from flytelite.errors import FlyteError

    def tell_loaded(root: Path) -> None:
        # The plain attribute: to ask a lazy module for its file is to import it.
        spaces = [object.__getattribute__(module, "__dict__") for module in list(sys.modules.values())]
        say(loaded=list(_below(root, (space.get("__file__") for space in spaces))))

    try:
        if isinstance(job.task, Register):
            return register.perform(job.task, tell_loaded)
        return run.perform(job.task, tell_loaded)
    except (KeyboardInterrupt, Superseded):
        return INTERRUPTED
    except (Failure, FlyteError) as failure:
        _show(failure, job)
        return failure.exit_code if isinstance(failure, Failure) else FAILED
    except Exception as error:  # the last resort of a command line: it tells the user
        _show(error, job)
        return FAILED


def _show(error: Exception, job: Job) -> None:
    from flytelite.cli.failure import sentence_of

    if job.verbose:
        traceback.print_exception(error)
    elif isinstance(error, Failure) and error.detail:
        print(error.detail, file=sys.stderr)
    print(f"flytelite: {sentence_of(error, job.verbose)}", file=sys.stderr, flush=True)


def _below(root: Path, files: Iterable[str | None]) -> Iterable[str]:
    prefix = f"{root}{os.sep}"
    return (file for file in files if file is not None and file.startswith(prefix) and "site-packages" not in file)


def _say(connection: socket.socket, said: dict[str, Any]) -> None:
    with contextlib.suppress(OSError):  # whoever wanted to know is gone
        connection.sendall(json.dumps(said).encode() + b"\n")


def _obey(orders: Any) -> None:
    """Wait for an order; the end of the connection, which is the end of the command line, is one as well."""
    order = orders.read(1)
    number = signal.SIGTERM if order == SUPERSEDE else signal.SIGINT
    signal.pthread_kill(threading.main_thread().ident or 0, number)
    threading.Event().wait(PATIENCE)
    os._exit(INTERRUPTED)


def _superseded(number: int, frame: object) -> None:
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    raise Superseded


if __name__ == "__main__":
    main()
