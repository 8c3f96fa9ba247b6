"""Export, import and cleaning of a data directory whose server is not running."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from flytelite.config import Settings
from flytelite.errors import FailedPrecondition
from flytelite.server.cleaning import Cleaning
from flytelite.server.data_directory import DataDirectory
from flytelite.server.snapshots import Archives
from flytelite.server.store.journal import JournalStore


@asynccontextmanager
async def opened(settings: Settings, *, make: bool = False) -> AsyncIterator[tuple[Archives, Cleaning]]:
    """Hold the data directory's store, as a server would, while the block runs; ``make`` makes what is not there.

    Raises FailedPrecondition when a process holds it, when there is none, or when it cannot be written.
    """
    path = settings.store
    if make:
        DataDirectory(settings).prepare()
    elif not path.is_dir():
        raise FailedPrecondition(f"there is no data in {settings.data_dir}; name another directory with --data-dir")
    store = JournalStore.open(path)
    try:
        lock = asyncio.Lock()
        yield Archives(settings, store, lock), Cleaning(settings, store, lock)
    finally:
        await store.close()
