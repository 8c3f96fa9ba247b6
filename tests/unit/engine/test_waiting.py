from __future__ import annotations

import asyncio
import errno
import os

import pytest

from flytelite.engine import waiting


def test_a_step_is_done_again_while_the_disk_refuses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(waiting, "SPACE_SECONDS", 0)
    errors = [errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EIO, errno.ENOSPC]

    async def step() -> str:
        if errors:
            number = errors.pop()
            raise OSError(number, os.strerror(number))
        return "written"

    assert asyncio.run(waiting.until_there_is_space(step)) == "written"
    assert not errors


def test_another_error_is_the_callers() -> None:
    async def step() -> None:
        raise PermissionError(errno.EACCES, "no")

    with pytest.raises(PermissionError):
        asyncio.run(waiting.until_there_is_space(step))
