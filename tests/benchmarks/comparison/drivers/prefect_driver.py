"""Prefect: flows run in this process against the server that PREFECT_API_URL names. Prints samples as JSON."""

from __future__ import annotations

import json
import sys
import threading
import time

from prefect import flow, task


@task
def step(number: int) -> int:
    return number + 1


@flow
def one() -> int:
    return step(1)


@flow
def chain() -> int:
    number = 1
    for _ in range(10):
        number = step(number)
    return number


@flow
def spread() -> list[int]:
    return step.map(range(100)).result()


def timed(run) -> float:
    begin = time.perf_counter()
    run()
    return time.perf_counter() - begin


def rate(at_once: int, seconds: float) -> float:
    begin, ended = time.perf_counter(), []

    def work() -> None:
        while time.perf_counter() - begin < seconds:
            one()
            ended.append(1)

    threads = [threading.Thread(target=work) for _ in range(at_once)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return len(ended) / (time.perf_counter() - begin)


if __name__ == "__main__":
    rounds = json.loads(sys.argv[1])
    samples = {}
    for key, run in (("one", one), ("chain", chain), ("map", spread)):
        run()
        samples[key] = [timed(run) for _ in range(rounds[key])]
    for at_once in (2, 8):
        samples[f"rate{at_once}"] = [rate(at_once, rounds["seconds"])]
    print(json.dumps(samples))
