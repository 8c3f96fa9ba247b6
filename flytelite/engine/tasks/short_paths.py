"""Short names for the directories of temporary files: the path of a Unix socket has no more than 107 bytes.

multiprocessing's managers, among others, put sockets there, and a directory of an attempt has a longer path than that
leaves room for.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
from pathlib import Path

LONGEST = 60
"""Bytes of a path that need no other: 32 more are multiprocessing's, and macOS has room for 103."""

SHORT = Path("/tmp")  # noqa: S108  a link lies there, whose owner is looked at, and no content


def link(directory: Path) -> None:
    """Give a directory a short name, if its own is long; where that is not possible it has none."""
    name = _name(directory)
    if name is not None:
        with contextlib.suppress(OSError):
            name.symlink_to(directory)


def shortest(directory: Path) -> Path:
    """The directory's short name, or its own when it has none. Nobody else's link is ever one."""
    name = _name(directory)
    return name if name is not None and _is_own(name, directory) else directory


def unlink(directory: Path) -> None:
    """Remove the directory's short name, if it has one."""
    name = _name(directory)
    if name is not None and _is_own(name, directory):
        with contextlib.suppress(OSError):
            name.unlink()


def _name(directory: Path) -> Path | None:
    """The name it may have: always the same, so that a later engine can remove it."""
    path = os.fsencode(directory)
    if len(path) <= LONGEST:
        return None
    return SHORT / f"flytelite-{hashlib.sha256(path).hexdigest()[:16]}"


def _is_own(name: Path, directory: Path) -> bool:
    try:
        return name.lstat().st_uid == os.geteuid() and name.readlink() == directory
    except OSError:
        return False
