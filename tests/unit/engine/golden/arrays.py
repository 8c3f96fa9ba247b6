"""What the golden sequences of map tasks run."""

import functools
import time
from pathlib import Path

from flytekit import map_task, task, workflow
from flytekit.exceptions.user import FlyteRecoverableException


@task
def square(n: int) -> int:
    if n < 0:
        raise ValueError("negative")
    return n * n


@workflow
def mapped(ns: list[int]) -> list[int]:
    return map_task(square)(n=ns)


@workflow
def tolerant(ns: list[int]) -> list[int | None]:
    return map_task(square, min_success_ratio=0.5)(n=ns)


@task(retries=1)
def flaky(n: int, place: str) -> int:
    if n == 1 and not Path(place, "tried").exists():
        Path(place, "tried").touch()
        raise FlyteRecoverableException("not yet")
    return n


@workflow
def flaky_wf(ns: list[int], place: str) -> list[int]:
    return map_task(functools.partial(flaky, place=place))(n=ns)


@task(cache=True, cache_version="1")
def kept(n: int) -> int:
    return n


@workflow
def kept_wf(ns: list[int]) -> list[int]:
    return map_task(kept)(n=ns)


@task
def hold(n: int, place: str) -> int:
    while n and not Path(place, "go").exists():
        time.sleep(0.01)
    return n


@workflow
def hold_wf(ns: list[int], place: str) -> list[int]:
    return map_task(functools.partial(hold, place=place), concurrency=2)(n=ns)
