"""``make bench``: flytelite beside its peers in one table, then the benchmarks of its parts.

Run as ``python tests/benchmarks/bench.py [--quick] [--without-parts] [--without-peers] [--write]``. ``--write`` puts
the table into docs/benchmarks.md. With peers installed (``make bench-peers``) it takes about ten minutes, without
about four.
"""

from __future__ import annotations

import argparse
import signal
import subprocess
import sys
import time
from pathlib import Path

from comparison import edits, floor, flytelite, peers, table
from comparison.figures import Figures

HERE = Path(__file__).parent
FORKED = {"start": 5, "one": 30, "chain": 7, "map": 5, "dag": 1}
SPAWNED = {"start": 1, "one": 5, "chain": 1, "map": 1}
QUICK = {"start": 1, "one": 5, "chain": 2, "map": 1}
EDITS = 10
PART_ARGUMENTS = {"bench_store.py": ["--sizes", "1000", "10000"], "bench_rpc.py": ["--executions", "10000"]}
IN_THE_TABLE = {"bench_task_latency.py"}
"""What the table has too; by itself it is quicker."""


def compare(quick: bool, with_peers: bool) -> list[Figures]:
    """The columns, flytelite's first."""
    seconds = 2.0 if quick else 5.0
    said("flytelite")
    columns = [flytelite.measure("fork", QUICK if quick else FORKED, seconds)]
    said("flytelite run --watch")
    columns[0].samples["edit"] = edits.measure(3 if quick else EDITS)
    said("flytelite with new processes")
    columns.append(flytelite.measure("subprocess", {"one": 2} if quick else SPAWNED, seconds))
    said("pyflyte run")
    columns.append(floor.measure(2 if quick else 5))
    for peer in peers.PEERS if with_peers else ():
        said(peer.name)
        columns.append(peer.measure(seconds, starts=1 if quick else 3))
    return columns


def said(name: str) -> None:
    """Progress, for whoever waits."""
    print(f"{time.strftime('%H:%M:%S')} {name}", file=sys.stderr, flush=True)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="fewer rounds")
    parser.add_argument("--without-peers", action="store_true")
    parser.add_argument("--without-parts", action="store_true", help="only the table")
    parser.add_argument("--write", action="store_true", help="write the table into docs/benchmarks.md")
    arguments = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that the servers are stopped
    began = time.monotonic()
    columns = compare(arguments.quick, not arguments.without_peers)
    text = table.markdown(columns, (time.monotonic() - began) / 60)
    print(text, flush=True)
    if arguments.write:
        table.write(text)
    for script in () if arguments.without_parts else sorted(HERE.glob("bench_*.py")):
        if script.name not in IN_THE_TABLE:
            said(script.name)
            subprocess.run([sys.executable, str(script), *PART_ARGUMENTS.get(script.name, [])], check=True)


if __name__ == "__main__":
    main()
