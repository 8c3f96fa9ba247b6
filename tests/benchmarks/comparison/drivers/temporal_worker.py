"""Temporal's worker: activities in threads of one process."""

from __future__ import annotations

import asyncio
import sys
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

from temporalio import activity, workflow
from temporalio.client import Client
from temporalio.worker import Worker

QUEUE = "benchmark"
LIMIT = timedelta(seconds=60)


@activity.defn
def step(number: int) -> int:
    return number + 1


@workflow.defn
class One:
    @workflow.run
    async def run(self) -> int:
        return await workflow.execute_activity(step, 1, start_to_close_timeout=LIMIT)


@workflow.defn
class Chain:
    @workflow.run
    async def run(self) -> int:
        number = 1
        for _ in range(10):
            number = await workflow.execute_activity(step, number, start_to_close_timeout=LIMIT)
        return number


@workflow.defn
class Spread:
    @workflow.run
    async def run(self) -> list[int]:
        calls = [workflow.execute_activity(step, number, start_to_close_timeout=LIMIT) for number in range(100)]
        return list(await asyncio.gather(*calls))


async def main(address: str) -> None:
    client = await Client.connect(address)
    with ThreadPoolExecutor(100) as threads:
        worker = Worker(
            client,
            task_queue=QUEUE,
            workflows=[One, Chain, Spread],
            activities=[step],
            activity_executor=threads,
        )
        await worker.run()


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1]))
