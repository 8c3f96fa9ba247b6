"""Removing what attempts leave behind, which takes longer than a short attempt can wait for.

Directories are moved out of the way at once, and removed by one thread. When so many wait for it that it does not keep
up, whoever brings another one removes that. What an engine did not get to is removed when the next one starts.
"""

from __future__ import annotations

import secrets
import shutil
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

MOST_WAITING = 256
"""So many directories may wait for the thread: hours of short attempts must fill neither the disk nor the memory."""


class Trash:
    """What is to be removed, below ``directory``, which has to be on the file system of what is thrown away."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self._thread = ThreadPoolExecutor(1, "flytelite-trash")
        self._room = threading.Semaphore(MOST_WAITING)

    def sweep(self) -> None:
        """Remove what an engine left; only one engine has the directory. Returns at once."""
        self._thread.submit(shutil.rmtree, self.directory, ignore_errors=True)

    def discard(self, path: Path) -> None:
        """Take a directory away; nothing if there is none. Blocks, mostly shortly; what cannot be removed stays."""
        target = self.directory / secrets.token_hex(8)
        if not path.exists():
            return
        try:
            self.directory.mkdir(parents=True, exist_ok=True)
            path.rename(target)
        except OSError:  # for example a disk that is full
            shutil.rmtree(path, ignore_errors=True)
            return
        if self._room.acquire(blocking=False):
            self._thread.submit(self._remove, target)
        else:
            shutil.rmtree(target, ignore_errors=True)

    def close(self) -> None:
        """Remove what there is. Blocks."""
        self._thread.shutdown()

    def _remove(self, target: Path) -> None:
        shutil.rmtree(target, ignore_errors=True)
        self._room.release()
