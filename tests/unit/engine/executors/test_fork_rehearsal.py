"""Memory that is copied before it is needed."""

from __future__ import annotations

import ctypes
import mmap
import os
import resource
import sys

import pytest

from flytelite.engine.executors import fork_rehearsal
from flytelite.engine.executors.fork_rehearsal import MADV_POPULATE_WRITE, PAGE, copy_ahead

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="fork servers are used on Linux only")

PAGES = 1024
WRITTEN = range(100, 140)


@pytest.fixture
def memory():
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


def test_what_one_child_has_written_to_the_next_one_finds_copied(memory):
    begin = ctypes.addressof(ctypes.c_char.from_buffer(memory))
    ranges = fork_rehearsal._needed_by(lambda: write(memory, WRITTEN))
    ours = [one for one in ranges if begin <= one[1] < begin + PAGES * PAGE]
    assert ours == [(MADV_POPULATE_WRITE, begin + WRITTEN.start * PAGE, len(WRITTEN) * PAGE)]

    reader, writer = os.pipe()
    if os.fork() == 0:
        try:
            write(memory, range(1))  # what the loop itself needs
            faults()
            before = faults()
            copy_ahead(ours)
            copied = faults()
            write(memory, WRITTEN)
            os.write(writer, f"{copied - before} {faults() - copied}".encode())
        finally:
            os._exit(0)
    os.wait()
    copied, later = map(int, os.read(reader, 100).split())
    assert copied >= len(WRITTEN)
    assert later < len(WRITTEN) // 2


def test_a_rehearsal_that_fails_says_nothing(memory):
    def play():
        raise RuntimeError

    assert fork_rehearsal._needed_by(play) == []


def test_memory_that_is_not_there_does_no_harm():
    copy_ahead([(MADV_POPULATE_WRITE, 0, PAGE)])
