"""Waiting for what must be before anybody goes on: the end of tasks, whoever cancels, and what the machine lacks."""

from __future__ import annotations

import asyncio
import errno
import logging
import shutil
from collections.abc import Awaitable, Callable, Collection
from typing import Any, TypeVar

T = TypeVar("T")

SPACE_SECONDS = 1.0
"""How often a machine that refuses is tried again: nothing tells when there is space."""

_REFUSALS = frozenset(
    {
        *(errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EIO),
        *(errno.EMFILE, errno.ENFILE, errno.EAGAIN, errno.ENOMEM),  # what others hold, who will end
    }
)
_REFUSED = tuple(f"[Errno {number}]" for number in _REFUSALS)

logger = logging.getLogger(__name__)


def is_refusal(error: OSError) -> bool:
    """Whether the machine itself refused: the disk is full, read-only or fails, or no more files or processes are to
    be had. That is no fault of what was written."""
    if isinstance(error, shutil.Error) and isinstance(error.args[0], list):  # of a tree, with the text of each error
        return any(str(reason).startswith(_REFUSED) for _, _, reason in error.args[0])
    return error.errno in _REFUSALS or (error.errno is None and str(error).startswith(_REFUSED))  # told by a waiter


async def until_there_is_space(step: Callable[[], Awaitable[T]]) -> T:
    """The result of the step, which is begun anew for as long as the machine refuses: an execution waits for it."""
    waiting = False
    while True:
        try:
            return await step()
        except OSError as error:
            if not is_refusal(error):
                raise
            if not waiting:
                logger.warning("an execution waits, for the machine refuses: %s", error)
            waiting = True
        await asyncio.sleep(SPACE_SECONDS)


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
