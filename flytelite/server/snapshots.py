"""Executions in one file: packed here, unpacked elsewhere, with all that it takes to look at them and repeat them."""

from __future__ import annotations

import asyncio
import filecmp
import re
import secrets
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from flyteidl.core import identifier_pb2

from flytelite.config import Settings
from flytelite.engine.data import sync_directory
from flytelite.engine.environments.library import Library
from flytelite.errors import FailedPrecondition, InvalidArgument
from flytelite.server import archive
from flytelite.server.admin import snapshots
from flytelite.server.admin.arrivals import Arrivals, Outcome, checked, moved, relocation
from flytelite.server.admin.execution_tables import EXECUTIONS
from flytelite.server.admin.identifiers import execution_key
from flytelite.server.admin.snapshot_tables import Entry
from flytelite.server.admin.snapshots import Selection, Snapshots
from flytelite.server.archive import Manifest
from flytelite.server.archive_images import ArchiveImages
from flytelite.server.data_files import DataFiles, files_below, rewrite, strings_in_files
from flytelite.server.store.disk import refusal
from flytelite.server.store.interface import Store
from flytelite.strings import Change

UPLOADS = "uploads"
"""Where files are in the making; emptied when a server starts."""

_LOG_LINK = re.compile(r"http://[^/\s]+/logs/([^/]+/[^/]+/[^/]+)(/.*)")


@dataclass(frozen=True)
class Exported:
    """How much went into an archive; ``left_out`` counts executions that have not ended."""

    executions: int
    documents: int
    files: int
    bytes: int
    left_out: int


@dataclass(frozen=True)
class Imported:
    """What came out of an archive: executions that are new here, executions that were here before, and the numbers of
    new documents and files."""

    executions: tuple[str, ...]
    known: tuple[str, ...]
    documents: int
    files: int


class Archives:
    """Export and import of one data directory. One import, and one removal (``cleaning.py``), at a time: ``lock``."""

    def __init__(self, settings: Settings, store: Store, lock: asyncio.Lock) -> None:
        self._settings = settings
        self._store = store
        self._files = DataFiles(settings)
        self._images = ArchiveImages(Library(settings.environments))
        self._lock = lock

    async def export(self, ids: Sequence[identifier_pb2.WorkflowExecutionIdentifier], target: Path) -> Exported:
        """Write an archive of those executions, or of everything that has ended if none is named.

        Raises NotFound for an unknown execution, FailedPrecondition for one that has not ended, and when there is too
        much for one archive, ResourceExhausted and Unavailable when the disk refuses.
        """
        async with self._lock:
            selection = await Snapshots(self._store).select(ids)
            try:
                manifest = await asyncio.to_thread(self._write, selection, target)
            except OSError as error:
                raise refusal(target, error) from error
        return Exported(
            len(manifest.executions), len(selection.entries), manifest.files, manifest.bytes, selection.left_out
        )

    async def take_in(self, packed: Path) -> Imported:
        """Unpack an archive and add what is not here yet; the same archive again adds nothing.

        Nothing is added unless everything can be: documents come in one atomic batch, after the files. Raises
        InvalidArgument for a file that is no such archive, AlreadyExists and FailedPrecondition when something of that
        name is here already and differs, ResourceExhausted and Unavailable when the disk refuses.
        """
        staging = self._settings.data_dir / UPLOADS / f"import-{secrets.token_hex(8)}"
        async with self._lock:
            try:
                manifest, entries = await asyncio.to_thread(self._prepare, packed, staging)
                arrivals = Arrivals(self._store)
                known = arrivals.known(entries)
                placing = _Placing(self._files, entries, known)
                images = await asyncio.to_thread(self._images.check, staging)
                await asyncio.to_thread(placing.place, staging)
                try:
                    await asyncio.to_thread(self._images.put, images, staging)
                    outcome = arrivals.put(entries)
                except BaseException:
                    await asyncio.to_thread(placing.undo)
                    await asyncio.to_thread(self._images.forget, images)
                    raise
                await self._store.durable()
            except OSError as error:
                raise refusal(staging, error) from error
            finally:
                await asyncio.to_thread(partial(shutil.rmtree, staging, ignore_errors=True))
        return _imported(outcome, manifest, len(placing.placed))

    def _write(self, selection: Selection, target: Path) -> Manifest:
        found, strings = self._gather(selection)
        files = {str(path.relative_to(self._settings.data_dir)): path for path in found}
        files |= self._images.files(strings)
        keys = [execution_key(id) for id in selection.executions]
        return archive.write(target, self._settings.data_dir, keys, selection.entries, files)

    def _gather(self, selection: Selection) -> tuple[set[Path], set[str]]:
        """The executions' own files, and those that documents or files already found refer to; every string in them."""
        found: set[Path] = set()
        for id in selection.executions:
            found.update(files_below(self._files.metadata(id)), self._files.logs(id))
        strings = strings_in_files(found).union(*map(snapshots.strings_in, selection.entries))
        seen: set[str] = set()
        while fresh := strings - seen:
            seen |= fresh
            more = {path for text in fresh for path in self._files.named_by(text)} - found
            found |= more
            strings = strings_in_files(more)
        return found, seen

    def _prepare(self, packed: Path, staging: Path) -> tuple[Manifest, list[Entry]]:
        staging.mkdir(parents=True)
        manifest = archive.unpack(packed, staging)
        entries = checked(archive.documents(staging, manifest))
        (staging / archive.DOCUMENTS).unlink()
        change = self._relocation(manifest, entries)
        try:
            entries = moved(entries, change)
            for path in files_below(staging / archive.BUCKET):
                rewrite(path, change)
        except RecursionError as error:
            raise InvalidArgument("a value in the archive is nested too deeply") from error
        return manifest, entries

    def _relocation(self, manifest: Manifest, entries: Sequence[Entry]) -> Change:
        move = relocation(manifest.data_dir, str(self._settings.data_dir))
        executions = {entry.key for entry in entries if entry.table == EXECUTIONS.name}

        def change(text: str) -> str:
            link = _LOG_LINK.fullmatch(text)
            if link is not None and link[1] in executions:
                return f"http://{self._settings.authority}/logs/{link[1]}{link[2]}"
            return move(text)

        return change


