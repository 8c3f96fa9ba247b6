"""Small files of inputs and outputs: until they are surely on disk the journal holds their content too.

A sync of each of a node's files would cost more than all else that the node takes. So the engine writes them without,
and their content goes into the journal's entry with the event that names them, which is synced anyhow. A file that was
written survives the death of the process; after a power cut the next start writes it again from the journal.
"""

from __future__ import annotations

import asyncio
import base64
import ctypes
import logging
import os
import sys
from collections.abc import Container, Mapping
from contextlib import suppress
from pathlib import Path

from flytelite.engine import data
from flytelite.engine.executors.shim import boot_id
from flytelite.errors import FlyteError
from flytelite.server.store.interface import Query, Store, TableSchema

FILES = TableSchema("unsynced_files")
SETTLE_SECONDS = 20.0
"""How often all of them are synced at once, while there are any."""
MANY = 5_000
"""Documents for which the time is not waited for."""
AT_ONCE = 100
"""Documents forgotten in one entry: the loop has other things to do."""

log = logging.getLogger(__name__)


class FileLog:
    """The files below ``root`` that are not surely on disk. Belongs to the event loop's thread."""

    def __init__(self, store: Store, root: Path) -> None:
        self._store = store
        self._table = store.table(FILES)
        self._root = root
        self._prefix = f"{root}/"
        self._boot = boot_id()
        self._number = max((int(key.rpartition("/")[2]) for key in self._table.keys(Query())), default=0)
        self._many = asyncio.Event()
        self._settling: asyncio.Task[None] | None = None
        self._refused: set[str] = set()

    def add(self, execution: str, files: Mapping[Path, bytes]) -> None:
        """Keep the content of files of the execution with that key. Belongs into the batch that makes them known."""
        self._number += 1
        content = {self._name(path): base64.b64encode(text).decode() for path, text in files.items()}
        self._table.put(f"{execution}/{self._number}", {"boot": self._boot, "files": content})
        self.attend()

    def attend(self) -> None:
        """See to it that what is kept is forgotten in a while. While nothing is, there is no timer."""
        if len(self._table) >= MANY:
            self._many.set()
        if len(self._table) and (self._settling is None or self._settling.done()):
            self._settling = asyncio.create_task(self._settle(), name="files that are not synced")

    def restore(self, executions: Container[str]) -> int:
        """Write again what a power cut may have cost, but for executions that are gone; how many files.

        ``executions`` holds the keys of those that there are. What the disk refuses is tried at the next start. Blocks.
        """
        written = 0
        for key in self._table.keys(Query()):
            kept = self._table.get(key)
            if kept is None or (kept["boot"] and kept["boot"] == self._boot):
                continue
            try:
                if key.rpartition("/")[0] in executions:
                    written += sum(_restore(self._root / name, text) for name, text in kept["files"].items())
                with self._store.batch(insist=True):
                    self._table.remove(key)
            except (OSError, FlyteError) as error:
                log.warning("a file that did not reach the disk cannot be written again: %s", error)
                self._refused.add(key)
        if written:
            log.warning("%d files of inputs and outputs had not reached the disk and were written again", written)
        return written

    def _name(self, path: Path) -> str:
        """The path below the root, as ``relative_to`` says it but in a tenth of the time."""
        text = str(path)
        if text.startswith(self._prefix):
            return text[len(self._prefix) :]
        return str(path.relative_to(self._root))

    async def settled(self) -> None:
        """Wait until nothing is kept any more."""
        while self._settling is not None and not self._settling.done():
            await asyncio.wait([self._settling])

    async def close(self) -> None:
        """Leave what is kept to the next start."""
        if self._settling is not None:
            self._settling.cancel()
            await asyncio.wait([self._settling])

    def _in_doubt(self) -> list[str]:
        """The documents of files that this machine has, on disk or not."""
        return [key for key in self._table.keys(Query()) if key not in self._refused]

    async def _settle(self) -> None:
        while self._in_doubt():
            with suppress(TimeoutError):
                await asyncio.wait_for(self._many.wait(), SETTLE_SECONDS)
            self._many.clear()
            keys = self._in_doubt()
            try:
                await asyncio.to_thread(sync_file_system, self._root)
            except OSError as error:
                log.warning("files of inputs and outputs cannot be synced: %s", error)
                await asyncio.sleep(SETTLE_SECONDS)
                continue
            for start in range(0, len(keys), AT_ONCE):
                with self._store.batch(insist=True):
                    for key in keys[start : start + AT_ONCE]:
                        self._table.remove(key)
                await asyncio.sleep(0)


def sync_file_system(path: Path) -> None:
    """Have all that was written to the file system of ``path`` on disk. Blocks; raises OSError."""
    if not sys.platform.startswith("linux"):
        os.sync()
        return
    descriptor = os.open(path, os.O_RDONLY)
    try:
        if ctypes.CDLL(None, use_errno=True).syncfs(descriptor):
            number = ctypes.get_errno()
            raise OSError(number, os.strerror(number), str(path))
    finally:
        os.close(descriptor)


def _restore(path: Path, text: str) -> bool:
    """Whether the file had to be written."""
    content = base64.b64decode(text)
    try:
        if path.read_bytes() == content:
            return False
    except FileNotFoundError:
        pass
    data.write_bytes(path, content)
    return True
