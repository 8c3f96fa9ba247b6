"""Memory that is copied before it is needed."""

from __future__ import annotations

import ctypes
import errno
import json
import mmap
import os
import resource
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from flytelite.engine.executors.fork_server import rehearsal
from flytelite.engine.executors.fork_server.rehearsal import (
    MADV_POPULATE_WRITE,
    MOST_AT_ONCE,
    PAGE,
    advices,
    copy_ahead,
)

from ...fresh_process import in_fresh_process

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="fork servers are used on Linux only")

PAGES = 1024
PREPARED = range(200, 300)
WRITTEN = range(100, 140)


def written_memory() -> mmap.mmap:
    """Private memory, all of it written to."""
    memory = mmap.mmap(-1, PAGES * PAGE, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
    memory.madvise(mmap.MADV_NOHUGEPAGE)
    write(memory, range(PAGES))
    return memory


def write(memory: mmap.mmap, pages: range) -> None:
    for number in pages:
        memory[number * PAGE] = 1


def faults() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt


def rehearse_and_fork(prepared: range, result: Path) -> None:
    memory = written_memory()
    begin = ctypes.addressof(ctypes.c_char.from_buffer(memory))
    prepare = (lambda: write(memory, prepared)) if prepared else None
    ranges = rehearsal._needed_by(lambda: write(memory, WRITTEN), prepare)
    ours = [(kind, at - begin, length) for kind, at, length in ranges if begin <= at < begin + PAGES * PAGE]
    if os.fork() == 0:
        write(memory, range(1))  # what the loop itself needs
        faults()
        needed = advices((kind, begin + at, length) for kind, at, length in ours)
        before = faults()
        copy_ahead(needed)
        copied = faults()
        write(memory, WRITTEN)
        result.write_text(json.dumps({"ranges": ours, "copied": copied - before, "later": faults() - copied}))
        os._exit(0)
    os.wait()


@pytest.mark.parametrize("prepared", [range(0), PREPARED], ids=["at once", "after its parent has prepared"])
def test_what_one_child_has_written_to_the_next_one_finds_copied(tmp_path, prepared):
    result = tmp_path / "result"
    assert in_fresh_process(rehearse_and_fork, prepared, result) == 0
    found = json.loads(result.read_text())
    assert found["ranges"] == [[MADV_POPULATE_WRITE, WRITTEN.start * PAGE, len(WRITTEN) * PAGE]]
    assert found["copied"] >= len(WRITTEN)
    assert found["later"] < len(WRITTEN) // 2


def all_there() -> None:
    """The interpreter and the system have all that copying at once needs, if this machine's have."""


def no_descriptors() -> None:
    """An interpreter that was built where there was no such call."""
    del os.pidfd_open


def refused_descriptors() -> None:
    """A system that refuses the call, as containers do."""

    def refused(pid: int) -> int:
        raise PermissionError(errno.EPERM, os.strerror(errno.EPERM))

    os.pidfd_open = refused


def refused_at_once() -> None:
    """A system before Linux 6.13."""
    rehearsal._libc.process_madvise = lambda *_: -1


@pytest.mark.parametrize("system", [all_there, no_descriptors, refused_descriptors, refused_at_once])
def test_memory_is_copied_whatever_the_system_has(tmp_path, system):
    result = tmp_path / "result"
    assert in_fresh_process(copy_with_others, [], result, system) == 0
    assert int(result.read_text()) < PAGES // 8


def copy_with_others(others: list[tuple[int, int, int]], result: Path, system: Callable[[], None] = all_there) -> None:
    system()
    memory = written_memory()
    begin = ctypes.addressof(ctypes.c_char.from_buffer(memory))
    every_other = [(MADV_POPULATE_WRITE, begin + number * PAGE, PAGE) for number in range(0, PAGES, 2)]
    needed = advices([*others, *every_other])
    if os.fork() == 0:
        copy_ahead(needed)
        before = faults()
        write(memory, range(0, PAGES, 2))
        result.write_text(str(faults() - before))
        os._exit(0)
    os.wait()


@pytest.mark.parametrize(
    "others",
    [
        [(MADV_POPULATE_WRITE, 0, PAGE)],
        [(MADV_POPULATE_WRITE, number * PAGE, PAGE) for number in range(MOST_AT_ONCE)],
    ],
    ids=["one", "as many as are asked for at once"],
)
def test_memory_that_is_not_there_does_no_harm(tmp_path, others):
    result = tmp_path / "result"
    assert in_fresh_process(copy_with_others, others, result) == 0
    assert int(result.read_text()) < PAGES // 8


def rehearse_in_vain(result: Path) -> None:
    def play():
        raise RuntimeError

    result.write_text(json.dumps(rehearsal._needed_by(play)))


def test_a_rehearsal_that_fails_says_nothing(tmp_path):
    result = tmp_path / "result"
    assert in_fresh_process(rehearse_in_vain, result) == 0
    assert json.loads(result.read_text()) == []
