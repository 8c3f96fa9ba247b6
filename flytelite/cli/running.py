"""The server of a data directory, seen from outside: is it there, and has it ended."""

from __future__ import annotations

import contextlib
import os
import select
import shlex
import signal
from collections.abc import Iterator
from pathlib import Path

from flytelite import __version__, config
from flytelite.cli.failure import Failure
from flytelite.server.data_directory import Running, process_start_time


def read_running(data_dir: Path) -> Running | None:
    """The server that runs on a data directory; None when there is none.

    A ``server.json`` whose process is gone, or whose pid belongs to another process by now, counts as none.
    """
    running = Running.read(data_dir)
    return running if running is not None and is_alive(running) else None


def is_alive(running: Running) -> bool:
    """Whether that very process still runs; one that has ended and that nobody has waited for does not."""
    try:
        if hasattr(os, "pidfd_open"):
            with _handle(running.pid) as handle:
                ended = _wait(handle, 0)
        else:
            os.kill(running.pid, 0)
            ended = False
    except ProcessLookupError:
        return False
    except PermissionError:
        ended = False  # somebody else's process is a process too
    # 0 means that the platform does not tell start times.
    return not ended and running.started in (0, process_start_time(running.pid))


def is_suspended(running: Running) -> bool:
    """Whether somebody has stopped that process in its tracks (SIGSTOP, Ctrl-Z), where the platform tells."""
    try:
        return Path(f"/proc/{running.pid}/stat").read_text().rpartition(")")[2].split()[0] == "T"
    except OSError:
        return False


def silence(running: Running) -> str:
    """What to say of a server that runs and does not answer, and to do about it."""
    if is_suspended(running):
        return f"its process {running.pid} is suspended: `kill -CONT {running.pid}` has it go on"
    return (
        f"its process {running.pid} runs, so it is busy or hangs: try again, or end it with "
        f"`{down_command(Path(running.data_dir))}` or `kill -9 {running.pid}` (what it acknowledged is on disk)"
    )


def other_version(running: Running) -> str:
    """What to say of a server that is not of the version of this command."""
    return (
        f"the server is flytelite {running.version} and this command is {__version__}; after an upgrade stop it with "
        f"`{down_command(Path(running.data_dir))}` and start the new one with `flytelite up`: executions go on"
    )


def down_command(data_dir: Path) -> str:
    """What stops the server of that data directory, typed in this folder."""
    if data_dir == config.load({}).data_dir:
        return "flytelite down"
    relative = os.path.relpath(data_dir)
    return f"flytelite down --data-dir {shlex.quote(str(data_dir) if relative.startswith('..') else relative)}"


def stop(running: Running, seconds: float) -> bool:
    """Ask the server to stop and wait for its end; False when it still runs after that many seconds.

    Raises Failure when it is another user's.
    """
    try:
        return _stop(running, seconds)
    except PermissionError as error:
        raise Failure(
            f"the server (process {running.pid}) is another user's, who alone can stop it; "
            "--port and --data-dir choose others for one of your own"
        ) from error


def _stop(running: Running, seconds: float) -> bool:
    if not hasattr(os, "pidfd_open"):
        return _stop_by_kqueue(running, seconds)
    try:
        with _handle(running.pid) as handle:
            # Asked with the handle in hand: from here on the pid cannot come to mean another process.
            if not is_alive(running):
                return True
            signal.pidfd_send_signal(handle, signal.SIGTERM)
            signal.pidfd_send_signal(handle, signal.SIGCONT)  # or one that is suspended would never hear of it
            return _wait(handle, seconds)
    except ProcessLookupError:
        return True


@contextlib.contextmanager
def _handle(pid: int) -> Iterator[int]:
    handle = os.pidfd_open(pid)
    try:
        yield handle
    finally:
        os.close(handle)


def _wait(handle: int, seconds: float) -> bool:
    """Whether the process of that handle ends within so many seconds."""
    poller = select.poll()
    poller.register(handle, select.POLLIN)
    return bool(poller.poll(seconds * 1000))


def _stop_by_kqueue(running: Running, seconds: float) -> bool:
    queue = select.kqueue()  # type: ignore[attr-defined,unused-ignore]
    try:
        event = select.kevent(  # type: ignore[attr-defined,unused-ignore]
            running.pid,
            filter=select.KQ_FILTER_PROC,  # type: ignore[attr-defined,unused-ignore]
            flags=select.KQ_EV_ADD,  # type: ignore[attr-defined,unused-ignore]
            fflags=select.KQ_NOTE_EXIT,  # type: ignore[attr-defined,unused-ignore]
        )
        queue.control([event], 0, 0)
        os.kill(running.pid, signal.SIGTERM)
        os.kill(running.pid, signal.SIGCONT)
        return bool(queue.control(None, 1, seconds))
    except ProcessLookupError:
        return True
    finally:
        queue.close()
