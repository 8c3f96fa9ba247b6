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
import json
import os
import shutil
import signal
import tempfile
from collections.abc import Callable

from . import fork_task
from .fork_prepared import Prepared

MADV_POPULATE_READ, MADV_POPULATE_WRITE = 22, 23
PAGE = os.sysconf("SC_PAGE_SIZE")
PRESENT, OF_FILE, EXCLUSIVE = 1 << 63, 1 << 61, 1 << 56
PLAY_SECONDS = 10
RESOLVER = "flytekit.core.python_auto_container.default_task_resolver"

TASK = """
from flytekit import task

@task
def play(number: int) -> int:
    return number
"""

Range = tuple[int, int, int]
"""Advice, address, length."""


def rehearse(prepared: Prepared) -> list[Range]:
    """What a process that is forked from this one will need of its memory; nothing if that cannot be known."""
    place = tempfile.mkdtemp(prefix="flytelite-")
    try:
        return _needed_by(lambda: _play(prepared, place))
    except (OSError, ValueError):
        return []
    finally:
        shutil.rmtree(place, ignore_errors=True)


def _play(prepared: Prepared, place: str) -> None:
    """Run a task that does next to nothing."""
    from flyteidl.core import literals_pb2

    with open(f"{place}/rehearsal.py", "w", encoding="utf-8") as file:
        file.write(TASK)
    inputs = literals_pb2.LiteralMap()
    inputs.literals["number"].scalar.primitive.integer = 1
    with open(f"{place}/inputs.pb", "wb") as file:
        file.write(inputs.SerializeToString())
    options = {"--inputs": f"{place}/inputs.pb", "--output-prefix": f"{place}/out", "--resolver": RESOLVER}
    options |= {"--raw-output-data-prefix": f"{place}/raw", "--checkpoint-path": f"{place}/raw/c"}
    argv = [f"{place}/pyflyte-execute", *(part for option in options.items() for part in option)]
    argv += ["--", "task-module", "rehearsal", "task-name", "play"]
    env = {**os.environ, "FLYTE_INTERNAL_EXECUTION_ID": "rehearsal", "TMPDIR": place, "PYTHONPATH": place}
    prepared.loop_start()
    fork_task.become(prepared, argv, env, place)
    fork_task.call(prepared, argv)


def _needed_by(play: Callable[[], object]) -> list[Range]:
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
            play()
            with open(writer, "w", encoding="ascii") as file:
                json.dump(_needed(mappings), file)
        finally:
            os._exit(0)
    os.close(writer)
    with open(reader, encoding="ascii") as file:
        said = file.read()
    os.waitpid(child, 0)
    return [(kind, begin, length) for kind, begin, length in json.loads(said or "[]")]


def warm(prepared: Prepared) -> None:
    """Do ahead, in a process that is going to be a task, what each task does alike.

    It copies memory, and starts the loop that flytekit runs beside a task.
    """
    copy_ahead(prepared.needed)
    prepared.loop_start()


def copy_ahead(ranges: list[Range]) -> None:
    """Have the memory that will be needed."""
    advise = _libc.madvise
    for kind, begin, length in ranges:
        advise(begin, length, kind)


_libc = ctypes.CDLL(None)
_libc.madvise.argtypes = (ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int)


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
