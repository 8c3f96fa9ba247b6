"""Where attempts have their temporary files: in directories whose names leave room for Unix sockets.

The path of a socket has at most 107 bytes (on macOS 103), and multiprocessing's managers, among others, put theirs
where temporary files are. The directory of an attempt has a longer path than that leaves room for.
"""
# Names, not paths: a path interns its parts, and what Python 3.12 has interned stays in memory for good.

from __future__ import annotations

import hashlib
import logging
import os
import shutil
from pathlib import Path

from flytelite.engine import placement

logger = logging.getLogger(__name__)

LONGEST = 58
"""Bytes of a directory that needs no link: an attempt's name takes 13 more, and multiprocessing's names 32."""

LINKS = Path("/tmp")  # noqa: S108  a link lies there, whose owner is looked at, and no content


class Temporary:
    """One directory below ``directory`` for each attempt that runs.

    Where that has a long path itself, tasks know it by a link in ``links``, from ``open`` to ``close``.
    """

    def __init__(self, directory: Path, links: Path = LINKS) -> None:
        self.directory = directory
        self._known_as = str(directory)
        path = os.fsencode(directory)
        self._link = links / f"flytelite-{_digest(path)}" if len(path) > LONGEST else None

    def open(self) -> None:
        """Make the directory and, if need be, the link. Blocks. Nobody else's link is ever used."""
        placement.spread(self.directory)
        if self._link is None:
            return
        try:
            if not self._has_link():
                self._link.symlink_to(self.directory)
            self._known_as = str(self._link)
        except OSError as error:
            self._known_as = str(self.directory)
            logger.warning(
                "tasks cannot have sockets among their temporary files: %s is too long a path, and %s cannot be a link "
                "to it (%s); a data directory with a shorter path helps",
                self.directory,
                self._link,
                error.strerror,
            )

    def close(self) -> None:
        """Remove the link. Blocks."""
        if self._link is not None and self._has_link():
            self._link.unlink(missing_ok=True)

    def of(self, attempt: Path) -> str:
        """The TMPDIR of the attempt that has this directory; always the same one, so that a later engine finds it."""
        return f"{self._known_as}/{_digest(os.fsencode(attempt))}"

    def make(self, attempt: Path) -> None:
        """Make it anew. Blocks. Raises OSError."""
        place = self.of(attempt)
        try:
            os.mkdir(place)  # noqa: PTH102
        except FileExistsError:  # left by an engine that died before it started the attempt
            shutil.rmtree(place)
            os.mkdir(place)  # noqa: PTH102
        except FileNotFoundError:  # /tmp is tidied by many systems, the link with it
            self.open()
            os.mkdir(self.of(attempt))  # noqa: PTH102

    def _has_link(self) -> bool:
        """Whether the link is there, and made by this user."""
        assert self._link is not None
        try:
            return self._link.lstat().st_uid == os.geteuid() and self._link.readlink() == self.directory
        except OSError:
            return False


def _digest(path: bytes) -> str:
    return hashlib.sha256(path).hexdigest()[:12]
