"""The parent of several forked task processes, which does for each of them what shim.py does for one.

A fork server forks a waiter and hands it attempts over a socket; the waiter outlives the fork server and ends when it
gets no more attempts and all of its tasks have ended. Tasks share a waiter because forking a process of this size, and
taking it apart again, is a good part of what a short task costs; only so many share one because its death loses them.

SIGTERM has it look which of its attempts have a file ``cancel``.
"""
# ruff: noqa: PTH110, PTH123

from __future__ import annotations

import contextlib
import gc
import json
import os
import select
import signal
import socket
import time
import traceback
from collections.abc import Callable
from typing import Any, NoReturn

SHARED = 16
"""So many attempts are given to one waiter."""

STARTED = b"+"
PR_SET_CHILD_SUBREAPER = 36
SIGNALS = frozenset({signal.SIGCHLD, signal.SIGTERM})


class Ward:
    """One attempt. ``connection`` and ``lock`` are descriptors, which are closed once the exit record is written."""

    def __init__(self, attempt: dict[str, Any], pid: int, connection: int, lock: int) -> None:
        self.directory: str = attempt["directory"]
        self.token: str = attempt["token"]
        self.grace: float = attempt["grace"]
        self.pid = pid
        self.started = time.time()
        self.ending = False
        self.deadline: float | None = None
        self._descriptors = (lock, connection)

    def end(self) -> None:
        """SIGTERM to the group, and a deadline for the rest."""
        if not self.ending:
            self.ending = True
            self.deadline = time.monotonic() + self.grace
            self.send(signal.SIGTERM)

    def enforce(self) -> None:
        """SIGKILL when its time is up; the rest of the group is ended when the task is buried."""
        if self.deadline is not None and time.monotonic() >= self.deadline:
            self.deadline = None
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.kill(self.pid, signal.SIGKILL)

    def send(self, number: int) -> None:
        """A signal to whoever of the group is left; call it before the task is taken off the process table."""
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self.pid, number)

    def close(self) -> None:
        """Let the engine, and any later one, know that it is over."""
        for descriptor in self._descriptors:
            os.close(descriptor)


class Spare:
    """A task process that waits for its attempt on the other end of ``orders``."""

    def __init__(self, pid: int, orders: socket.socket) -> None:
        self.pid = pid
        self.orders = orders

    def release(self, connection: int, log: int) -> None:
        """Have it become the attempt's command; it may have been ended already."""
        with self.orders, contextlib.suppress(OSError):
            socket.send_fds(self.orders, [b"+"], [connection, log])


