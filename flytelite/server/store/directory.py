"""The directory of a journal: one process at a time, one format."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import orjson

from flytelite import __version__
from flytelite.errors import FailedPrecondition, Unavailable
from flytelite.server.store.disk import Disk, refusal

FORMAT = 1
FORMAT_FILE = "format.json"
LOCK_FILE = "lock"


class Directory:
    """A directory that this process holds, from ``take`` to ``release``."""

    def __init__(self, path: Path, disk: Disk) -> None:
        self.path = path
        self.disk = disk
        self._lock: int | None = None

    def take(self) -> None:
        """Make the directory if need be, lock it, and check its format.

        Raises FailedPrecondition when another process holds it or a newer flytelite wrote it, Unavailable or
        ResourceExhausted when it cannot be written.
        """
        try:
            self._make(self.path)
            self._take_lock()
        except OSError as error:
            raise refusal(self.path, error) from error
        try:
            self._check_format()
        except BaseException:
            self.release()
            raise

    def release(self) -> None:
        """Let another process have it."""
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None

    def _make(self, path: Path) -> None:
        if path.is_dir():
            return
        self._make(path.parent)
        path.mkdir(exist_ok=True)
        self.disk.sync_directory(path.parent)

    def _take_lock(self) -> None:
        # The kernel drops the lock with the process, however it ends; the file itself stays and means nothing.
        lock = os.open(self.path / LOCK_FILE, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            refused = _in_use(self.path, lock)
            os.close(lock)
            raise refused from error
        os.ftruncate(lock, 0)
        os.pwrite(lock, b"%d\n" % os.getpid(), 0)
        self._lock = lock

    def _check_format(self) -> None:
        if not check_format(self.path):
            self._write_format(self.path / FORMAT_FILE)

    def _write_format(self, path: Path) -> None:
        temporary = path.with_suffix(".tmp")
        try:
            self.disk.remove(temporary)
            descriptor = self.disk.create(temporary)
            try:
                self.disk.write(descriptor, f"{_text()}\n".encode(), 0)
                self.disk.sync(descriptor)
            finally:
                os.close(descriptor)
            self.disk.rename(temporary, path)
            self.disk.sync_directory(self.path)
        except OSError as error:
            raise refusal(path, error) from error


def check_format(directory: Path) -> bool:
    """Whether the directory says its format.

    Raises FailedPrecondition when a newer flytelite wrote it, Unavailable when what it says cannot be read.
    """
    path = directory / FORMAT_FILE
    try:
        written = path.read_bytes()
    except FileNotFoundError:
        return False
    except OSError as error:
        raise Unavailable(f"{path} cannot be read: {error.strerror}") from error
    try:
        found = orjson.loads(written)
        number, program = int(found["format"]), found.get("written_by", "unknown")
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise Unavailable(f"{path} is damaged: it must name the store's format, as in {_text()!r}") from error
    if number > FORMAT:
        raise FailedPrecondition(
            f"the store {directory} has format {number}, written by {program}; flytelite {__version__} reads up to "
            f"{FORMAT}: upgrade flytelite, or choose another directory with --data-dir"
        )
    return True


@contextmanager
def undisturbed(directory: Path) -> Iterator[None]:
    """Keep servers off a directory that is only read; nothing is written there.

    Raises FailedPrecondition when a process holds it, Unavailable when its lock cannot be looked at.
    """
    path = directory / LOCK_FILE
    try:
        lock = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except FileNotFoundError:  # no server has been here since the directory was copied together
        yield
        return
    except OSError as error:
        raise Unavailable(f"{path} cannot be read: {error.strerror}") from error
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        refused = _in_use(directory, lock)
        os.close(lock)
        raise refused from error
    try:
        yield
    finally:
        os.close(lock)


def _in_use(directory: Path, lock: int) -> FailedPrecondition:
    holder = os.pread(lock, 32, 0).decode(errors="replace").strip()
    return FailedPrecondition(
        f"the store {directory} is in use by {f'process {holder}' if holder else 'another process'}; "
        "stop it (flytelite down), or choose another directory with --data-dir"
    )


def _text() -> str:
    return orjson.dumps({"format": FORMAT, "written_by": f"flytelite {__version__}"}).decode()
