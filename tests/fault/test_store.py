"""The store in a process that is really killed, or whose disk is really full."""

from __future__ import annotations

import asyncio
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from flytelite.server.store.interface import Query, TableSchema
from flytelite.server.store.journal import JournalStore

SCHEMA = TableSchema("t")

WRITE_UNTIL_KILLED = """
import asyncio, sys
from pathlib import Path
from flytelite.server.store.interface import TableSchema
from flytelite.server.store.journal import JournalStore

async def one(store, name):
    table, number = store.table(TableSchema("t")), 0
    while True:
        with store.batch():
            table.put(f"{name}/{number}", {"text": "x" * 500})
            table.put(f"{name}/last", {"number": number})
        await store.durable(store.position)
        print(f"{name} {number}", flush=True)
        number += 1

async def main():
    store = JournalStore.open(Path(sys.argv[1]), segment_bytes=100_000)
    await asyncio.gather(*(one(store, name) for name in "abcd"))

asyncio.run(main())
"""

FILL_THE_DISK = """
import asyncio, resource, sys
from pathlib import Path
from flytelite.errors import ResourceExhausted
from flytelite.server.store.interface import TableSchema
from flytelite.server.store.journal import JournalStore

async def main():
    store = JournalStore.open(Path(sys.argv[1]))
    table, number = store.table(TableSchema("t")), 0
    resource.setrlimit(resource.RLIMIT_FSIZE, (10_000, resource.RLIM_INFINITY))
    while True:
        table.put(str(number), {"text": "x" * 700})
        try:
            await store.durable()
        except ResourceExhausted as error:
            print(error, flush=True)
            break
        number += 1
    assert number > 5 and table.get("0") == {"text": "x" * 700}
    resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
    await store.durable()
    print(number + 1, flush=True)
    await store.close()

asyncio.run(main())
"""


@pytest.mark.parametrize("kill_after", [1, 40, 400])
def test_what_was_acknowledged_survives_a_kill(tmp_path: Path, kill_after: int) -> None:
    child = subprocess.Popen([sys.executable, "-c", WRITE_UNTIL_KILLED, tmp_path], stdout=subprocess.PIPE, text=True)
    assert child.stdout is not None
    acknowledged = {}
    for _ in range(kill_after):
        name, number = child.stdout.readline().split()
        acknowledged[name] = int(number)
    child.send_signal(signal.SIGKILL)
    for line in child.stdout:
        if line.endswith("\n"):
            name, number = line.split()
            acknowledged[name] = int(number)
    child.wait()

    store = JournalStore.open(tmp_path)
    table = store.table(SCHEMA)
    assert not store.damages
    for name, number in acknowledged.items():
        assert table.get(f"{name}/{number}") == {"text": "x" * 500}
        last = table.get(f"{name}/last")
        assert last is not None
        assert last["number"] >= number
        assert f"{name}/{last['number']}" in table, "a batch is there whole or not at all"
    asyncio.run(store.close())


def test_a_full_disk_refuses_and_recovers(tmp_path: Path) -> None:
    result = subprocess.run(
        [sys.executable, "-c", FILL_THE_DISK, tmp_path], capture_output=True, text=True, check=False, timeout=60
    )
    assert result.returncode == 0, result.stderr
    refusal, count = result.stdout.splitlines()
    assert "File too large; free some space" in refusal
    store = JournalStore.open(tmp_path)
    assert len(store.table(SCHEMA).keys(Query())) == int(count)
    asyncio.run(store.close())
