from __future__ import annotations

import asyncio
import functools
from pathlib import Path

import pytest

from flytelite.server import file_log
from flytelite.server.file_log import FILES, FileLog
from flytelite.server.store.interface import Query
from flytelite.server.store.memory import MemoryStore

EXECUTION = "flytesnacks/development/one"


def on_a_loop(test):
    @functools.wraps(test)
    def run(**fixtures):
        asyncio.run(test(**fixtures))

    return run


def written(root: Path, name: str, content: bytes) -> dict[Path, bytes]:
    path = root / "n0" / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    return {path: content}


async def after_a_power_cut(store: MemoryStore, root: Path, monkeypatch: pytest.MonkeyPatch, spoil) -> int:
    """How many files the next start writes again when ``spoil`` is what became of them."""
    first = FileLog(store, root)
    first.add(EXECUTION, written(root, "inputs.pb", b"in") | written(root, "outputs.pb", b"out"))
    await first.close()
    spoil()
    monkeypatch.setattr(file_log, "boot_id", lambda: "another boot")
    return FileLog(store, root).restore({EXECUTION})


@pytest.mark.parametrize("left", [None, b"", b"\0\0\0", b"other"])
@on_a_loop
async def test_what_a_power_cut_cost_is_written_again(tmp_path, monkeypatch, left) -> None:
    path = tmp_path / "n0" / "outputs.pb"

    def spoil() -> None:
        path.unlink()
        if left is not None:
            path.write_bytes(left)

    store = MemoryStore()
    assert await after_a_power_cut(store, tmp_path, monkeypatch, spoil) == 1
    assert path.read_bytes() == b"out"
    assert len(store.table(FILES)) == 0


@on_a_loop
async def test_directories_that_a_power_cut_cost_are_made_again(tmp_path, monkeypatch) -> None:
    def spoil() -> None:
        for path in (tmp_path / "n0").iterdir():
            path.unlink()
        (tmp_path / "n0").rmdir()

    assert await after_a_power_cut(MemoryStore(), tmp_path, monkeypatch, spoil) == 2
    assert (tmp_path / "n0" / "inputs.pb").read_bytes() == b"in"


@on_a_loop
async def test_files_of_executions_that_are_gone_stay_gone(tmp_path, monkeypatch) -> None:
    store = MemoryStore()
    first = FileLog(store, tmp_path)
    first.add(EXECUTION, {tmp_path / "n0" / "outputs.pb": b"out"})
    await first.close()
    monkeypatch.setattr(file_log, "boot_id", lambda: "another boot")
    assert FileLog(store, tmp_path).restore(set()) == 0
    assert not (tmp_path / "n0").exists()
    assert len(store.table(FILES)) == 0


@on_a_loop
async def test_what_only_the_process_did_not_survive_is_left_alone(tmp_path) -> None:
    store = MemoryStore()
    first = FileLog(store, tmp_path)
    first.add(EXECUTION, written(tmp_path, "outputs.pb", b"out"))
    await first.close()
    (tmp_path / "n0" / "outputs.pb").write_bytes(b"newer")
    second = FileLog(store, tmp_path)
    assert second.restore({EXECUTION}) == 0
    assert (tmp_path / "n0" / "outputs.pb").read_bytes() == b"newer"
    second.add(EXECUTION, {})
    assert store.table(FILES).keys(Query()) == [f"{EXECUTION}/1", f"{EXECUTION}/2"]
    await second.close()


@on_a_loop
async def test_a_file_that_the_disk_refuses_is_tried_at_the_next_start(tmp_path, monkeypatch) -> None:
    def spoil() -> None:
        (tmp_path / "n0" / "outputs.pb").unlink()
        (tmp_path / "n0" / "outputs.pb").mkdir()

    store = MemoryStore()
    assert await after_a_power_cut(store, tmp_path, monkeypatch, spoil) == 0
    assert len(store.table(FILES)) == 1
    (tmp_path / "n0" / "outputs.pb").rmdir()
    assert FileLog(store, tmp_path).restore({EXECUTION}) == 1


@on_a_loop
async def test_what_is_on_disk_is_forgotten(tmp_path, monkeypatch) -> None:
    monkeypatch.setattr(file_log, "SETTLE_SECONDS", 0.0)
    store = MemoryStore()
    log = FileLog(store, tmp_path)
    for number in range(2 * file_log.AT_ONCE + 1):
        log.add(EXECUTION, {tmp_path / str(number): b""})
    async with asyncio.timeout(60):
        await log.settled()
    assert len(store.table(FILES)) == 0
    log.add(EXECUTION, {tmp_path / "more": b""})
    async with asyncio.timeout(60):
        await log.settled()
    assert len(store.table(FILES)) == 0


@on_a_loop
async def test_many_do_not_wait_for_the_time(tmp_path, monkeypatch) -> None:
    monkeypatch.setattr(file_log, "MANY", 3)
    log = FileLog(store := MemoryStore(), tmp_path)
    for number in range(3):
        log.add(EXECUTION, {tmp_path / str(number): b""})
    async with asyncio.timeout(60):
        await log.settled()
    assert len(store.table(FILES)) == 0
