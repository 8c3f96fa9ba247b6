"""What the golden sequences of task nodes run. `place` is the scenario's own directory."""

import sys
import time
from datetime import timedelta
from pathlib import Path

from flytekit import Deck, task, workflow
from flytekit.exceptions.user import FlyteRecoverableException


def wait_for(place: str, name: str) -> None:
    while not Path(place, name).exists():
        time.sleep(0.01)


@task
def square(n: int) -> int:
    return n * n


@workflow
def task_wf(n: int) -> int:
    return square(n=n)


@task
def silent() -> None: ...


@workflow
def silent_wf() -> None:
    silent()


@task(cache=True, cache_version="1")
def kept(n: int) -> int:
    return n * n


@workflow
def kept_wf(n: int) -> int:
    return kept(n=n)


@task(cache=True, cache_version="1", cache_serialize=True)
def guarded(place: str) -> int:
    wait_for(place, "go")
    return 1


@workflow
def guarded_wf(place: str) -> int:
    return guarded(place=place)


@task(retries=1)
def flaky(place: str) -> int:
    if not Path(place, "tried").exists():
        Path(place, "tried").touch()
        raise FlyteRecoverableException("not yet")
    return 1


@workflow
def flaky_wf(place: str) -> int:
    return flaky(place=place)


@task(retries=1)
def never() -> int:
    if sys:
        raise FlyteRecoverableException("never")
    return 1


@workflow
def never_wf() -> int:
    return never()


@task(retries=3)
def broken() -> int:
    if sys:
        raise ValueError("broken")
    return 1


@workflow
def broken_wf() -> int:
    return broken()


@task
def leave() -> int:
    if sys:
        sys.exit(3)
    return 1


@workflow
def leave_wf() -> int:
    return leave()


@task(timeout=timedelta(seconds=5))
def slow() -> int:
    time.sleep(60)
    return 1


@workflow
def slow_wf() -> int:
    return slow()


@task(timeout=timedelta(seconds=5), retries=1)
def slower() -> int:
    time.sleep(60)
    return 1


@workflow
def slower_wf() -> int:
    return slower()


@task
def hold(place: str) -> int:
    Path(place, "begun").touch()
    wait_for(place, "go")
    return 1


@workflow
def hold_wf(place: str) -> int:
    return square(n=hold(place=place))


@task(enable_deck=True)
def shown() -> int:
    Deck("mine", "hello")
    return 1


@workflow
def shown_wf() -> int:
    return shown()


@task(interruptible=True)
def preemptible() -> int:
    return 1


@workflow
def preemptible_wf() -> int:
    return preemptible()


@task(enable_deck=True, cache=True, cache_version="1")
def drawn() -> int:
    Deck("mine", "hello")
    return 1


@workflow
def drawn_wf() -> int:
    return drawn()
