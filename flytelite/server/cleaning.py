"""Removing old executions: their documents, inputs, outputs, logs, and the data that nothing else refers to."""

from __future__ import annotations

import asyncio
import re
import secrets
import shutil
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from functools import partial
from pathlib import Path

import orjson
from flyteidl.core import identifier_pb2
from google.protobuf import timestamp_pb2

from flytelite.config import Settings
from flytelite.errors import InvalidArgument
from flytelite.server.admin.clock import Clock, now
from flytelite.server.admin.execution_tables import EXECUTIONS
from flytelite.server.admin.retention import Retention
from flytelite.server.admin.snapshots import Place, shared_in, strings_in
from flytelite.server.data_files import DataFiles, files_below, size_of, strings_in_files
from flytelite.server.snapshots import UPLOADS
from flytelite.server.store.disk import refusal
from flytelite.server.store.interface import Store

REMOVED_AT_ONCE = 50
"""Executions whose documents are one entry of the journal."""


@dataclass(frozen=True)
class Removal:
    """Executions, by their keys (``project/domain/name``), that go or would go, and how many bytes with them."""

    executions: tuple[str, ...]
    bytes: int


@dataclass
class _Plan:
    """What is to go: keys of executions, the directories that are theirs alone, literal maps and closures, and how many
    bytes."""

    executions: list[str] = field(default_factory=list)
    places: dict[str, list[Path]] = field(default_factory=dict)
    shared: set[Place] = field(default_factory=set)
    bytes: int = 0

    @property
    def removal(self) -> Removal:
        return Removal(tuple(self.executions), self.bytes)


class Cleaning:
    """Old executions of one data directory. ``lock`` is shared with ``Archives``."""

    def __init__(self, settings: Settings, store: Store, lock: asyncio.Lock, clock: Clock = now) -> None:
        self._settings = settings
        self._store = store
        self._lock = lock
        self._clock = clock
        self._files = DataFiles(settings)

    async def preview(self, older_than: timedelta, keep_last: int = 0) -> Removal:
        """What would go: executions that ended longer ago than that, except the newest ``keep_last`` of each workflow.

        Raises InvalidArgument for a negative age or number.
        """
        if older_than < timedelta() or keep_last < 0:
            raise InvalidArgument("neither an age nor a number of executions to keep can be negative")
        ended_before = timestamp_pb2.Timestamp()
        ended_before.FromNanoseconds(
            max(0, self._clock().ToNanoseconds() - older_than // timedelta(microseconds=1) * 1000)
        )
        async with self._lock:
            plan = await self._plan(await Retention(self._store).due(ended_before, keep_last))
        return plan.removal

    async def remove(self, keys: Sequence[str]) -> Removal:
        """Remove executions, by their keys (``project/domain/name``); those that are gone already are left out.

        What others that stay refer to stays. An execution is removed whole or not at all; what was removed when an
        error is raised stays so. Raises FailedPrecondition for one that has not ended, Unavailable and
        ResourceExhausted when the disk refuses.
        """
        trash = self._settings.data_dir / UPLOADS / f"removed-{secrets.token_hex(8)}"
        async with self._lock:
            plan = await self._plan(keys)
            try:
                for first in range(0, len(plan.executions), REMOVED_AT_ONCE):
                    some = plan.executions[first : first + REMOVED_AT_ONCE]
                    last = first + REMOVED_AT_ONCE >= len(plan.executions)
                    await self._remove(some, plan, trash / str(first), plan.shared if last else set())
            except OSError as error:
                raise refusal(trash, error) from error
            finally:
                await asyncio.to_thread(partial(shutil.rmtree, trash, ignore_errors=True))
        return plan.removal

    async def _plan(self, keys: Sequence[str]) -> _Plan:
        plan, retention = _Plan(), Retention(self._store)
        for key in keys:
            entries = list(retention.snapshots.of_execution(key))
            if not entries:
                continue
            plan.executions.append(key)
            plan.bytes += sum(len(orjson.dumps(entry.document)) for entry in entries)
            plan.shared.update(place for entry in entries for place in shared_in(entry, strings_in(entry)))
            id = identifier_pb2.WorkflowExecutionIdentifier(**entries[-1].document["message"]["id"])
            assert entries[-1].table == EXECUTIONS.name
            plan.places[key] = await asyncio.to_thread(self._places, id)
        used = _Used(self._files.bucket)
        plan.shared -= await retention.visit_staying(set(plan.executions), used.look)
        leaving = {path for places in plan.places.values() for path in places}
        await asyncio.to_thread(self._look_into_files, leaving, used)
        for key, places in plan.places.items():
            plan.places[key] = [path for path in places if path not in used.found]
        plan.bytes += await asyncio.to_thread(_size, plan)
        return plan

    def _places(self, id: identifier_pb2.WorkflowExecutionIdentifier) -> list[Path]:
        """The attempts come last: they tell where the other data is."""
        places = [*self._files.raw(id), self._files.metadata(id), self._files.attempts(id)]
        return [place for place in places if place.is_dir()]

    def _look_into_files(self, leaving: set[Path], used: _Used) -> None:
        """What stays may be the outputs of what goes: handed on, or cached."""
        places = [*(self._files.bucket / "metadata" / "propeller").glob("*"), self._files.bucket / "catalog"]
        for place in places:
            if place not in leaving and place.is_dir():
                for path in files_below(place):
                    used.look(strings_in_files([path]))

    async def _remove(self, keys: Sequence[str], plan: _Plan, trash: Path, unused: set[Place]) -> None:
        moves = [place for key in keys for place in plan.places[key]]
        moved = await asyncio.to_thread(_move, moves, trash)
        try:
            Retention(self._store).remove(keys, unused)
        except BaseException:
            await asyncio.to_thread(_move_back, moved)
            raise
        await self._store.durable()


class _Used:
    """The directories of executions' data that strings name."""

    def __init__(self, bucket: Path) -> None:
        self._bucket = bucket
        self._pattern = re.compile(re.escape(str(bucket)) + r"/(metadata/propeller/[^/]+|data/[^/]+/[^/]+)")
        self.found: set[Path] = set()

    def look(self, strings: set[str]) -> None:
        """Note what they name."""
        prefix = str(self._bucket)
        for text in strings:
            if prefix in text:
                self.found.update(self._bucket / found for found in self._pattern.findall(text))


def _size(plan: _Plan) -> int:
    return sum(size_of(place) for places in plan.places.values() for place in places)


def _move(places: Sequence[Path], trash: Path) -> list[tuple[Path, Path]]:
    trash.mkdir(parents=True, exist_ok=True)
    moved: list[tuple[Path, Path]] = []
    try:
        for number, place in enumerate(places):
            target = trash / str(number)
            place.rename(target)
            moved.append((place, target))
    except BaseException:
        _move_back(moved)
        raise
    return moved


def _move_back(moved: Sequence[tuple[Path, Path]]) -> None:
    for place, target in moved:
        target.rename(place)
