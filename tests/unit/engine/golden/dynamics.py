"""What the golden sequences of dynamic tasks run."""

from pathlib import Path

from flytekit import dynamic, task, workflow
from flytekit.exceptions.user import FlyteRecoverableException


@task
def square(n: int) -> int:
    if n < 0:
        raise ValueError("negative")
    return n * n


@workflow
def inner(n: int) -> int:
    return square(n=n)


@dynamic
def once(n: int) -> int:
    return square(n=n)


@workflow
def once_wf(n: int) -> int:
    return once(n=n)


@dynamic
def below(n: int) -> int:
    return inner(n=n)


@workflow
def below_wf(n: int) -> int:
    return below(n=n)


@dynamic
def plain(n: int) -> int:
    return n


@workflow
def plain_wf(n: int) -> int:
    return plain(n=n)


@dynamic(retries=2)
def hopeless(n: int) -> int:
    return square(n=n)


@workflow
def hopeless_wf(n: int) -> int:
    return hopeless(n=n)


@dynamic(retries=1)
def flaky(place: str) -> int:
    if not Path(place, "tried").exists():
        Path(place, "tried").touch()
        raise FlyteRecoverableException("not yet")
    return square(n=2)


@workflow
def flaky_wf(place: str) -> int:
    return flaky(place=place)


@dynamic(cache=True, cache_version="1")
def kept(n: int) -> int:
    return square(n=n)


@workflow
def kept_wf(n: int) -> int:
    return kept(n=n)
