"""The engine's files on a disk that fails."""

from __future__ import annotations

import errno
import os
import resource
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from flytelite.engine import data


class Faults:
    """Lets one of the calls that write fail, the ``at``-th; a write may have done half of its work then."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, at: int, number: int) -> None:
        self.calls = 0
        self.at, self.number = at, number
        for owner, name in ((os, "open"), (os, "fsync"), (os, "mkdir"), (Path, "replace")):
            monkeypatch.setattr(owner, name, self._failing(getattr(owner, name)))

    def _failing(self, original: Callable[..., Any]) -> Callable[..., Any]:
        def call(*arguments: Any, **named: Any) -> Any:
            self.calls += 1
            if self.calls == self.at:
                raise OSError(self.number, os.strerror(self.number))
            return original(*arguments, **named)

        return call


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EIO, errno.EROFS])
@pytest.mark.parametrize("old", [b"old", None])
def test_a_file_is_old_or_new_whatever_fails(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int, old: bytes | None
) -> None:
    at = 0
    while True:
        at += 1
        path = tmp_path / str(at) / "outputs.pb"
        if old is not None:
            data.write_bytes(path, old)
        with monkeypatch.context() as patched:
            faults = Faults(patched, at, number)
            try:
                data.write_bytes(path, b"new")
            except OSError as error:
                assert error.errno == number
        assert not path.exists() or path.read_bytes() in (old, b"new")
        assert old is None or path.exists()
        assert list(path.parent.glob(".*")) == [], "nothing is left in the making"
        data.write_bytes(path, b"again")
        assert path.read_bytes() == b"again"
        if faults.calls < at:
            break
    assert at > 4


def test_half_a_write_changes_nothing(tmp_path: Path) -> None:
    path = tmp_path / "outputs.pb"
    data.write_bytes(path, b"old")
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (10_000, limits[1]))
    try:
        with pytest.raises(OSError, match="File too large"):
            data.write_bytes(path, b"new" * 100_000)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]
