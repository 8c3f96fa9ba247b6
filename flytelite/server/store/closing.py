"""What a store says of itself when it is closed: how far its journal went, which the journal itself cannot tell.

It says so in a line like the journal's, without changes: the checksum tells damage to this file from damage to those.
"""

from __future__ import annotations

import logging
import re
from datetime import UTC, datetime
from pathlib import Path

from flytelite.server.store import entries
from flytelite.server.store.disk import Disk, write_file
from flytelite.server.store.entries import Header

log = logging.getLogger(__name__)

CLOSED_FILE = "closed.json"
_WITHOUT_CHECKSUM = re.compile(rb'\{"entry":(\d+)\}\n')
"""As it was written at first. What follows an upgrade is told no less from a write cut short."""


def last_entry(directory: Path) -> int:
    """The last entry that was on disk when the store was closed in order, for the last time; 0 if it never was."""
    path = directory / CLOSED_FILE
    try:
        line = path.read_bytes()
    except FileNotFoundError:
        return 0
    except OSError as error:
        reason = error.strerror or str(error)
    else:
        if entries.is_whole(line):
            return entries.header(line).number
        if without_checksum := _WITHOUT_CHECKSUM.fullmatch(line):
            return int(without_checksum[1])
        reason = "it does not match its checksum"
    log.warning("%s cannot be used, %s: whether the journal's end is missing is not known", path, reason)
    return 0


def note_last_entry(directory: Path, entry: int, disk: Disk) -> None:
    """Say that the store was closed with all entries up to this one on disk. When the disk refuses, only the log
    tells: what was acknowledged is in the journal."""
    path = directory / CLOSED_FILE
    line, _ = entries.encode(Header(entry, entry), datetime.now(UTC).isoformat(timespec="milliseconds"), [])
    try:
        write_file(disk, path, line)
    except OSError as error:
        log.warning("%s could not be written: %s", path, error.strerror or error)
