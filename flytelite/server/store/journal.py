"""The store on disk: tables over an append-only journal of JSON lines (docs/store.md)."""

from __future__ import annotations

import asyncio
import logging
from contextlib import AbstractContextManager
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import NamedTuple

from flytelite.errors import FailedPrecondition, ResourceExhausted, Unavailable
from flytelite.server.store import closing, entries, migration, segments
from flytelite.server.store.batches import Batches, Change
from flytelite.server.store.directory import FORMAT, Directory
from flytelite.server.store.disk import Disk, refusal
from flytelite.server.store.entries import REMOVED, Header
from flytelite.server.store.interface import TableSchema
from flytelite.server.store.maintenance import Maintenance
from flytelite.server.store.recovery import Damage, Recovered, recover
from flytelite.server.store.tables import Table, Tables
from flytelite.server.store.writer import Entry, Writer

log = logging.getLogger(__name__)

SEGMENT_BYTES = 16 * 1024 * 1024
PENDING_BYTES = 64 * 1024 * 1024


class Waiter(NamedTuple):
    """Someone who waits for entries up to ``position``, and came after that many attempts to write had begun.

    ``synced``: for whom it is not enough that they are acknowledged; ``patient``: who wants to hear of no refusal.
    """

    position: int
    synced: bool
    patient: bool
    attempts: int
    future: asyncio.Future[None]


