"""Settings: where they come from and what is refused."""

from __future__ import annotations

from pathlib import Path

import pytest

from flytelite import config
from flytelite.errors import InvalidArgument


def test_flags_win_over_variables_over_the_file_over_defaults(tmp_path: Path) -> None:
    (tmp_path / "flytelite.yaml").write_text("port: 1000\nhost: 127.0.0.2\nprojects: [a, b]\n")
    environ = {"FLYTELITE_PORT": "2000", "FLYTELITE_HOST": "127.0.0.3", "FLYTELITE_ALLOWED_HOSTS": "one, two"}
    settings = config.load({"port": 3000, "grpc_port": None}, environ, tmp_path)
    assert settings.port == 3000
    assert settings.host == "127.0.0.3"
    assert settings.projects == ("a", "b")
    assert settings.allowed_hosts == ("one", "two")
    assert settings.grpc_port is None
    assert settings.max_parallelism == 25


def test_the_data_directory_is_absolute(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert config.load({}, {}, tmp_path).data_dir == tmp_path.resolve() / ".flytelite"


@pytest.mark.parametrize(
    ("variable", "value", "reason"),
    [
        ("PORT", "80000", "a port is between 0 and 65535"),
        ("GRPC_PORT", "-1", "a port is between 0 and 65535"),
        ("PORT", "many", "a whole number is needed"),
        ("PORT", "", "a whole number is needed"),
        ("HOLD", "long", "a number is needed"),
        ("DATA_DIR", "", "a path is needed"),
        ("MAX_PARALLELISM", "-3", "cannot be negative"),
        ("EXECUTOR", "docker", "one of"),
        ("DURABILITY", "none", "one of full, relaxed"),
        ("EPHEMERAL", "maybe", "true or false"),
        ("HOLD", "45", "at most 30 seconds"),
        ("HOLD", "nan", "cannot be negative"),
    ],
)
def test_an_unusable_value_is_named_with_its_source(tmp_path: Path, variable: str, value: str, reason: str) -> None:
    with pytest.raises(InvalidArgument) as refused:
        config.load({}, {f"FLYTELITE_{variable}": value}, tmp_path)
    assert variable.lower() in refused.value.message
    assert "environment" in refused.value.message
    assert repr(value) in refused.value.message
    assert reason in refused.value.message


@pytest.mark.parametrize(
    ("host", "authority"),
    [
        ("127.0.0.1", "localhost:7"),
        ("0.0.0.0", "localhost:7"),
        ("::", "localhost:7"),
        ("::1", "[::1]:7"),
        ("fd00::1", "[fd00::1]:7"),
        ("10.0.0.1", "10.0.0.1:7"),
    ],
)
def test_the_address_is_one_that_clients_reach(tmp_path: Path, host: str, authority: str) -> None:
    assert config.load({"host": host, "port": 7}, {}, tmp_path).authority == authority


@pytest.mark.parametrize("name", ["data_dir", "environments", "secrets_dir"])
def test_a_home_directory_that_nobody_knows_is_said_so(tmp_path: Path, name: str) -> None:
    with pytest.raises(InvalidArgument, match=f"{name} is ~nobody-here/x.*set HOME"):
        config.load({}, {f"FLYTELITE_{name.upper()}": "~nobody-here/x"}, tmp_path)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("images: {a: {venv: ~nobody-here/x}}", "images.*home directory"),
        ("colour: blue", "unknown settings: colour"),
        ("- a list", "a mapping"),
        ("port: [", "cannot be read"),
    ],
)
def test_a_file_that_cannot_be_used_is_named(tmp_path: Path, text: str, reason: str) -> None:
    (tmp_path / "flytelite.yaml").write_text(text)
    with pytest.raises(InvalidArgument, match=reason) as refused:
        config.load({}, {}, tmp_path)
    assert "flytelite.yaml" in refused.value.message


def test_a_file_that_is_no_text_is_named(tmp_path: Path) -> None:
    (tmp_path / "flytelite.yaml").write_bytes(b"\xff\xfe")
    with pytest.raises(InvalidArgument, match=r"flytelite.yaml cannot be read: 'utf-8' codec"):
        config.load({}, {}, tmp_path)


def test_resources_of_tasks_are_a_mapping_or_a_list(tmp_path: Path) -> None:
    (tmp_path / "flytelite.yaml").write_text("task_resource_defaults: {cpu: 500m, memory: 1Gi}\n")
    environ = {"FLYTELITE_TASK_RESOURCE_LIMITS": "cpu=2,gpu=1"}
    settings = config.load({}, environ, tmp_path)
    assert settings.task_resource_defaults == ("cpu=500m", "memory=1Gi")
    assert settings.task_resource_limits == ("cpu=2", "gpu=1")


@pytest.mark.parametrize(
    ("value", "reason"),
    [("cores=2", "is none of cpu=QUANTITY"), ("cpu=many", "a number with an optional suffix"), ("cpu", "suffix")],
)
def test_resources_that_are_none(tmp_path: Path, value: str, reason: str) -> None:
    with pytest.raises(InvalidArgument, match=reason):
        config.load({}, {"FLYTELITE_TASK_RESOURCE_LIMITS": value}, tmp_path)
