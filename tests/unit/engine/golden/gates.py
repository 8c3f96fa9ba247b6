"""What the golden sequences of gates run."""

from datetime import timedelta

from flytekit import approve, sleep, task, wait_for_input, workflow


@task
def one() -> int:
    return 1


@workflow
def approved() -> int:
    return approve(one(), "sure", timeout=timedelta(hours=1))


@workflow
def given() -> int:
    return wait_for_input("number", timeout=timedelta(hours=1), expected_type=int)


@workflow
def hurried() -> int:
    return wait_for_input("number", timeout=timedelta(seconds=1), expected_type=int)


@workflow
def asleep() -> None:
    sleep(timedelta(milliseconds=20))


@workflow
def overslept() -> None:
    sleep(timedelta(hours=1))
