"""The code that tasks run is moved together, and does what it did."""

from __future__ import annotations

import functools
import gc
import itertools
import json
import mmap
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from types import CodeType, FunctionType

import pytest

from flytelite.engine.executors.fork_server import code_layout, practice, preparation

from ...fresh_process import in_fresh_process

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="fork servers are used on Linux only")


def counter(begin: int) -> Callable[[], int]:
    value = begin

    def count() -> int:
        nonlocal value
        value += 1
        return value

    return count


def kept(function: Callable[..., int]) -> Callable[..., int]:
    @functools.wraps(function)
    def call(*arguments: int, by: int = 2) -> int:
        return function(*arguments) * by

    return call


@kept
def double(number: int) -> int:
    return number


def upwards() -> Iterator[int]:
    yield from range(3)


class Box:
    def __init__(self, content: int) -> None:
        self._content = content

    @property
    def content(self) -> int:
        return self._content


def idle() -> None:
    """Nothing calls it."""


def in_a_thread() -> int:
    return 5


def results() -> list[object]:
    found: list[object] = []
    thread = threading.Thread(target=lambda: found.append(in_a_thread()))
    thread.start()
    thread.join()
    count = counter(5)
    return [*found, count(), count(), double(4), double(4, by=3), list(upwards()), Box(7).content]


def codes() -> dict[str, CodeType]:
    return {one.__name__: one.__code__ for one in (counter, upwards, idle, in_a_thread, Box.content.fget, results)}


def move(result: Path) -> None:
    before, generator, count = codes(), upwards(), counter(1)
    first = next(generator)
    expected = results()
    ran = code_layout.executed(results)
    code_layout.move_together(ran)
    after = codes()
    moved = sorted(name for name in before if after[name] is not before[name])
    inner = [one for code in (before["counter"], after["counter"]) for one in code.co_consts if type(one) is CodeType]
    result.write_text(
        json.dumps(
            {
                "moved": moved,
                "is equal": before == after,
                "inner code too": inner[0] is not inner[1],
                "does what it did": results() == expected,
                "what was begun goes on": [first, *generator, count()],
                "is watched no more": [sys.getprofile(), threading.getprofile()],
                "is frozen": gc.get_freeze_count() > 10_000,
            }
        )
    )


def test_functions_do_what_they_did(tmp_path):
    result = tmp_path / "result"
    assert in_fresh_process(move, result) == 0
    assert json.loads(result.read_text()) == {
        "moved": ["content", "counter", "in_a_thread", "results", "upwards"],
        "is equal": True,
        "inner code too": True,
        "does what it did": True,
        "what was begun goes on": [0, 1, 2, 2],
        "is watched no more": [None, None],
        "is frozen": True,
    }


SMALL = 512
"""Bytes; objects up to that are in pools of their size."""
GAP = 64
"""Bytes that the allocator may have for itself between two objects."""


def pages(places: list[CodeType]) -> int:
    return len(
        {
            page
            for code in places
            for page in range(id(code) // mmap.PAGESIZE, (id(code) + sys.getsizeof(code)) // mmap.PAGESIZE + 1)
        }
    )


def practise(result: Path) -> None:
    prepared = preparation.prepare()
    practice.practise(prepared)
    gc.unfreeze()
    functions = [one.__code__ for one in gc.get_objects() if type(one) is FunctionType]
    before = set(prepared.moved.values())
    after = [code for code in functions if code in before]  # equal, and not the same
    result.write_text(json.dumps([pages(list(before)), pages(after), neighbours(after)]))


def neighbours(codes: list[CodeType]) -> float:
    """The share of those that begin where another one ends; small ones are sorted by their size, and left out."""
    ends = sorted({(id(code), id(code) + sys.getsizeof(code)) for code in codes if sys.getsizeof(code) > SMALL})
    gaps = [begin - end for (_, end), (begin, _) in itertools.pairwise(ends)]
    return sum(gap < GAP for gap in gaps) / len(gaps)


def test_what_flytekit_runs_for_a_task_is_close_together(tmp_path):
    result = tmp_path / "result"
    assert in_fresh_process(practise, result) == 0
    before, after, adjacent = json.loads(result.read_text())
    assert after < before / 2
    assert adjacent > 0.5  # 0.3 to 0.49 where other memory is made between the copies; 0.58 where nothing was compiled
