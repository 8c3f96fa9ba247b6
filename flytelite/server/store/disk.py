"""What the journal asks of the file system. Tests give a store a disk that fails, by overriding one of these."""

from __future__ import annotations

import errno
import fcntl
import os
from pathlib import Path

from flytelite.errors import FlyteError, ResourceExhausted, Unavailable

SYNCED_AT_ONCE = 1024 * 1024
_FULL = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})


class Disk:
    """The calls that change files. Each may raise OSError and, except ``write``, either happens or does not."""

    def create(self, path: Path) -> int:
        """A new file to write and read, which must not exist."""
        return os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o644)

    def open(self, path: Path) -> int:
        """An existing file to write and read."""
        return os.open(path, os.O_RDWR | os.O_CLOEXEC)

    def write(self, descriptor: int, data: bytes, offset: int) -> None:
        """Write all of ``data`` from that offset on; when it raises, any part of it may be in the file."""
        rest = memoryview(data)
        while rest:
            written = os.pwrite(descriptor, rest, offset)
            rest, offset = rest[written:], offset + written

    def sync(self, descriptor: int) -> None:
        """Return when the file's data and size survive power loss."""
        if hasattr(fcntl, "F_FULLFSYNC"):  # macOS: fsync does not reach the platter
            fcntl.fcntl(descriptor, fcntl.F_FULLFSYNC)
        elif hasattr(os, "fdatasync"):
            os.fdatasync(descriptor)
        else:
            os.fsync(descriptor)

    def truncate(self, descriptor: int, size: int) -> None:
        """Cut the file to ``size`` bytes."""
        os.ftruncate(descriptor, size)

    def rename(self, source: Path, target: Path) -> None:
        """Replace ``target`` by ``source`` at once."""
        source.replace(target)

    def link(self, source: Path, target: Path) -> None:
        """Give a file a second name, which must not exist."""
        target.hardlink_to(source)

    def remove(self, path: Path) -> None:
        """Remove the file if it is there."""
        path.unlink(missing_ok=True)

    def sync_directory(self, path: Path) -> None:
        """Return when the names of the files in the directory survive power loss."""
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


class SyncedOften:
    """A file that grows by megabytes is synced as it grows: others who sync must not wait for all of it at its end."""

    def __init__(self, disk: Disk, descriptor: int) -> None:
        self._disk = disk
        self._descriptor = descriptor
        self._unsynced = 0

    def wrote(self, size: int) -> None:
        """So many bytes more were written."""
        self._unsynced += size
        if self._unsynced > SYNCED_AT_ONCE:
            self._disk.sync(self._descriptor)
            self._unsynced = 0


def write_file(disk: Disk, path: Path, text: bytes) -> None:
    """Write a small file as a whole: after power loss it is as it was before, or says this. Raises OSError."""
    temporary = path.with_suffix(".tmp")
    disk.remove(temporary)
    descriptor = disk.create(temporary)
    try:
        disk.write(descriptor, text, 0)
        disk.sync(descriptor)
    finally:
        os.close(descriptor)
    disk.rename(temporary, path)
    disk.sync_directory(path.parent)


def refusal(path: Path, error: OSError) -> FlyteError:
    """What a client is told when the disk refuses: ResourceExhausted when it is full, else Unavailable."""
    reason = error.strerror or str(error)
    if error.errno in _FULL:
        return ResourceExhausted(f"the store cannot write to {path}: {reason}; free some space and try again")
    return Unavailable(f"the store cannot write to {path}: {reason}")
