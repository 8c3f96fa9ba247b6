"""Whether the system has ended processes for want of memory: what tells such an end from other kills."""

from __future__ import annotations

from pathlib import Path

VMSTAT = Path("/proc/vmstat")


class MemoryWatch:
    """Counts the system's kills. What it killed is not known: any death by SIGKILL since may have been one of them."""

    def __init__(self) -> None:
        self._seen = kills()

    def ran_out(self) -> bool:
        """Whether there were kills since the last time somebody asked."""
        before, self._seen = self._seen, kills()
        return self._seen > before


def kills() -> int:
    """How many processes of this machine the system has ended for want of memory; 0 where it does not say."""
    try:
        lines = VMSTAT.read_text().splitlines()
    except OSError:
        return 0
    return next((int(line.split()[1]) for line in lines if line.startswith("oom_kill ")), 0)
