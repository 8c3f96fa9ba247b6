"""Where ext4 puts what executions make: far from what others have removed, if it has no journal.

Without one, ext4 does not use an inode again within a minute of its removal. For every file and directory it looks
through those that lie before the first it may use (Linux, ``fs/ext4/ialloc.c``: ``recently_deleted``), and attempts
remove a dozen each. A directory in one that is marked as the top of a hierarchy is put wherever there is most room, so
that each execution, and each of its attempts, finds few of them.
"""

from __future__ import annotations

import fcntl
import logging
import os
import struct
from functools import cache
from pathlib import Path

logger = logging.getLogger(__name__)

SYSTEM = Path("/sys")
TOP_OF_HIERARCHY = 0x00020000
_FLAGS = struct.Struct("l")
_GET_FLAGS = 2 << 30 | _FLAGS.size << 16 | ord("f") << 8 | 1
_SET_FLAGS = 1 << 30 | _FLAGS.size << 16 | ord("f") << 8 | 2
"""Of ``linux/fs.h``: FS_TOPDIR_FL, FS_IOC_GETFLAGS, FS_IOC_SETFLAGS."""


def spread(directory: Path) -> None:
    """Make a directory whose sub-directories will lie apart; nothing if it exists. Blocks.

    What is wrong with it is left to whoever uses it.
    """
    try:
        try:
            directory.mkdir()
        except FileNotFoundError:
            directory.mkdir(parents=True)
        if matters(directory.stat().st_dev):
            _mark(directory)
    except FileExistsError:
        return
    except OSError as error:
        logger.debug("%s is like any other directory: %s", directory, error)


@cache
def matters(device: int, system: Path = SYSTEM) -> bool:
    """Whether a device has an ext4 without a journal; ``system`` is where the kernel tells of itself."""
    try:
        name = (system / f"dev/block/{os.major(device)}:{os.minor(device)}").readlink().name
        return (system / f"fs/ext4/{name}/journal_task").read_text().strip() == "<none>"
    except OSError:  # another file system
        return False


def _mark(directory: Path) -> None:
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
    try:
        (flags,) = _FLAGS.unpack(fcntl.ioctl(descriptor, _GET_FLAGS, bytes(_FLAGS.size)))
        fcntl.ioctl(descriptor, _SET_FLAGS, _FLAGS.pack(flags | TOP_OF_HIERARCHY))
    finally:
        os.close(descriptor)
