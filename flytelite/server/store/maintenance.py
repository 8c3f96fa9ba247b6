"""What a journal does for itself while it is in use: it checks its files and compacts them."""

from __future__ import annotations

import asyncio
import logging
import os
from collections.abc import Awaitable, Callable, Sequence

from flytelite.errors import FlyteError
from flytelite.server.pace import Pace
from flytelite.server.store import contents, entries
from flytelite.server.store.batches import Batches
from flytelite.server.store.compaction import Compaction, choose
from flytelite.server.store.directory import Directory
from flytelite.server.store.disk import Disk
from flytelite.server.store.recovery import Damage, Recovered
from flytelite.server.store.segments import Segment

log = logging.getLogger(__name__)

FREED_AT_ONCE = 16 * 1024 * 1024


class Maintenance:
    """One task at a time beside the work of the event loop.

    Segments that were opened by their contents are checked first: opening did not read them. ``segments`` and
    ``damages`` are the store's own; what is found and done is noted there.
    """

    def __init__(
        self,
        directory: Directory,
        found: Recovered,
        batches: Batches,
        *,
        segment_bytes: int,
        durable: Callable[[], Awaitable[None]],
    ) -> None:
        """``durable`` waits for all entries so far."""
        self._directory = directory
        self._segments = found.segments
        self._damages = found.damages
        self._partitions = found.partitions
        self._has_contents = found.has_contents
        self._batches = batches
        self._segment_bytes = segment_bytes
        self._durable = durable
        self._unread = [segment for segment in found.segments if segment.last is not None and found.has_contents]
        self._seen = 0
        self._stopped = False
        self.task: asyncio.Task[None] | None = None

    def consider(self) -> None:
        """Begin what there is to do, if anything. Called on the event loop, whenever something was written."""
        if self.task is not None or self._stopped or self._damages or len(self._segments) == self._seen:
            return
        self._seen = len(self._segments)
        sealed = choose(self._segments, self._segment_bytes) if self._has_contents else self._segments[:-1]
        if self._unread or sealed:
            self.task = asyncio.get_running_loop().create_task(self._work(sealed))

    def rest(self) -> None:
        """Begin nothing from now on."""
        self._stopped = True

    async def stop(self) -> None:
        """Wait until what was begun is done, or given up at the next good moment."""
        self.rest()
        if self.task is not None:
            await self.task

    async def _work(self, sealed: list[Segment]) -> None:
        try:
            if await self._check([*self._unread, *(segment for segment in sealed if segment not in self._unread)]):
                self._unread = []
                if sealed:
                    await self._compact(sealed)
        except (OSError, FlyteError) as error:
            log.warning("old entries in %s could not be compacted: %s", self._directory.path, error)
        finally:
            self.task = None

    async def _check(self, unread: Sequence[Segment]) -> bool:
        """Whether the segments are as they were written. What is damaged must not be copied, as if it were not."""
        damages = await asyncio.to_thread(self._read, unread)
        for damage in damages:
            log.error("%s; what can be read is served, nothing can be changed", damage)
        self._damages += damages
        return not damages and not self._stopped

    def _read(self, unread: Sequence[Segment]) -> list[Damage]:
        damages: list[Damage] = []
        pace = Pace()
        for segment in unread:
            offset = 0
            with segment.path.open("rb") as file:
                while line := file.readline(segment.size - offset):
                    if self._stopped:
                        return damages
                    if not entries.is_whole(line):
                        damages.append(Damage(segment.path, offset, "a line does not match its checksum"))
                    offset += len(line)
                    pace.rest()
        return damages

    async def _compact(self, sealed: list[Segment]) -> None:
        first = self._segments.index(sealed[0])
        end = first + len(sealed)
        compaction = Compaction(
            self._directory.path,
            self._directory.disk,
            self._partitions,
            sealed,
            last=self._segments[end].first - 1,
            durable=self._durable,
        )
        compacted = await compaction.run(self._batches.order, lambda: self._stopped)
        if compacted is not None:
            self._segments[first:end] = [compacted]
            self._has_contents = True
            await asyncio.to_thread(self._discard, sealed, compacted)

    def _discard(self, replaced: Sequence[Segment], compacted: Segment) -> None:
        pace = Pace(hurried=lambda: self._stopped)
        disk = self._directory.disk
        for segment in replaced:
            try:
                _shrink(segment, disk, pace)
            finally:
                segment.close()
            if segment.path != compacted.path:  # one segment compacted again keeps its name
                disk.remove(segment.path)
                disk.remove(contents.path_of(segment.path))


def _shrink(segment: Segment, disk: Disk, pace: Pace) -> None:
    """Free a file that is no longer needed bit by bit: to free gigabytes at once holds up everyone who syncs.

    A file that has another name is that of a backup, and stays as it is.
    """
    if os.fstat(segment.descriptor).st_nlink <= 1:
        for size in range(segment.size - FREED_AT_ONCE, 0, -FREED_AT_ONCE):
            disk.truncate(segment.descriptor, size)
            pace.rest()
