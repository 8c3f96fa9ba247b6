"""The journal's one writer: a thread that writes and syncs whatever was appended meanwhile, as one group."""

from __future__ import annotations

import logging
import threading
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from time import monotonic

from flytelite.errors import FlyteError, Internal
from flytelite.server.store import segments
from flytelite.server.store.batches import Change
from flytelite.server.store.disk import Disk, refusal
from flytelite.server.store.entries import StoredChange
from flytelite.server.store.segments import Segment

log = logging.getLogger(__name__)

EAGER_BYTES = 8 * 1024 * 1024
"""A sync comes early for so much that waits for it."""
PADDING = b" " * (256 * 1024)
"""Written ahead of the lines to come, which take its place: a file system syncs what lies inside a file several times
as fast as a file's growth, which it has to write down as well."""
LINGER_SECONDS = 0.02
"""How long an entry may wait for others when nobody waits for it: each sync costs, and wakes a thread."""
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

    Entries up to ``synced`` are on disk. Those up to ``acknowledged`` may be told to be: the same, or with
    ``sync_every`` seconds between syncs, those that were written, which a killed process does not lose.
    """

    def __init__(
        self,
        directory: Path,
        disk: Disk,
        segment: Segment | None,
        *,
        last: int,
        segment_bytes: int,
        sync_every: float,
        told: Callable[[], None],
    ) -> None:
        """``last`` is the number of the last entry on disk, in ``segment`` or before it.

        ``told`` is called from the thread after each attempt, whether it failed or not.
        """
        self._directory = directory
        self._disk = disk
        self._segment = segment
        self._segment_bytes = segment_bytes
        self._sync_every = sync_every
        self._told = told
        self._wake = threading.Condition()
        self._pending: deque[Entry] = deque()
        self._unsynced: list[Entry] = []
        self._written = 0
        self._end = self._room = segment.size if segment else 0
        self._asked = False
        self._sync_asked = False
        self._sync_at = 0.0
        self._closing = False
        self._torn = False
        self.synced = self.acknowledged = last
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
            if len(self._pending) == 1 or self.pending_bytes >= EAGER_BYTES:
                self._wake.notify()

    def ask(self, sync: bool = False) -> None:
        """Try at once, even if the disk has just refused; with ``sync`` do not wait for the time to sync either.

        What was appended is being written anyhow, and the thread is not woken for that once more.
        """
        with self._wake:
            self._asked = True
            self._sync_asked = self._sync_asked or sync
            if self._has_work():
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
                self._wake.wait_for(self._has_work, self._patience())
                self._wake.wait_for(self._is_urgent, LINGER_SECONDS)
                closing = self._closing
                self._asked = False
                if not self._unsynced:
                    self._sync_at = monotonic() + self._sync_every
                self._unsynced += self._pending
                self._pending.clear()
                self.attempts += 1
            if self._unsynced:
                self._attempt()
            if closing:
                self._trim()
                return

    def _has_work(self) -> bool:
        if self._closing:
            return True
        if self.failure is not None:
            return self._asked
        return bool(self._pending) or (self._sync_asked and bool(self._unsynced))

    def _is_urgent(self) -> bool:
        return self._closing or self._asked or self.pending_bytes >= EAGER_BYTES

    def _patience(self) -> float | None:
        if self.failure is not None:
            return RETRY_SECONDS
        return max(0.0, self._sync_at - monotonic()) if self._unsynced else None

    def _attempt(self) -> None:
        failure: FlyteError | None = None
        synced = False
        path = self._segment.path if self._segment else self._directory
        try:
            synced = self._commit()
        except OSError as error:
            failure = refusal(path, error)
        except Exception as error:  # the thread must live on, and every waiter hear of it
            log.exception("writing %s failed", path)
            failure = Internal(f"writing {path} failed: {error}")
        if failure is None:
            if self.failure is not None:
                log.warning("the disk works again: wrote the %d entries that had to wait", len(self._unsynced))
            self.acknowledged = self._unsynced[-1].number
            if synced:
                self._settle()
        elif self.failure is None:
            log.error("%s", failure)
        self.failure = failure
        if failure is not None:
            self.failed_attempts = self.attempts
        self._told()

    def _commit(self) -> bool:
        """Write what is not in the file yet, and sync it if it is time for that; whether it was."""
        segment = self._segment
        if self._torn and segment is not None:
            self._disk.truncate(segment.descriptor, self._end)
            self._room = self._end
            self._torn = False
        if segment is None or (segment.size >= self._segment_bytes and self._written == 0):
            self._trim()
            segment = self._segment = self._begin(self._unsynced[0].number)
            self._end = self._room = 0
        self._torn = True
        lines = b"".join(entry.line for entry in self._unsynced[self._written :])
        self._disk.write(segment.descriptor, lines, self._end)
        self._make_room(segment, self._end + len(lines), len(lines))
        if not self._is_time_to_sync():
            self._torn = False
            self._written, self._end = len(self._unsynced), self._end + len(lines)
            return False
        self._written, self._end = 0, segment.size
        self._disk.sync(segment.descriptor)
        self._torn = False
        return True

    def _make_room(self, segment: Segment, end: int, growth: int) -> None:
        """Have blanks after the lines, unless there are some, or lines come by the megabyte."""
        if end <= self._room:
            return
        self._room = end
        if growth > len(PADDING):
            return
        try:
            self._disk.write(segment.descriptor, PADDING, end)
            self._room += len(PADDING)
        except OSError as error:  # costs time, and no data: lines that have no room are refused themselves
            log.debug("%s gets no blanks: %s", segment.path, error)

    def _trim(self) -> None:
        """Cut the blanks off a file that gets no more lines."""
        if self._segment is None or self._torn or self._room == self._end:
            return
        try:
            self._disk.truncate(self._segment.descriptor, self._end)
        except OSError as error:  # they are for nobody to read, and do no harm
            log.debug("%s keeps its blanks: %s", self._segment.path, error)

    def _is_time_to_sync(self) -> bool:
        asked = self._closing or self._sync_asked
        return asked or monotonic() >= self._sync_at or self.pending_bytes >= EAGER_BYTES

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
        self._end = segment.size
        with self._wake:
            self._sync_asked = False
            self.pending_bytes -= sum(len(entry.line) for entry in self._unsynced)
        self.synced = self._unsynced[-1].number
        self.done.extend(self._unsynced)
        self._unsynced = []
