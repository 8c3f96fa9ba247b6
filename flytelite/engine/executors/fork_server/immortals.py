"""Objects that every task refers to, made immortal, so that a forked process need not copy the memory they are in.

To count a reference is to write to the object: a task that does nothing copies twice the memory only because of that.
Python 3.12 leaves the count of an immortal object alone (PEP 683), and nobody waits for the end of what a fork server
has imported before its first fork; what users write is never made immortal. Other versions are not touched.
"""

from __future__ import annotations

import ctypes
import gc
import sys

from .preparation import Prepared
from .rehearsal import MADV_POPULATE_WRITE, PAGE, rehearse

IMMORTAL = 0xFFFFFFFF
"""The lower half of an immortal object's count, in Python 3.12 where pointers have 64 bits."""

SUPPORTED = (
    sys.implementation.name == "cpython"
    and sys.version_info[:2] == (3, 12)
    and sys.maxsize > 1 << 32
    and sys.byteorder == "little"  # the lower half of a count is where the object begins
)

AT_ONCE = 4096
"""Of so many objects it is asked at once what they refer to: of all, a list would take tens of megabytes."""


def immortalise(prepared: Prepared) -> None:
    """Make immortal what begins in the memory that tasks of this process would make their own.

    That is, of all objects, those that a container refers to which the collector knows.
    """
    if not SUPPORTED:
        return
    pages = frozenset(
        number
        for advice in rehearse(prepared)
        if advice.kind == MADV_POPULATE_WRITE
        for vector in advice.vectors
        for number in range(vector.address // PAGE, (vector.address + vector.length) // PAGE)
    )
    gc.unfreeze()
    containers = gc.get_objects()
    for start in range(0, len(containers), AT_ONCE):
        referents = gc.get_referents(*containers[start : start + AT_ONCE])
        for address in set(map(id, referents)):
            if address // PAGE in pages:
                ctypes.c_uint32.from_address(address).value = IMMORTAL
    del containers, referents
    gc.freeze()
