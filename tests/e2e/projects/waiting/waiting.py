"""Tasks that tell a test that they have begun, and end when the test (or their neighbour) lets them.

They meet at plain paths on this machine, given as inputs: a task says "here I am" by a file, and waits for another.
"""

from __future__ import annotations

import os
import time
from pathlib import Path

from flytekit import task, workflow

DEADLINE = 60.0


def await_file(path: Path) -> None:
    deadline = time.monotonic() + DEADLINE
    while not path.exists():
        if time.monotonic() > deadline:
            raise TimeoutError(f"{path} did not appear in {DEADLINE} s")
        time.sleep(0.01)


@task
def tell_apart(own: str, other: str, place: str) -> str:
    """Write ./note.txt, wait until the other attempt has written its own, and read ./note.txt again."""
    Path("note.txt").write_text(own)
    (Path(place) / own).touch()
    await_file(Path(place) / other)
    return Path("note.txt").read_text()


@workflow
def two_at_once(place: str) -> tuple[str, str]:
    first = tell_apart(own="first", other="second", place=place)
    second = tell_apart(own="second", other="first", place=place)
    return first, second


@task
def linger(name: str, place: str) -> int:
    """Note the attempt's process in <name>.begun, one line each, and end when <name>.go exists."""
    with (Path(place) / f"{name}.begun").open("a") as ledger:
        ledger.write(f"{os.getpid()}\n")
    await_file(Path(place) / f"{name}.go")
    return len((Path(place) / f"{name}.begun").read_text().splitlines())


@task
def add(a: int, b: int) -> int:
    return a + b


@workflow
def lingering(place: str) -> int:
    return add(a=linger(name="one", place=place), b=linger(name="two", place=place))


@workflow
def lingering_once(place: str) -> int:
    return linger(name="one", place=place)