class _Placing:
    """Moves unpacked files to where they belong."""

    def __init__(self, files: DataFiles, entries: Sequence[Entry], known: set[str]) -> None:
        self._root = files.root
        self.placed: list[Path] = []
        self._here: set[Path] = set()
        self._coming: set[Path] = set()
        for entry in entries:
            if entry.table == EXECUTIONS.name:
                id = identifier_pb2.WorkflowExecutionIdentifier(**entry.document["message"]["id"])
                (self._here if entry.key in known else self._coming).update((files.metadata(id), files.attempts(id)))
        self._owned = {files.bucket / "metadata" / "propeller": 1, files.root / archive.ATTEMPTS: 3}

    def place(self, staging: Path) -> None:
        """Raises FailedPrecondition when another file is in the way; nothing has changed then."""
        moves = [
            (path, target)
            for path in files_below(staging)
            if not path.is_relative_to(staging / archive.IMAGES)
            and self._is_wanted(path, target := self._root / path.relative_to(staging))
        ]
        directories: set[Path] = set()
        try:
            for source, target in moves:
                target.parent.mkdir(parents=True, exist_ok=True)
                self.placed.append(target)
                source.replace(target)
                directories.update(parent for parent in target.parents if parent.is_relative_to(self._root))
            for directory in directories:
                sync_directory(directory)
        except BaseException:
            self.undo()
            raise

    def undo(self) -> None:
        """Remove what was placed."""
        for path in self.placed:
            path.unlink(missing_ok=True)

    def _is_wanted(self, source: Path, target: Path) -> bool:
        owners = self._here.intersection(target.parents)
        if owners:
            return False  # the execution is here with its own files
        if not target.parent.resolve().is_relative_to(self._root.resolve()):
            raise FailedPrecondition(f"{target} leads out of the data directory")
        if self._coming.intersection(target.parents):
            return True  # whatever lies there is of an import that was interrupted
        if target.is_file():
            if filecmp.cmp(source, target, shallow=False):
                return False
            raise FailedPrecondition(f"{target} is here already with other content; import into another data directory")
        if target.exists() or self._is_anothers(target):
            raise FailedPrecondition(f"{target} is another execution's; import into another data directory")
        return True

    def _is_anothers(self, target: Path) -> bool:
        """Whether it lies in the directory of an execution that is here and not in the archive."""
        for place, depth in self._owned.items():
            if target.is_relative_to(place):
                return place.joinpath(*target.relative_to(place).parts[:depth]).exists()
        return False


def _imported(outcome: Outcome, manifest: Manifest, files: int) -> Imported:
    return Imported(tuple(outcome.executions), tuple(sorted(outcome.known)), outcome.added, files)
