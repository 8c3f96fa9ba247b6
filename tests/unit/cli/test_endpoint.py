"""Which server a command talks to, from the first source that names one."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from flytelite.cli.endpoint import Endpoint, discover, parse_authority
from flytelite.cli.failure import Usage
from flytelite.server.data_directory import process_start_time


@pytest.fixture(autouse=True)
def empty_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def announce(data_dir: Path, pid: int, endpoint: str = "localhost:4321") -> None:
    data_dir.mkdir()
    running = {"pid": pid, "started": process_start_time(pid), "endpoint": endpoint, "data_dir": str(data_dir)}
    (data_dir / "server.json").write_text(json.dumps(running))


def config_file(folder: Path, text: str) -> dict[str, str]:
    path = folder / "flytectl.yaml"
    path.write_text(text)
    return {"FLYTECTL_CONFIG": str(path)}


def test_the_flag_wins_over_everything(tmp_path: Path) -> None:
    environ = config_file(tmp_path, "admin: {endpoint: a:1, insecure: true}") | {"FLYTELITE_ENDPOINT": "b:2"}
    assert discover("c:3", environ) == Endpoint("c:3", "--endpoint")
    assert discover(None, environ).authority == "b:2"


def test_flytectls_file_says_address_and_tls(tmp_path: Path) -> None:
    environ = config_file(tmp_path, "admin:\n  endpoint: dns:///flyte.example.org:443\n")
    found = discover(None, environ)
    assert (found.authority, found.insecure, found.url) == (
        "flyte.example.org:443",
        False,
        "https://flyte.example.org:443",
    )
    assert str(tmp_path / "flytectl.yaml") in found.source


def test_a_missing_flytectl_file_is_passed_over() -> None:
    assert discover(None, {"FLYTECTL_CONFIG": "/nowhere.yaml"}).authority == "localhost:30080"


@pytest.mark.parametrize("text", ["admin: {}", "[]", "", "admin: ]"])
def test_a_flytectl_file_without_an_address_is_bad_usage(tmp_path: Path, text: str) -> None:
    with pytest.raises(Usage, match=r"flytectl\.yaml"):
        discover(None, config_file(tmp_path, text))


def test_the_server_of_this_folder_is_found(tmp_path: Path) -> None:
    announce(tmp_path / ".flytelite", os.getpid())
    found = discover(None, {})
    assert found.authority == "localhost:4321"
    assert str(tmp_path / ".flytelite") in found.source


def test_the_data_directory_may_lie_elsewhere(tmp_path: Path) -> None:
    announce(tmp_path / "other", os.getpid())
    assert discover(None, {"FLYTELITE_DATA_DIR": str(tmp_path / "other")}).authority == "localhost:4321"


def test_a_reused_pid_is_not_the_server(tmp_path: Path) -> None:
    announce(tmp_path / ".flytelite", os.getpid())
    path = tmp_path / ".flytelite" / "server.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"started": 1}))
    assert discover(None, {}) == Endpoint("localhost:30080", "the default address")


@pytest.mark.parametrize(
    "text", ["localhost:30080", "dns:///localhost:30080", "http://localhost:30080/", " localhost:30080 "]
)
def test_an_address_may_be_written_in_several_ways(text: str) -> None:
    assert parse_authority(text, "test") == "localhost:30080"


@pytest.mark.parametrize("text", ["localhost", "localhost:", ":30080", "localhost:http"])
def test_what_is_no_address_is_bad_usage(text: str) -> None:
    with pytest.raises(Usage, match="--endpoint says"):
        parse_authority(text, "--endpoint")
