"""Waiting that a cancellation does not cut short: for what must have ended before anybody goes on."""

from __future__ import annotations

import asyncio
from collections.abc import Collection
from typing import Any, TypeVar

T = TypeVar("T")


async def persistently(future: asyncio.Future[T]) -> T:
    """The future's result. Cancellations that come meanwhile are dropped: the caller is being cancelled already."""
    while not future.done():
        try:
            await asyncio.wait([future])
        except asyncio.CancelledError:
            continue
    return future.result()


async def end_all(tasks: Collection[asyncio.Task[Any]]) -> None:
    """Cancel the tasks and return when all of them have ended."""
    for task in tasks:
        task.cancel()
    while waiting := [task for task in tasks if not task.done()]:
        try:
            await asyncio.wait(waiting)
        except asyncio.CancelledError:
            continue  # the tasks are ending: there is nothing to do but to wait
