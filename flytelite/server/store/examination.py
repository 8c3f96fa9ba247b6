"""What is wrong with the files of a store, and what is lost by it. Reads everything and changes nothing."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

import orjson

from flytelite.errors import NotFound, Unavailable
from flytelite.server.store import closing, entries, segments
from flytelite.server.store.directory import FORMAT, FORMAT_FILE, OLDEST, check_format
from flytelite.server.store.entries import REMOVED, StoredChange
from flytelite.server.store.recovery import Damage, Line, Recovered, current_segments, lines_of, torn_end
from flytelite.server.store.segments import Segment

_NAMES = re.compile(
    rb'{"table":("(?:[^"\\]|\\.)*"),"key":("(?:[^"\\]|\\.)*"),"order":[0-9]+,"length":[0-9]+,"document":'
)
_NO_DESCRIPTOR = -1

Key = tuple[str, str]
"""The table and key of a document."""
Place = tuple[int, int]
"""The number of a segment and an offset in it: what comes later in the journal is greater."""


class Version(NamedTuple):
    """The last readable change of a document; ``entry`` and ``time`` are those of its line."""

    place: Place
    entry: int
    time: str
    removed: bool


class Finding(NamedTuple):
    """Damage, and what it did.

    ``length`` counts the bytes that cannot be used, ``unharmed`` the documents named there that were written again
    later; ``lost`` are the others, with the version that remains (None: none does). A line that names no document any
    more, or is missing, has lost what nobody can tell.
    """

    damage: Damage
    length: int = 0
    unharmed: int = 0
    lost: dict[Key, Version | None] | None = None


class Part(NamedTuple):
    """A segment with its lines; ``torn`` counts the bytes of an end that was never completed, which is left out."""

    segment: Segment
    lines: Iterable[Line]
    torn: int


@dataclass
class Examination(Recovered):
    """What a store's directory holds. Follows entries as recovery does, and so finds the same, but keeps no documents.

    ``torn`` is an end that was never completed, which is no damage. ``format`` is that of the documents.
    """

    findings: list[Finding] = field(default_factory=list)
    torn: Damage | None = None
    format: int = FORMAT
    lines: int = 0
    changes: int = 0
    broken: dict[tuple[Path, int], bytes] = field(default_factory=dict)

    def read(self, part: Part) -> None:
        """Take in the next segment."""
        self.replay(part.segment, self._watched(part))
        if part.torn:
            offset = part.segment.size - part.torn
            self.torn = Damage(part.segment.path, offset, f"{part.torn} bytes of an entry that was never completed")

    def _watched(self, part: Part) -> Iterator[Line]:
        for line in part.lines:
            self.lines += 1
            if line.header is None:
                self.broken[part.segment.path, line.offset] = line.text
            yield line

    def _apply(self, segment: Segment, line: Line, change: StoredChange) -> None:
        self.changes += 1


def examine(directory: Path) -> Examination:
    """Read every file of a store that no server uses.

    Raises NotFound when there is no store, FailedPrecondition when a newer flytelite wrote it, Unavailable when the
    directory cannot be listed or a segment cannot be opened.
    """
    found = Examination(closed=closing.last_entry(directory))
    _look_at_format(directory, found)
    for part in parts(directory):
        found.read(part)
    found.end(directory)
    names = {place: _names(text) for place, text in found.broken.items()}
    versions = _versions(directory, {key for keys in names.values() for key in keys})
    number = {segment.path: number for number, segment in enumerate(found.segments)}
    for damage in found.damages:
        keys = names.get((damage.path, damage.offset), [])
        here = number.get(damage.path, 0), damage.offset
        lost = {key: version for key in keys if (version := versions.get(key)) is None or version.place < here}
        length = len(found.broken.get((damage.path, damage.offset), b""))
        found.findings.append(Finding(damage, length, len(keys) - len(lost), lost))
    return found


def parts(directory: Path) -> Iterator[Part]:
    """The segments in the order of their entries. Raises NotFound without a store, Unavailable when unreadable."""
    try:
        current, _ = current_segments(directory)
    except FileNotFoundError as error:
        raise NotFound(f"there is no store in {directory}") from error
    except OSError as error:
        raise Unavailable(f"{directory} cannot be read: {error.strerror}") from error
    for first, last, path in current:
        segment = Segment(path, first, last, _NO_DESCRIPTOR, _size_of(path))
        if last is not None or path is not current[-1][2]:
            yield Part(segment, lines_of(segment), 0)
            continue
        lines = list(lines_of(segment))
        end = torn_end(lines, first - 1, closing.last_entry(directory))
        yield Part(segment, lines[:end], 0 if end is None else segment.size - lines[end].offset)


def _size_of(path: Path) -> int:
    try:
        return segments.size_of(path)
    except OSError as error:  # a directory, or not for this user: nothing that the file's content could tell
        raise Unavailable(f"{path} cannot be read: {error.strerror}") from error


def _look_at_format(directory: Path, found: Examination) -> None:
    try:
        said = check_format(directory)
    except Unavailable:
        path = directory / FORMAT_FILE
        damage = Damage(path, 0, "it does not say the store's format")
        found.findings.append(Finding(damage, path.stat().st_size, lost={}))
    else:
        found.format = OLDEST if said is None else said.of_documents


def _names(text: bytes) -> list[Key]:
    """The documents that a damaged line still names, as far as that can be read."""
    found: list[Key] = []
    for table, key in _NAMES.findall(text):
        try:
            found.append((orjson.loads(table), orjson.loads(key)))
        except orjson.JSONDecodeError:
            continue  # the damage is in the name itself
    return list(dict.fromkeys(found))


def _versions(directory: Path, keys: set[Key]) -> dict[Key, Version]:
    """The last readable change of each of those documents."""
    versions: dict[Key, Version] = {}
    for number, part in enumerate(parts(directory) if keys else ()):
        for line in part.lines:
            for change in line.changes:
                key = change.table, change.key
                if key in keys and line.header is not None:
                    removed = line.text[change.offset : change.offset + change.length] == REMOVED
                    place = number, line.offset
                    versions[key] = Version(place, line.header.number, entries.time(line.text), removed)
    return versions
