"""What this machine, or the container that the server runs in, has: cores, memory, graphics processors."""

from __future__ import annotations

import os
from fractions import Fraction
from pathlib import Path

from flytelite.engine.admission import Machine

CGROUP = Path("/sys/fs/cgroup")
NVIDIA = Path("/proc/driver/nvidia/gpus")


def this_machine(cgroup: Path = CGROUP, nvidia: Path = NVIDIA) -> Machine:
    """What there is for tasks. A control group's limits count when they are lower than the machine's."""
    return Machine(_cpu(cgroup), _memory(cgroup), _gpus(nvidia))


def _cpu(cgroup: Path) -> Fraction:
    cores = Fraction(len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1)
    quota, _, period = _read(cgroup / "cpu.max").partition(" ")
    if quota.isdigit() and period.isdigit() and int(period):
        cores = min(cores, Fraction(int(quota), int(period)))
    return cores


def _memory(cgroup: Path) -> Fraction:
    total = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    limit = _read(cgroup / "memory.max")
    return Fraction(min(total, int(limit)) if limit.isdigit() else total)


def _gpus(nvidia: Path) -> int:
    try:
        return len(list(nvidia.iterdir()))
    except OSError:
        return 0


def _read(path: Path) -> str:
    try:
        return path.read_text().strip()
    except OSError:
        return ""
