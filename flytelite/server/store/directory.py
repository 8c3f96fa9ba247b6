"""The directory of a journal: one process at a time, one format."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import orjson

from flytelite import __version__
from flytelite.errors import FailedPrecondition, Unavailable
from flytelite.server.store import segments
from flytelite.server.store.disk import Disk, refusal, write_file

FORMAT = 2
OLDEST = 1
"""What a store is taken for that does not say its format: migrating leaves alone what is newer."""
FORMAT_FILE = "format.json"
LOCK_FILE = "lock"


class Directory:
    """A directory that this process holds, from ``take`` to ``release``. ``format`` is that of its documents."""

    def __init__(self, path: Path, disk: Disk, format: int = FORMAT) -> None:
        """``format`` is given to a directory that is new."""
        self.path = path
        self.disk = disk
        self.format = format
        self.migrates = False
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

    def begin_migration(self) -> None:
        """From now on no older program opens the directory, and the present one converts what is left."""
        self._write_format(Format(FORMAT, f"flytelite {__version__}", self.format))
        self.migrates = True

    def migrated(self, format: int) -> None:
        """Note that all documents have that format."""
        self.format = format
        self.migrates = format < FORMAT
        self._write_format(Format(FORMAT, f"flytelite {__version__}", format if self.migrates else None))

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
        found = check_format(self.path)
        if found is None and any(self.path.glob(f"*{segments.SUFFIX}")):
            self.format = OLDEST
        elif found is None:
            self._write_format(Format(self.format, f"flytelite {__version__}"))
        else:
            self.format = found.of_documents
            self.migrates = found.migrating_from is not None

    def _write_format(self, format: Format) -> None:
        path = self.path / FORMAT_FILE
        try:
            write_file(self.disk, path, format.text())
        except OSError as error:
            raise refusal(path, error) from error


class Format(NamedTuple):
    """What a directory says of itself: which programs may open it, and of which format its documents are, or some of
    them, while a migration is not finished."""

    format: int
    written_by: str
    migrating_from: int | None = None

    @property
    def of_documents(self) -> int:
        """The format that documents may still have."""
        return self.format if self.migrating_from is None else self.migrating_from

    def text(self) -> bytes:
        """What the file says."""
        return orjson.dumps({name: value for name, value in self._asdict().items() if value is not None}) + b"\n"


def check_format(directory: Path) -> Format | None:
    """What the directory says of its format, if anything.

    Raises FailedPrecondition when a newer flytelite wrote it, Unavailable when what it says cannot be read.
    """
    path = directory / FORMAT_FILE
    try:
        written = path.read_bytes()
    except FileNotFoundError:
        return None
    except OSError as error:
        raise Unavailable(f"{path} cannot be read: {error.strerror}") from error
    try:
        fields = orjson.loads(written)
        older = fields.get("migrating_from")
        found = Format(int(fields["format"]), str(fields.get("written_by", "unknown")), older and int(older))
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        sample = Format(FORMAT, f"flytelite {__version__}").text().decode().strip()
        raise Unavailable(f"{path} is damaged: it must name the store's format, as in {sample!r}") from error
    if found.format > FORMAT:
        raise FailedPrecondition(
            f"the store {directory} has format {found.format}, written by {found.written_by}; flytelite {__version__} "
            f"reads up to {FORMAT}: upgrade flytelite, or choose another directory with --data-dir"
        )
    return found


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
