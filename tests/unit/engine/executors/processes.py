"""Processes as tests look at them, through /proc."""

from __future__ import annotations

from pathlib import Path

from flytelite.engine.executors import shim
from flytelite.engine.executors.attempt import read_record


def alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


def below(pid: int) -> list[int]:
    return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def is_forked(bench) -> bool:
    """Whether the task's waiter is a fork server's child rather than a shim of its own; asked while it runs."""
    pid = int(read_record(bench.directory / shim.PROCESS)["pid"])
    return "fork_server" in Path(f"/proc/{pid}/cmdline").read_text()
