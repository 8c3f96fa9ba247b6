"""Objects that every task refers to, made immortal, so that a forked process need not copy the memory they are in.

To count a reference is to write to the object: a task that does nothing copies twice the memory only because of that.
Python 3.12 leaves the count of an immortal object alone (PEP 683), and nobody waits for the end of what a fork server
has imported before its first fork; what users write is never made immortal. Other versions are not touched.
"""

from __future__ import annotations

import ctypes
import gc
import sys
from collections.abc import Iterator
from types import CodeType
from typing import Any

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

HIDDEN = frozenset({CodeType, tuple, dict})
"""What may refer to more without the collector's knowing it."""


def immortalise(prepared: Prepared) -> None:
    """Make immortal what begins in the memory that tasks of this process would make their own."""
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
    for objects in _all_objects():
        for address in set(map(id, objects)):
            if address // PAGE in pages:
                ctypes.c_uint32.from_address(address).value = IMMORTAL
    gc.freeze()


def _all_objects() -> Iterator[list[Any]]:
    """All that containers refer to, also those that the collector does not know: code, and what is constant."""
    containers = gc.get_objects()
    for start in range(0, len(containers), AT_ONCE):
        referents = gc.get_referents(*containers[start : start + AT_ONCE])
        while referents:
            yield referents
            hidden = {id(one): one for one in referents if type(one) in HIDDEN and not gc.is_tracked(one)}
            referents = gc.get_referents(*(_parts(one) if type(one) is CodeType else one for one in hidden.values()))


def _parts(code: CodeType) -> tuple[object, ...]:
    """What a code object refers to, which it does not tell the collector."""
    tables = (code.co_linetable, code.co_exceptiontable)
    return (code.co_consts, code.co_names, code.co_varnames, code.co_name, code.co_qualname, code.co_filename, *tables)