class Waiter:
    """``shim`` is the module, ``become`` what a task process does with the socket on which its attempt comes."""

    def __init__(self, orders: socket.socket, shim: Any, become: Callable[[socket.socket], NoReturn]) -> None:
        self._orders: socket.socket | None = orders
        self._shim = shim
        self._become = become
        self._wards: dict[int, Ward] = {}
        self._spare: Spare | None = None
        self._wake, self._waker = socket.socketpair()

    def run(self) -> None:
        """Attend attempts until there are no more."""
        self._wake.setblocking(False)
        self._waker.setblocking(False)
        signal.set_wakeup_fd(self._waker.fileno(), warn_on_full_buffer=False)
        for number in SIGNALS:
            signal.signal(number, lambda *_: None)
        for number in (signal.SIGINT, signal.SIGHUP):
            signal.signal(number, signal.SIG_IGN)
        # What a task leaves behind comes to the waiter, whatever session or group it has made for itself.
        import ctypes  # the fork server has it

        ctypes.CDLL(None).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
        while self._orders is not None or self._wards:
            if self._orders is not None and self._spare is None:
                with contextlib.suppress(OSError):  # said to whoever asks for an attempt
                    self._spare = self._fork()
            ready, _, _ = select.select([one for one in (self._wake, self._orders) if one], [], [], self._patience())
            if self._wake in ready:
                self._heard(self._wake.recv(4096))
            for ward in self._wards.values():
                ward.enforce()
            if self._orders in ready:
                self._take(self._orders)

    def _patience(self) -> float | None:
        deadlines = [ward.deadline for ward in self._wards.values() if ward.deadline is not None]
        return max(0.0, min(deadlines) - time.monotonic()) if deadlines else None

    def _heard(self, numbers: bytes) -> None:
        self._bury()
        if not self._wards:
            self._end_leftovers()
        if signal.SIGTERM in numbers:
            for ward in self._wards.values():
                self._look(ward)

    def _look(self, ward: Ward) -> None:
        if os.path.exists(f"{ward.directory}/{self._shim.CANCEL}"):
            ward.end()

    def _take(self, orders: socket.socket) -> None:
        """The next attempt: its connection, its lock and its log."""
        message, descriptors, _, _ = socket.recv_fds(orders, 1, 3)
        if not message:
            self._refuse_more()
            return
        connection, lock, log = descriptors
        os.dup2(log, 2)  # should the waiter itself fail
        try:
            self._attend(connection, lock)
        except (OSError, EOFError, ValueError) as error:
            with contextlib.suppress(OSError):
                os.write(connection, str(error).encode())
            os.close(lock)
            os.close(connection)
        else:
            assert self._spare is not None
            self._spare.release(connection, log)
            self._spare = None
        os.close(log)

    def _attend(self, connection: int, lock: int) -> None:
        """Make an attempt of the spare task process. Raises OSError, and EOFError when the engine is gone."""
        attempt = read(connection)
        self._spare = spare = self._spare or self._fork()
        ward = Ward(attempt, spare.pid, connection, lock)
        task = [("task_pid", ward.pid), ("task_start_time", self._shim.start_time(ward.pid))]
        self._shim.write(ward.directory, self._shim.PROCESS, [*self._shim.identity(ward.token), *task])
        self._wards[spare.pid] = ward
        # In this order: whoever cancels writes the file before it reads the record, so one of the two sees the other.
        self._look(ward)
        with contextlib.suppress(OSError):  # a task that was started goes on without its engine
            os.write(connection, STARTED)

    def _refuse_more(self) -> None:
        if self._orders is not None:
            self._orders.close()
            self._orders = None
        if self._spare is not None:
            self._spare.orders.close()  # by which it ends
            self._spare = None

    def _bury(self) -> None:
        """Take all who have ended off the process table, and write down how they ended."""
        while True:
            try:
                found = os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT)
            except ChildProcessError:
                return
            if found is None:
                return
            ward = self._wards.pop(found.si_pid, None)
            ended = time.time()
            if ward is not None:
                self._end_rest(ward)
            _, status, usage = os.wait4(found.si_pid, 0)
            if ward is not None:
                self._shim.write_exit(ward.directory, ward.token, ward.started, ended, status, usage)
                ward.close()
            elif self._spare is not None and self._spare.pid == found.si_pid:
                self._spare.orders.close()
                self._spare = None

    def _end_rest(self, ward: Ward) -> None:
        """As in a container: what the main process leaves behind ends with it."""
        if any(map(self._shim.is_tracker, self._left() - {ward.pid})):
            self._shim.kill_group(ward.pid)
        else:
            ward.send(signal.SIGKILL)

    def _end_leftovers(self) -> None:
        """Kill what ended tasks have left running; while others run, nobody knows whose it is."""
        for pid in self._left():
            if not self._shim.is_tracker(pid):  # which ends by itself, when all others have
                with contextlib.suppress(ProcessLookupError, PermissionError):
                    os.kill(pid, signal.SIGKILL)

    def _left(self) -> set[int]:
        """The waiter's children that are neither attempts nor the spare one: whose parents have ended."""
        with open(f"/proc/self/task/{os.getpid()}/children", encoding="ascii") as file:
            children = {int(pid) for pid in file.read().split()}
        return children - self._wards.keys() - ({self._spare.pid} if self._spare is not None else set())

    def _fork(self) -> Spare:
        """A task process. Raises OSError."""
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with theirs:
            signal.pthread_sigmask(signal.SIG_BLOCK, SIGNALS)
            try:
                pid = os.fork()
                if pid == 0:
                    self._begin(ours, theirs)
            finally:
                signal.pthread_sigmask(signal.SIG_UNBLOCK, SIGNALS)
            with contextlib.suppress(OSError):  # the child was quicker, or is gone
                os.setpgid(pid, pid)
        return Spare(pid, ours)

    def _begin(self, ours: socket.socket, theirs: socket.socket) -> NoReturn:
        """In the child: keep nothing of the waiter's, and become the task."""
        try:
            signal.set_wakeup_fd(-1)
            signal.signal(signal.SIGCHLD, signal.SIG_DFL)
            for one in (ours, self._wake, self._waker, self._orders):
                if one is not None:
                    one.close()
            for ward in self._wards.values():
                ward.close()
            gc.enable()
            self._shim.begin(lambda: self._become(theirs), SIGNALS)
        except BaseException:
            traceback.print_exc()
        finally:
            os._exit(1)
        raise AssertionError


def read(connection: int) -> Any:
    """One message of a request. Raises EOFError when the engine is gone before it is complete."""
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
