from __future__ import annotations

import asyncio
import re
from pathlib import Path

import pytest

from flytelite.cli.application import run
from flytelite.server.store.interface import TableSchema
from flytelite.server.store.journal import JournalStore


def fill(data_dir: Path) -> Path:
    """A data directory with a store of three entries and a file; returns the segment."""

    async def scenario() -> None:
        store = JournalStore.open(data_dir / "store")
        for key in "abc":
            store.table(TableSchema("notes")).put(key, {"value": key})
            await store.durable()
        await store.close()

    asyncio.run(scenario())
    bucket = data_dir / "my-s3-bucket"
    bucket.mkdir()
    (bucket / "file").write_text("kept")
    (data_dir / "server.json").write_text("{}")
    return next((data_dir / "store").glob("journal-*"))


def damage(segment: Path) -> None:
    segment.write_bytes(segment.read_bytes().replace(b'"value":"b"', b'"value":"#"'))


def test_a_sound_directory(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    fill(tmp_path / "data")
    assert run(["doctor", "--data-dir", str(tmp_path / "data"), "--repair", str(tmp_path / "new")]) == 0
    told = capsys.readouterr().out
    assert ": 1 segment, 3 lines, 3 changes, last entry 3\nnothing is damaged\n" in told
    assert told.endswith(f"so there is nothing to repair, and {tmp_path / 'new'} was not made\n")
    assert not (tmp_path / "new").exists()


def test_damage_is_explained_and_salvaged(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    data, new = tmp_path / "data", tmp_path / "new"
    segment = fill(data)
    damage(segment)
    spoiled = segment.read_bytes()
    assert run(["doctor", "--data-dir", str(data)]) == 1
    told = capsys.readouterr().out
    offset = spoiled.index(b'{"entry":2')
    assert f"damaged: {segment} at byte {offset} (" in told
    assert "notes b: lost" in told
    assert f"flytelite doctor --data-dir {data} --repair NEW_DIR" in told

    assert run(["doctor", "--data-dir", str(data), "--repair", str(new)]) == 0
    assert f"salvaged 2 entries and all other files to {new}" in capsys.readouterr().out
    assert segment.read_bytes() == spoiled
    assert sorted(path.name for path in new.iterdir()) == ["my-s3-bucket", "store"]
    assert (new / "my-s3-bucket" / "file").read_text() == "kept"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["data", "new"]
    store = JournalStore.open(new / "store")
    assert [key in store.table(TableSchema("notes")) for key in "abc"] == [True, False, True]
    asyncio.run(store.close())


@pytest.mark.parametrize("name", ["journal-000000009999.jsonl", "journal-000000000001-000000000003.jsonl"])
def test_a_directory_in_the_place_of_a_segment(name: str, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    store = fill(tmp_path / "data").parent
    (store / name).mkdir()
    for *command, code in (["doctor", 1], ["doctor", "--repair", str(tmp_path / "new"), 1], ["up", "--port", "0", 3]):
        assert run([*map(str, command), "--data-dir", str(tmp_path / "data")]) == code
        told = capfd.readouterr().err
        assert re.fullmatch(rf"flytelite: .*{re.escape(str(store / name))}.*: Is a directory\n", told), told
    assert not (tmp_path / "new").exists()


def test_directories_that_only_look_like_leftovers(tmp_path: Path) -> None:
    store = fill(tmp_path / "data").parent
    for name in ("old.tmp", "old.contents"):
        (store / name).mkdir()
    asyncio.run(JournalStore.open(store).close())
    assert (store / "old.tmp").is_dir()
    assert (store / "old.contents").is_dir()


def test_what_doctor_refuses(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    data = tmp_path / "data"
    assert run(["doctor", "--data-dir", str(data)]) == 1
    assert f"there is no store in {data / 'store'}; name the data directory" in capsys.readouterr().err
    damage(fill(data))
    for used, reason in ((data / "new", "name a directory outside"), (tmp_path, "--repair makes a new directory")):
        assert run(["doctor", "--data-dir", str(data), "--repair", str(used)]) == 2
        assert reason in capsys.readouterr().err
    store = JournalStore.open(data / "store")
    assert run(["doctor", "--data-dir", str(data)]) == 1
    assert "is in use by process" in capsys.readouterr().err
    asyncio.run(store.close())
