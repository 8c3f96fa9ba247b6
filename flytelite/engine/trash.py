"""Removing what attempts leave behind, which takes longer than a short attempt can wait for.

Directories are moved out of the way at once, and removed by one thread. What an engine did not get to is removed when
the next one starts.
"""

from __future__ import annotations

import secrets
import shutil
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path


class Trash:
    """What is to be removed, below ``directory``, which has to be on the file system of what is thrown away."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self._thread = ThreadPoolExecutor(1, "flytelite-trash")

    def sweep(self) -> None:
        """Remove what an engine left; only one engine has the directory. Returns at once."""
        self._thread.submit(shutil.rmtree, self.directory, ignore_errors=True)

    def discard(self, path: Path) -> None:
        """Take a directory away; nothing if there is none. Blocks for a moment; what cannot be removed stays."""
        target = self.directory / secrets.token_hex(8)
        if not path.exists():
            return
        try:
            self.directory.mkdir(parents=True, exist_ok=True)
            path.rename(target)
        except OSError:  # for example a disk that is full
            shutil.rmtree(path, ignore_errors=True)
            return
        self._thread.submit(shutil.rmtree, target, ignore_errors=True)

    def close(self) -> None:
        """Remove what there is. Blocks."""
        self._thread.shutdown()
