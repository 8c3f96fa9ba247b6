"""Hearing of changes in directories, whatever they are; what changed is found out by looking."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from pathlib import Path

from watchfiles._rust_notify import RustNotify

STEP_MS = 30
"""Changes less than this apart are one."""
MOST_MS = 500
"""How long changes that do not cease are waited for."""
POLL_MS = 300
"""Between looks where the system has no notifications and WATCHFILES_FORCE_POLLING says so."""


class Sentinel:
    """Calls ``tell`` in a thread after changes in the directories; not in those below them."""

    def __init__(self, tell: Callable[[], None]) -> None:
        self._tell = tell
        self._directories: frozenset[Path] = frozenset()
        self._over = threading.Event()

    def look_at(self, directories: frozenset[Path]) -> bool:
        """Hear of changes in those from now on, and no longer of others; False when nothing had to be done."""
        if directories == self._directories:
            return False
        polling = bool(os.environ.get("WATCHFILES_FORCE_POLLING"))
        notify = RustNotify([str(path) for path in sorted(directories)], False, polling, POLL_MS, False, True)
        self.stop()
        self._directories, self._over = directories, threading.Event()
        threading.Thread(target=self._listen, args=(notify, self._over), daemon=True, name="edits").start()
        return True

    def stop(self) -> None:
        """Hear of nothing any more."""
        self._over.set()

    def _listen(self, notify: RustNotify, over: threading.Event) -> None:
        with notify:
            while isinstance(notify.watch(MOST_MS, STEP_MS, 0, over), set):
                self._tell()
