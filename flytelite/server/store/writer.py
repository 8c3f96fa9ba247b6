"""The journal's one writer: a thread that writes and syncs whatever was appended meanwhile, as one group."""

from __future__ import annotations

import logging
import threading
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from flytelite.errors import FlyteError, Internal
from flytelite.server.store import segments
from flytelite.server.store.batches import Change
from flytelite.server.store.disk import Disk, refusal
from flytelite.server.store.entries import StoredChange
from flytelite.server.store.segments import Segment

log = logging.getLogger(__name__)

RETRY_SECONDS = 1.0
"""How long after a refusal the disk is tried again when nobody asks sooner."""


@dataclass(eq=False)
class Entry:
    """A batch on its way to the disk. ``segment`` and ``offset`` say where its line is, once that is known."""

    number: int
    line: bytes
    changes: list[Change]
    stored: list[StoredChange]
    segment: Segment | None = None
    offset: int = 0


class Writer:
    """Appends entries to the last segment, in order, and begins a new segment when it is large enough.

    When the disk refuses, nothing is lost: what is not known to be on disk stays in memory, is cut off the file (a
    failed sync may have dropped any part of it) and is written anew at the next attempt.
    """

    def __init__(
        self,
        directory: Path,
        disk: Disk,
        segment: Segment | None,
        *,
        last: int,
        segment_bytes: int,
        told: Callable[[], None],
    ) -> None:
        """``last`` is the number of the last entry on disk, in ``segment`` or before it.

        ``told`` is called from the thread after each attempt, whether it failed or not.
        """
        self._directory = directory
        self._disk = disk
        self._segment = segment
        self._segment_bytes = segment_bytes
        self._told = told
        self._wake = threading.Condition()
        self._pending: deque[Entry] = deque()
        self._unsynced: list[Entry] = []
        self._asked = False
        self._closing = False
        self._torn = False
        self.synced = last
        self.pending_bytes = 0
        self.attempts = 0
        self.failed_attempts = 0
        self.failure: FlyteError | None = None
        self.done: deque[Entry] = deque()
        self._thread = threading.Thread(target=self._run, name="flytelite-journal", daemon=True)
        self._thread.start()

    def append(self, entry: Entry) -> None:
        """Write the entry soon."""
        with self._wake:
            self._pending.append(entry)
            self.pending_bytes += len(entry.line)
            self._wake.notify()

    def ask(self) -> None:
        """Try at once, even if the disk has just refused."""
        with self._wake:
            self._asked = True
            self._wake.notify()

    def close(self) -> None:
        """Write what is pending (one attempt), and end. Blocks until the thread has ended."""
        with self._wake:
            self._closing = True
            self._wake.notify()
        self._thread.join()

    def _run(self) -> None:
        while True:
            with self._wake:
                self._wake.wait_for(self._has_work, RETRY_SECONDS if self.failure else None)
                closing = self._closing
                self._asked = False
                self._unsynced += self._pending
                self._pending.clear()
                self.attempts += 1
            if self._unsynced:
                self._attempt()
            if closing:
                return

    def _has_work(self) -> bool:
        return self._closing or self._asked or (bool(self._pending) and self.failure is None)

    def _attempt(self) -> None:
        failure: FlyteError | None = None
        path = self._segment.path if self._segment else self._directory
        try:
            self._commit()
        except OSError as error:
            failure = refusal(path, error)
        except Exception as error:  # the thread must live on, and every waiter hear of it
            log.exception("writing %s failed", path)
            failure = Internal(f"writing {path} failed: {error}")
        if failure is None:
            if self.failure is not None:
                log.warning("the disk works again: wrote the %d entries that had to wait", len(self._unsynced))
            self._settle()
        elif self.failure is None:
            log.error("%s", failure)
        self.failure = failure
        if failure is not None:
            self.failed_attempts = self.attempts
        self._told()

    def _commit(self) -> None:
        segment = self._segment
        if self._torn and segment is not None:
            self._disk.truncate(segment.descriptor, segment.size)
        if segment is None or segment.size >= self._segment_bytes:
            segment = self._segment = self._begin(self._unsynced[0].number)
        self._torn = True
        self._disk.write(segment.descriptor, b"".join(entry.line for entry in self._unsynced))
        self._disk.sync(segment.descriptor)
        self._torn = False

    def _begin(self, first: int) -> Segment:
        path = self._directory / segments.name(first)
        self._disk.remove(path)  # left by an attempt that failed below
        segment = Segment(path, first, None, self._disk.create(path))
        try:
            self._disk.sync_directory(self._directory)
        except OSError:
            segment.close()
            raise
        return segment

    def _settle(self) -> None:
        segment = self._segment
        assert segment is not None
        for entry in self._unsynced:
            entry.segment, entry.offset = segment, segment.size
            segment.size += len(entry.line)
        with self._wake:
            self.pending_bytes -= sum(len(entry.line) for entry in self._unsynced)
        self.synced = self._unsynced[-1].number
        self.done.extend(self._unsynced)
        self._unsynced = []
