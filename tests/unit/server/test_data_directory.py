"""Which directories can be a server's data directory."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from flytelite import config
from flytelite.errors import FailedPrecondition
from flytelite.server.data_directory import DataDirectory


def directory(tmp_path: Path, name: str) -> DataDirectory:
    return DataDirectory(config.load({"data_dir": tmp_path / name / "data"}, {}, tmp_path))


@pytest.mark.parametrize("name", ["feature%2Fone", "a*b", "really?", "[old]", "a::b"])
def test_a_path_that_flytekit_reads_otherwise_is_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(FailedPrecondition, match="something else; choose another with --data-dir"):
        directory(tmp_path, name).prepare()
    assert not (tmp_path / name).exists()


@pytest.mark.parametrize("name", ["100%", "a+b&c=d", "#1", "it's", "{x}", "a:b,c", "日本 ü", "-x"])
def test_all_other_paths_are_only_themselves(tmp_path: Path, name: str) -> None:
    directory(tmp_path, name).prepare()
    assert (tmp_path / name / "data" / ".gitignore").exists()


def test_a_path_that_is_no_text_is_refused(tmp_path: Path) -> None:
    with pytest.raises(FailedPrecondition, match="no UTF-8"):
        directory(tmp_path, os.fsdecode(b"\xff")).prepare()
