"""Bringing a store of an older format to the present one: a backup first, then one step for each format."""

from __future__ import annotations

import asyncio
import logging
import os
import shutil
from collections.abc import Awaitable, Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING

from flytelite.errors import FailedPrecondition
from flytelite.server.store import format_2, segments
from flytelite.server.store.directory import FORMAT, LOCK_FILE, Directory
from flytelite.server.store.disk import Disk, refusal
from flytelite.server.store.interface import Store

if TYPE_CHECKING:
    from flytelite.server.store.journal import JournalStore

log = logging.getLogger(__name__)

STEPS: Mapping[int, Callable[[Store], Awaitable[None]]] = {1: format_2.migrate}
"""How to get from a format to the next one. A step that was interrupted is done again, on what it has left."""

_COPIED_AT_ONCE = 1024 * 1024


def migrate(directory: Directory, opened: Callable[[], JournalStore]) -> None:
    """Do what is left to do until the documents in a directory have the present format. Blocks.

    ``opened`` opens the store in it. The process may end at any point: nothing is changed before the backup is
    complete, and after that the next start goes on. Raises FailedPrecondition when the store is damaged, Unavailable
    and ResourceExhausted when the disk refuses.
    """
    with ThreadPoolExecutor(1) as executor:  # this thread may have an event loop that runs
        executor.submit(asyncio.run, _migrate(directory, opened)).result()


async def _migrate(directory: Directory, opened: Callable[[], JournalStore]) -> None:
    store = opened()
    try:
        if store.damages:
            raise FailedPrecondition(
                f"the store {directory.path} has format {directory.format} and is damaged, so it cannot be brought to "
                f"format {FORMAT}: {store.damages[0]}; salvage it first: flytelite doctor --repair"
            )
        if not directory.migrates:
            backup = back_up(directory)
            log.warning("%s becomes format %d; as it was, it is kept in %s", directory.path, FORMAT, backup)
            directory.begin_migration()
        for number in range(directory.format, FORMAT):
            await STEPS[number](store)
            directory.migrated(number + 1)
    finally:
        await store.finish()


def back_up(directory: Directory) -> Path:
    """Keep the files of a store as they are, beside its directory; returns where.

    What never changes again gets a second name instead of a copy. Raises Unavailable and ResourceExhausted.
    """
    disk, path = directory.disk, directory.path
    target = _unused(path.with_name(f"{path.name}.format-{directory.format}"))
    partial = target.with_name(f".{target.name}.tmp")
    try:
        if partial.exists():
            shutil.rmtree(partial)
        partial.mkdir()
        files = [file for file in path.iterdir() if file.name != LOCK_FILE and file.suffix != segments.TEMPORARY]
        growing = max((file for file in files if segments.parse_name(file.name)), default=None)
        for file in files:
            if file == growing or not _link(disk, file, partial / file.name):
                _copy(disk, file, partial / file.name)
        disk.sync_directory(partial)
        disk.rename(partial, target)
        disk.sync_directory(path.parent)
    except OSError as error:
        raise refusal(target, error) from error
    return target


def _unused(path: Path) -> Path:
    """The path, or the first of it with a number that nothing has."""
    found, number = path, 1
    while found.exists():
        number += 1
        found = path.with_name(f"{path.name}-{number}")
    return found


def _link(disk: Disk, source: Path, target: Path) -> bool:
    try:
        disk.link(source, target)
    except OSError:  # not every file system has links: a copy does as well
        return False
    return True


def _copy(disk: Disk, source: Path, target: Path) -> None:
    descriptor = disk.create(target)
    try:
        offset = 0
        with source.open("rb") as file:
            while block := file.read(_COPIED_AT_ONCE):
                disk.write(descriptor, block, offset)
                offset += len(block)
        disk.sync(descriptor)
    finally:
        os.close(descriptor)
