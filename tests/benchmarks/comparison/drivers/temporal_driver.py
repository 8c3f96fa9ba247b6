"""Temporal: workflows run by a worker beside this client. Prints samples as JSON."""

from __future__ import annotations

import asyncio
import json
import os
import sys
import time
import uuid

from temporal_worker import QUEUE, Chain, One, Spread
from temporalio.client import Client


async def main(rounds: dict, address: str) -> dict:
    client = await Client.connect(address)

    async def run(workflow) -> float:
        begin = time.perf_counter()
        await client.execute_workflow(workflow.run, id=str(uuid.uuid4()), task_queue=QUEUE)
        return time.perf_counter() - begin

    async def rate(at_once: int, seconds: float) -> float:
        begin, ended = time.perf_counter(), []

        async def work() -> None:
            while time.perf_counter() - begin < seconds:
                await run(One)
                ended.append(1)

        await asyncio.gather(*(work() for _ in range(at_once)))
        return len(ended) / (time.perf_counter() - begin)

    samples = {}
    for key, workflow in (("one", One), ("chain", Chain), ("map", Spread)):
        await run(workflow)
        samples[key] = [await run(workflow) for _ in range(rounds[key])]
    for at_once in (2, 8):
        samples[f"rate{at_once}"] = [await rate(at_once, rounds["seconds"])]
    return samples


if __name__ == "__main__":
    print(json.dumps(asyncio.run(main(json.loads(sys.argv[1]), os.environ["TEMPORAL_ADDRESS"]))), flush=True)
    os._exit(0)  # the library's own threads may abort the interpreter's end
