"""Removing what attempts leave behind, which takes longer than a short attempt can wait for.

Directories are moved out of the way at once, and those of a moment are removed together. When so many wait for it that
it does not keep up, whoever brings another one removes that. What an engine did not get to is removed when the next one
starts.
"""

from __future__ import annotations

import itertools
import os
import secrets
import shutil
import subprocess
import threading
from collections.abc import Sequence
from pathlib import Path
from queue import SimpleQueue

MOST_WAITING = 256
"""So many directories may wait to be removed: hours of short attempts must fill neither the disk nor the memory."""

LINGER_SECONDS = 0.5
"""How long the first one waits for others."""


class Trash:
    """What is to be removed, below ``directory``, which has to be on the file system of what is thrown away.

    ``most_waiting`` is a number of directories, ``linger`` a time in seconds.
    """

    def __init__(self, directory: Path, *, most_waiting: int = MOST_WAITING, linger: float = LINGER_SECONDS) -> None:
        self.directory = directory
        self.most_waiting = most_waiting
        self.linger = linger
        self._prefix = secrets.token_hex(8)
        self._numbers = itertools.count()
        # Names, not paths: a path interns its parts, and what Python 3.12 has interned stays in memory for good.
        self._waiting: SimpleQueue[str | None] = SimpleQueue()
        self._closing = threading.Event()
        self._thread = threading.Thread(target=self._run, name="flytelite-trash", daemon=True)
        self._thread.start()

    def sweep(self) -> None:
        """Remove what an engine left; only one engine has the directory. Returns before that is done."""
        for left in self.directory.glob("*"):
            self._waiting.put(str(left))

    def discard(self, path: Path | str) -> None:
        """Take a directory away; nothing if there is none. Blocks, mostly shortly; what cannot be removed stays."""
        target = f"{self.directory}/{self._prefix}-{next(self._numbers)}"
        try:
            self._move(path, target)
        except FileNotFoundError:
            return
        except OSError:  # for example a disk that is full
            shutil.rmtree(path, ignore_errors=True)
            return
        if self._waiting.qsize() < self.most_waiting:
            self._waiting.put(target)
        else:
            shutil.rmtree(target, ignore_errors=True)

    def close(self) -> None:
        """Remove what there is. Blocks."""
        self._closing.set()
        self._waiting.put(None)
        self._thread.join()

    def _move(self, path: Path | str, target: str) -> None:
        try:
            os.rename(path, target)  # noqa: PTH104
        except FileNotFoundError:
            if not os.path.exists(path):  # noqa: PTH110
                raise
            self.directory.mkdir(parents=True, exist_ok=True)
            os.rename(path, target)  # noqa: PTH104

    def _run(self) -> None:
        while (target := self._waiting.get()) is not None:
            self._closing.wait(self.linger)
            targets = [target]
            while len(targets) < self.most_waiting and not self._waiting.empty():
                target = self._waiting.get()
                if target is None:
                    self._waiting.put(None)
                    break
                targets.append(target)
            _remove(targets)


def _remove(targets: Sequence[str]) -> None:
    """Remove directories, by a process of the system's: in this one, all else would wait for each call in turn."""
    try:
        subprocess.run(["rm", "-rf", "--", *targets], stdin=subprocess.DEVNULL, stderr=subprocess.DEVNULL, check=False)
    except OSError:  # there is no such program
        for target in targets:
            shutil.rmtree(target, ignore_errors=True)
