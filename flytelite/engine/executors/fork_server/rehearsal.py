"""The memory that every task writes to, copied in one go before a task comes.

A forked process shares its memory until it writes to a page: then the system is interrupted, and copies it. Reference
counts have Python write nearly everywhere, so a short task has thousands of such interruptions, which are a third of
what it costs. Which pages they are is much the same for all tasks: a fork server has a child play one, and asks which
are its own by then. Where the system does not tell (/proc/self/pagemap) or cannot copy ahead (before Linux 5.14),
nothing is lost.
"""
# ruff: noqa: PTH123

from __future__ import annotations

import array
import ctypes
import functools
import importlib
import itertools
import json
import os
import signal
import sys
from collections.abc import Callable, Iterable
from typing import Any, NamedTuple

from .play import MODULE, play, stage
from .preparation import Prepared

MADV_POPULATE_READ, MADV_POPULATE_WRITE = 22, 23
PAGE = os.sysconf("SC_PAGE_SIZE")
PRESENT, OF_FILE, EXCLUSIVE = 1 << 63, 1 << 61, 1 << 56
PLAY_SECONDS = 10
MOST_AT_ONCE = 1024
"""So many ranges the system takes in one call."""

Range = tuple[int, int, int]
"""Advice, address, length."""


class IoVector(ctypes.Structure):
    """``struct iovec``."""

    _fields_ = (("address", ctypes.c_void_p), ("length", ctypes.c_size_t))


class Advice(NamedTuple):
    """Ranges with the same advice, as the system takes them: an array of ``IoVector``; and their length in all."""

    kind: int
    vectors: Any
    length: int


def rehearse(prepared: Prepared) -> list[Advice]:
    """What a process that is forked from this one will need of its memory; nothing if that cannot be known.

    Where a user's module is imported by now, tasks do not do that any more: the one that is played does not either.
    """
    try:
        with stage() as place:
            imports = functools.partial(_import, place) if prepared.move is not None else None
            return advices(_needed_by(lambda: play(prepared, place), imports))
    except (OSError, ValueError):
        return []


def _import(place: str) -> None:
    sys.path.insert(0, place)
    importlib.import_module(MODULE)
    sys.path.remove(place)


def _needed_by(act: Callable[[], object], prepare: Callable[[], object] | None = None) -> list[Range]:
    """What a process makes its own that does this, when its parent has prepared for it."""
    mappings = _mappings()
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            os.close(reader)
            null = os.open(os.devnull, os.O_RDWR)
            os.dup2(null, 1)
            os.dup2(null, 2)
            signal.alarm(PLAY_SECONDS)
            if prepare is not None:
                prepare()
                _go_on_in_child()
            act()
            with open(writer, "w", encoding="ascii") as file:
                json.dump(_needed(mappings), file)
        finally:
            os._exit(0)
    os.close(writer)
    with open(reader, encoding="ascii") as file:
        said = file.read()
    os.waitpid(child, 0)
    return [(kind, begin, length) for kind, begin, length in json.loads(said or "[]")]


def _go_on_in_child() -> None:
    """Fork; only the child returns, with a time limit of its own. The parent ends when it does."""
    child = os.fork()
    if child:
        os.waitpid(child, 0)
        os._exit(0)
    signal.alarm(PLAY_SECONDS)


def warm(prepared: Prepared) -> None:
    """Do ahead, in a process that is going to be a task, what each task does alike.

    It copies memory, and starts the loop that flytekit runs beside a task.
    """
    copy_ahead(prepared.needed)
    prepared.loop_start()


def advices(ranges: Iterable[Range]) -> list[Advice]:
    """The ranges as ``copy_ahead`` takes them."""
    found = []
    for kind, alike in itertools.groupby(sorted(ranges), lambda one: one[0]):
        parts = [(begin, length) for _, begin, length in alike]
        for start in range(0, len(parts), MOST_AT_ONCE):
            some = [IoVector(*part) for part in parts[start : start + MOST_AT_ONCE]]
            found.append(Advice(kind, (IoVector * len(some))(*some), sum(one.length for one in some)))
    return found


def copy_ahead(needed: list[Advice]) -> None:
    """Have the memory that will be needed, range by range where the system does not take them all at once."""
    if not needed:
        return
    myself = _descriptor_of_this_process()
    for kind, vectors, length in needed:
        if myself is not None and _libc.process_madvise(myself, vectors, len(vectors), kind, 0) == length:
            continue
        for vector in vectors:
            _libc.madvise(vector.address, vector.length, kind)
    if myself is not None:
        os.close(myself)


def _descriptor_of_this_process() -> int | None:
    """What ``process_madvise`` names it by; None where the C library, the interpreter or the system lacks either."""
    try:
        return os.pidfd_open(os.getpid()) if _libc.process_madvise else None
    except (AttributeError, OSError):
        return None


_libc = ctypes.CDLL(None)
_libc.madvise.argtypes = (ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int)
if hasattr(_libc, "process_madvise"):
    _libc.process_madvise.argtypes = (ctypes.c_int, ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int, ctypes.c_uint)
    _libc.process_madvise.restype = ctypes.c_ssize_t


def _mappings() -> list[tuple[int, int, bool]]:
    """The parts of private memory: begin, end, whether they are written to."""
    found = []
    with open("/proc/self/maps", encoding="utf-8") as file:
        for line in file:
            addresses, access, _, _, _, *name = line.split()
            if access[0] == "r" and access[3] == "p" and not (name and name[0].startswith(("[stack", "[v"))):
                begin, end = (int(address, 16) for address in addresses.split("-"))
                found.append((begin, end, access[1] == "w"))
    return found


def _needed(mappings: list[tuple[int, int, bool]]) -> list[Range]:
    found: list[Range] = []
    with open("/proc/self/pagemap", "rb", buffering=0) as file:
        for begin, end, written in mappings:
            file.seek(begin // PAGE * 8)
            entries = array.array("Q", file.read((end - begin) // PAGE * 8))
            wanted, unwanted = (PRESENT | EXCLUSIVE, OF_FILE) if written else (PRESENT | OF_FILE, 0)
            pages = [
                number for number, entry in enumerate(entries) if entry & wanted == wanted and not entry & unwanted
            ]
            kind = MADV_POPULATE_WRITE if written else MADV_POPULATE_READ
            found += [(kind, begin + first * PAGE, (last - first + 1) * PAGE) for first, last in _runs(pages)]
    return found


def _runs(numbers: list[int]) -> list[tuple[int, int]]:
    """First and last of those that are next to each other."""
    runs: list[tuple[int, int]] = []
    for number in numbers:
        if runs and number - runs[-1][1] == 1:
            runs[-1] = (runs[-1][0], number)
        else:
            runs.append((number, number))
    return runs