class JournalStore:
    """A Store in a directory. Made by ``open``; everything but ``open`` belongs to one event loop's thread."""

    def __init__(
        self, directory: Directory, found: Recovered, *, segment_bytes: int, pending_bytes: int, sync_every: float
    ) -> None:
        self._directory = directory
        self._pending_bytes = pending_bytes
        self._segments = found.segments
        self.damages: list[Damage] = found.damages
        self._position = found.last
        self._closed_at = found.closed
        self._batches = Batches(self._append, found.order)
        self._tables = Tables(self._batches, found.partitions, found.columns)
        self._waiters: list[Waiter] = []
        self._loop: asyncio.AbstractEventLoop | None = None
        self._closed = False
        self._maintenance = Maintenance(
            directory, found, self._batches, segment_bytes=segment_bytes, durable=self._synced
        )
        last = self._segments[-1] if self._segments and self._segments[-1].last is None else None
        self._writer = Writer(
            directory.path,
            directory.disk,
            last,
            last=found.last,
            segment_bytes=segment_bytes,
            sync_every=sync_every,
            told=self._told,
        )

    @classmethod
    def open(
        cls,
        directory: Path,
        *,
        segment_bytes: int = SEGMENT_BYTES,
        pending_bytes: int = PENDING_BYTES,
        sync_every: float = 0.0,
        disk: Disk | None = None,
    ) -> JournalStore:
        """Take the directory (made if need be) and read what it holds.

        ``segment_bytes`` is the size from which a new file is begun, ``pending_bytes`` how much may wait in memory for
        a disk that refuses before changes are refused too. With ``sync_every`` seconds between syncs ``durable`` waits
        for a write only: power loss may then cost what was written since the last sync.

        A store of an older format is brought to the present one first (``migration.py``). Raises FailedPrecondition
        when another process holds the directory, when a newer flytelite wrote it, or when it is of an older format and
        damaged; Unavailable or ResourceExhausted when the disk refuses. Any other damaged journal opens: ``damages``
        says where, what can be read is served, and all changes are refused.
        """
        taken = Directory(directory, disk or Disk())
        taken.take()

        def load(*, rests: bool = False) -> JournalStore:
            found = _recovered(taken)
            store = cls(taken, found, segment_bytes=segment_bytes, pending_bytes=pending_bytes, sync_every=sync_every)
            if rests:
                store._maintenance.rest()
            return store

        try:
            if taken.format < FORMAT:
                migration.migrate(taken, partial(load, rests=True))
            return load()
        except BaseException:
            taken.release()
            raise

    def table(self, schema: TableSchema) -> Table:
        """The table of that schema. Raises Internal when the name was taken with another schema."""
        return self._tables.table(schema)

    def batch(self, *, insist: bool = False) -> AbstractContextManager[None]:
        """Changes inside are one atomic entry; an exception undoes them. Batches nest into the outermost.

        The outermost raises Unavailable when the store is damaged, ResourceExhausted when too much waits for the disk,
        unless it insists.
        """
        return self._batches.batch(insist=insist)

    @property
    def position(self) -> int:
        """The number of entries in the journal, on disk or on their way."""
        return self._position

    async def durable(self, position: int | None = None, *, patient: bool = False) -> None:
        """Wait until the entries up to ``position`` (default: all) survive power loss; with ``sync_every``, a kill.

        Raises ResourceExhausted when the disk is full, Unavailable when it refuses otherwise. The entries are kept and
        written when it works again; calling this again tries at once. With ``patient`` it waits until then.
        """
        await self._wait(self._position if position is None else position, patient=patient)

    async def close(self) -> None:
        """Write and sync what is pending, release the directory. Raises what ``durable`` does when the disk refuses."""
        try:
            await self.finish()
        finally:
            self._directory.release()

    async def finish(self) -> None:
        """Close, but keep the directory."""
        if self._closed:
            return
        self._closed = True
        await self._maintenance.stop()
        await asyncio.to_thread(self._writer.close)
        self._settle()
        for segment in self._segments:
            segment.close()
        if self._writer.failure is not None:
            raise self._writer.failure
        if self._writer.synced > self._closed_at and not self.damages:
            await asyncio.to_thread(
                closing.note_last_entry, self._directory.path, self._writer.synced, self._directory.disk
            )

    async def _synced(self) -> None:
        """Wait until all entries so far survive power loss, whatever is enough for others."""
        await self._wait(self._position, synced=True)

    async def _wait(self, position: int, *, synced: bool = False, patient: bool = False) -> None:
        self._loop = asyncio.get_running_loop()
        waiter = Waiter(position, synced, patient, self._writer.attempts, self._loop.create_future())
        if self._is_satisfied(waiter):
            return
        self._waiters.append(waiter)
        self._writer.ask(synced)
        await waiter.future

    def _is_satisfied(self, waiter: Waiter) -> bool:
        return waiter.position <= (self._writer.synced if waiter.synced else self._writer.acknowledged)

    def _append(self, changes: list[Change]) -> None:
        self._refuse()
        number = self._position + 1
        now = datetime.now(UTC).isoformat(timespec="milliseconds")
        line, stored = entries.encode(
            Header(number, self._writer.synced),
            now,
            [(change.table, change.row.key, change.row.order, change.document or REMOVED) for change in changes],
        )
        self._position = number
        self._writer.append(Entry(number, line, changes, stored))
        self._place_written()

    def _refuse(self) -> None:
        if self._closed:
            raise FailedPrecondition(f"the store {self._directory.path} is closed")
        if self.damages:
            raise Unavailable(
                f"nothing can be changed: {self.damages[0]} (stop the server; `flytelite doctor` says what is left)"
            )
        if self._writer.pending_bytes > self._pending_bytes and not self._batches.insists:
            failure = self._writer.failure
            raise ResourceExhausted(failure.message if failure else f"the disk of {self._directory.path} is too slow")

    def _told(self) -> None:
        """Called by the writer's thread."""
        if self._loop is not None and not self._loop.is_closed():
            self._loop.call_soon_threadsafe(self._settle)

    def _settle(self) -> None:
        self._place_written()
        writer, waiting = self._writer, self._waiters
        self._waiters = []
        for waiter in waiting:
            if waiter.future.done():
                continue
            if self._is_satisfied(waiter):
                waiter.future.set_result(None)
            elif writer.failure is not None and waiter.attempts < writer.failed_attempts and not waiter.patient:
                waiter.future.set_exception(type(writer.failure)(writer.failure.message))
            else:
                self._waiters.append(waiter)
        self._maintenance.consider()

    def _place_written(self) -> None:
        """Let go of the text of documents that are on disk now."""
        while self._writer.done:
            entry = self._writer.done.popleft()
            segment = entry.segment
            assert segment is not None
            if not self._segments or self._segments[-1] is not segment:
                self._segments.append(segment)
            for change, stored in zip(entry.changes, entry.stored, strict=True):
                if change.document is None:
                    segment.removed.append((change.table, change.row.key))
                    continue
                segment.documents += stored.length
                is_current = self._tables.partitions.rows[change.table].get(change.row.key) is change.row
                if is_current and change.row.content is change.document:
                    change.row.put(segments.place(entry.offset + stored.offset, stored.length), segment)


def _recovered(directory: Directory) -> Recovered:
    found = recover(directory.path, directory.disk)
    for damage in found.damages:
        log.error("%s; the rest is served, nothing can be changed", damage)
    for path in found.obsolete if not found.damages else ():
        try:
            directory.disk.remove(path)
        except OSError as error:
            raise refusal(path, error) from error
    return found
