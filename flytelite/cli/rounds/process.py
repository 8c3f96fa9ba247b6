"""The command line's end of the warm process and of its rounds."""

from __future__ import annotations

import contextlib
import json
import socket
import subprocess
import sys
import threading
from collections.abc import Callable
from typing import Any

from flytelite.cli.rounds.job import FORKS, Job

WARM = "flytelite.cli.rounds.warm"
END_SECONDS = 5.0


class Round:
    """One round that goes on. ``hear`` gets what it says, in a thread, and None when it is over."""

    def __init__(self, connection: socket.socket, job: Job, hear: Callable[[dict[str, Any] | None], None]) -> None:
        self._connection = connection
        connection.sendall(job.encode() + b"\n")
        self._thread = threading.Thread(target=self._read, args=(hear,), daemon=True)
        self._thread.start()

    def order(self, what: bytes) -> None:
        """Tell it to end; it may be over already."""
        with contextlib.suppress(OSError):
            self._connection.sendall(what)

    def wait(self, seconds: float) -> None:
        """Wait for its end."""
        self._thread.join(seconds)

    def _read(self, hear: Callable[[dict[str, Any] | None], None]) -> None:
        with self._connection, contextlib.suppress(ConnectionResetError):
            for line in self._connection.makefile("rb"):
                hear(json.loads(line))
        hear(None)


class WarmProcess:
    """Starts the process ahead of its first round; another one when it has ended. A context manager."""

    def __init__(self) -> None:
        self._process, self._control = _start()

    def __enter__(self) -> WarmProcess:
        return self

    def __exit__(self, *exception: object) -> None:
        self._control.close()
        self._process.kill()
        self._process.wait(END_SECONDS)

    def begin(self, job: Job, hear: Callable[[dict[str, Any] | None], None]) -> Round:
        """Begin a round. Raises OSError when no process can be made."""
        here, there = socket.socketpair()
        with there:
            try:
                socket.send_fds(self._control, [b"+"], [there.fileno()])
            except OSError:  # it ended, for example because someone killed it
                self._renew()
                socket.send_fds(self._control, [b"+"], [there.fileno()])
        round = Round(here, job, hear)
        if not FORKS:
            self._renew()  # ahead of the next round
        return round

    def _renew(self) -> None:
        self._control.close()
        threading.Thread(target=self._process.wait, daemon=True).start()  # it may have a round to finish
        self._process, self._control = _start()


def _start() -> tuple[subprocess.Popen[bytes], socket.socket]:
    """A session of its own: Ctrl-C is for the command line, which says what is to end."""
    control, other = socket.socketpair()
    with other:
        process = subprocess.Popen(
            [sys.executable, "-P", "-m", WARM, str(other.fileno())],
            pass_fds=[other.fileno()],
            stdin=subprocess.DEVNULL,
            start_new_session=True,
        )
    return process, control
