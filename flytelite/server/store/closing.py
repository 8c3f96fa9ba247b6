"""What a store says of itself when it is closed: how far its journal went, which the journal itself cannot tell."""

from __future__ import annotations

import logging
from pathlib import Path

import orjson

from flytelite.server.store.disk import Disk, write_file

log = logging.getLogger(__name__)

CLOSED_FILE = "closed.json"


def last_entry(directory: Path) -> int:
    """The last entry that was on disk when the store was closed in order, for the last time; 0 if it never was."""
    path = directory / CLOSED_FILE
    try:
        return int(orjson.loads(path.read_bytes())["entry"])
    except FileNotFoundError:
        return 0
    except (OSError, ValueError, KeyError, TypeError) as error:
        log.warning("%s cannot be read (%s): whether the journal's end is missing is not known", path, error)
        return 0


def note_last_entry(directory: Path, entry: int, disk: Disk) -> None:
    """Say that the store was closed with all entries up to this one on disk. When the disk refuses, only the log
    tells: what was acknowledged is in the journal."""
    path = directory / CLOSED_FILE
    try:
        write_file(disk, path, orjson.dumps({"entry": entry}) + b"\n")
    except OSError as error:
        log.warning("%s could not be written: %s", path, error.strerror or error)
