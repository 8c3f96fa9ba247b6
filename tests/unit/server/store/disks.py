"""Disks that fail or are slow."""

from __future__ import annotations

import os
import threading
from pathlib import Path

from flytelite.server.store.disk import Disk


class FailingDisk(Disk):
    """A disk on which one kind of call fails for as long as ``error`` is set, perhaps after half of the work."""

    def __init__(self, call: str) -> None:
        self.call = call
        self.error: int | None = None
        self.synced = threading.Event()

    def write(self, descriptor: int, data: bytes, offset: int) -> None:
        if self.call == "write" and self.error:
            super().write(descriptor, data[: len(data) // 2], offset)
        self._fail("write")
        super().write(descriptor, data, offset)

    def sync(self, descriptor: int) -> None:
        self._fail("sync")
        super().sync(descriptor)
        self.synced.set()

    def create(self, path: Path) -> int:
        self._fail("create")
        return super().create(path)

    def sync_directory(self, path: Path) -> None:
        self._fail("sync_directory")
        super().sync_directory(path)

    def _fail(self, call: str) -> None:
        if call == self.call and self.error:
            raise OSError(self.error, os.strerror(self.error))


class SlowDisk(Disk):
    """A disk whose sync waits until it is let go; counts the syncs."""

    def __init__(self) -> None:
        self.go = threading.Event()
        self.syncing = threading.Event()
        self.syncs = 0

    def sync(self, descriptor: int) -> None:
        self.syncing.set()
        assert self.go.wait(10)
        self.syncs += 1
        super().sync(descriptor)
