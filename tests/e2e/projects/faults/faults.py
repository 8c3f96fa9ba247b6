"""Workflows that fail, each in its own way."""

from __future__ import annotations

import sys
from pathlib import Path

from flytekit import current_context, task, workflow
from flytekit.exceptions.user import FlyteRecoverableException


@task
def divide(value: int) -> int:
    print(f"dividing by {value}")
    print("a warning", file=sys.stderr)
    return 1 // value


@task
def double(value: int) -> int:
    return value * 2


@workflow
def dividing(value: int) -> int:
    return divide(value=double(value=value))


@task(retries=2)
def never_ready(value: int) -> int:
    if value > 0:
        raise FlyteRecoverableException(f"not ready for {value} yet")
    return value


@workflow
def retrying(value: int) -> int:
    return never_ready(value=value)


@task(retries=2)
def soon_ready(value: int) -> str:
    checkpoint = current_context().checkpoint
    seen = int((checkpoint.read() or b"0").decode())
    checkpoint.write(str(seen + 1).encode())
    if seen < value:
        raise FlyteRecoverableException(f"only {seen} of {value}")
    return f"ready after {seen}"


@workflow
def recovering(value: int = 1) -> str:
    return soon_ready(value=value)


@task
def leave(value: int) -> int:
    if value > 0:
        sys.exit(value)
    return value


@workflow
def leaving(value: int) -> int:
    return leave(value=value)


@task
def prepare(place: str) -> int:
    with (Path(place) / "ledger").open("a") as ledger:
        ledger.write("prepared\n")
    return 20


@task
def complete(place: str, prepared: int) -> int:
    return prepared + int((Path(place) / "missing").read_text())


@workflow
def unprepared(place: str) -> int:
    return complete(place=place, prepared=prepare(place=place))
