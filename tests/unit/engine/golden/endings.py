"""What the golden sequences of failing, skipping and recovering run."""

import sys
from pathlib import Path

from flytekit import WorkflowFailurePolicy, task, workflow
from flytekit.types.error.error import FlyteError


@task
def one() -> int:
    return 1


@task
def broken(n: int) -> int:
    if sys:
        raise ValueError("broken")
    return n


@task
def add(a: int, b: int) -> int:
    return a + b


@workflow(failure_policy=WorkflowFailurePolicy.FAIL_AFTER_EXECUTABLE_NODES_COMPLETE)
def lenient() -> int:
    return add(a=one(), b=broken(n=1))


@task
def clean(n: int, err: FlyteError | None = None) -> None: ...


@workflow(on_failure=clean)
def handled(n: int) -> int:
    return broken(n=n)


@workflow
def outer(n: int) -> int:
    return handled(n=n)


@task
def clean_badly(n: int, err: FlyteError | None = None) -> None:
    raise RuntimeError("cannot clean")


@workflow(on_failure=clean_badly)
def badly_handled(n: int) -> int:
    return broken(n=n)


@task
def prepared(place: str, n: int) -> int:
    if not Path(place, "ready").exists():
        raise ValueError("not ready")
    return n


@workflow
def two_steps(place: str) -> int:
    return prepared(place=place, n=one())
