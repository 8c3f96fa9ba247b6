"""Memory that is copied before it is needed."""

from __future__ import annotations

import ctypes
import json
import mmap
import os
import resource
import sys
from pathlib import Path

import pytest

from flytelite.engine.executors import fork_rehearsal
from flytelite.engine.executors.fork_rehearsal import MADV_POPULATE_WRITE, PAGE, copy_ahead

from ..fresh_process import in_fresh_process

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="fork servers are used on Linux only")

PAGES = 1024
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


def rehearse_and_fork(result: Path) -> None:
    memory = written_memory()
    begin = ctypes.addressof(ctypes.c_char.from_buffer(memory))
    ranges = fork_rehearsal._needed_by(lambda: write(memory, WRITTEN))
    ours = [(kind, at - begin, length) for kind, at, length in ranges if begin <= at < begin + PAGES * PAGE]
    if os.fork() == 0:
        write(memory, range(1))  # what the loop itself needs
        faults()
        before = faults()
        copy_ahead([(kind, begin + at, length) for kind, at, length in ours])
        copied = faults()
        write(memory, WRITTEN)
        result.write_text(json.dumps({"ranges": ours, "copied": copied - before, "later": faults() - copied}))
        os._exit(0)
    os.wait()


def test_what_one_child_has_written_to_the_next_one_finds_copied(tmp_path):
    result = tmp_path / "result"
    assert in_fresh_process(rehearse_and_fork, result) == 0
    found = json.loads(result.read_text())
    assert found["ranges"] == [[MADV_POPULATE_WRITE, WRITTEN.start * PAGE, len(WRITTEN) * PAGE]]
    assert found["copied"] >= len(WRITTEN)
    assert found["later"] < len(WRITTEN) // 2


def rehearse_in_vain(result: Path) -> None:
    def play():
        raise RuntimeError

    result.write_text(json.dumps(fork_rehearsal._needed_by(play)))


def test_a_rehearsal_that_fails_says_nothing(tmp_path):
    result = tmp_path / "result"
    assert in_fresh_process(rehearse_in_vain, result) == 0
    assert json.loads(result.read_text()) == []


def test_memory_that_is_not_there_does_no_harm():
    copy_ahead([(MADV_POPULATE_WRITE, 0, PAGE)])
