"""Settings: flags over FLYTELITE_* variables over flytelite.yaml over defaults. One frozen object, made once."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any, TypeVar

from flytelite.connector_settings import ConnectorSettings
from flytelite.connector_settings import parse as parse_connectors
from flytelite.errors import InvalidArgument
from flytelite.image_rules import ImageRule, read_rules
from flytelite.quantities import parse as parse_quantity

DEFAULT_PORT = 30080
MAX_PORT = 65535
MAX_HOLD = 30.0
"""Seconds; flytekit gives GetExecution a deadline of 60."""
DEFAULT_DATA_DIR = Path(".flytelite")
DEFAULT_ENVIRONMENTS = Path("~/.cache/flytelite/environments")
FILE_NAME = "flytelite.yaml"
LOOPBACK = frozenset({"127.0.0.1", "localhost", "::1"})
EXECUTORS = ("fork", "subprocess")
"""How flytekit's tasks start: forked from a process that has imported flytekit, or as new processes."""
RESOURCES = ("cpu", "memory", "gpu", "ephemeral_storage")

Number = TypeVar("Number", int, float)

DURABILITIES = ("full", "relaxed")
"""When a write is acknowledged: once it survives power loss, or once it survives the death of the server's process."""
LOG_LEVELS = ("debug", "info", "warning", "error")
CONTAINERS = ("auto", "docker", "podman", "host", "never")
"""What runs raw containers: an engine if one answers and else this machine, one of them, or nothing."""
_CHOICES = {"executor": EXECUTORS, "durability": DURABILITIES, "containers": CONTAINERS, "log_level": LOG_LEVELS}
_RULES = ("images", "project_environments")
_TRUTH = {"true": True, "1": True, "yes": True, "false": False, "0": False, "no": False}


@dataclass(frozen=True)
class Settings:
    """Everything that can be chosen about one server.

    Sizes are bytes, durations seconds. ``hold`` is how long GetExecution over gRPC may wait for the end of a running
    execution; 0 never waits. ``task_resource_defaults`` and ``task_resource_limits`` are what tasks get that ask for
    nothing, and the most they may ask for (``cpu=500m``), where TASK_RESOURCE attributes do not say otherwise.
    ``capacity`` is what tasks that run at the same time may ask for in sum, instead of what the machine has;
    ``enforce_limits`` lets no task have more memory than its limit. ``images`` and ``project_environments`` say which
    Python environment the image or the project of a task stands for; those that are made lie in ``environments``, which
    data directories share. Defaults that FlyteAdmin has too carry its value
    (``flyteadmin/pkg/runtime/application_config_provider.go``).
    """

    host: str = "127.0.0.1"
    port: int = DEFAULT_PORT
    grpc_port: int | None = None
    data_dir: Path = DEFAULT_DATA_DIR
    allowed_hosts: tuple[str, ...] = ()
    allowed_origins: tuple[str, ...] = ()
    projects: tuple[str, ...] = ("flytesnacks",)
    domains: tuple[str, ...] = ("development", "staging", "production")
    max_parallelism: int = 25
    max_workflow_nodes: int = 0
    task_resource_defaults: tuple[str, ...] = ()
    task_resource_limits: tuple[str, ...] = ()
    capacity: tuple[str, ...] = ()
    enforce_limits: bool = False
    max_inline_bytes: int = 2 * 1024 * 1024
    max_message_bytes: int = 64 * 1024 * 1024
    max_upload_expiry: int = 3600
    hold: float = 1.0
    raw_output_prefix: str = ""
    literal_offloading_min_mb: int = 0
    """From how many MiB on outputs are kept in files of their own and passed on by address; 0 for never."""
    literal_offloading_max_mb: int = 1000
    secrets_dir: str = ""
    containers: str = "auto"
    connectors: tuple[ConnectorSettings, ...] = ()
    connector_modules: tuple[str, ...] = ()
    images: tuple[ImageRule, ...] = ()
    project_environments: tuple[ImageRule, ...] = ()
    environments: Path = DEFAULT_ENVIRONMENTS
    executor: str = "fork"
    durability: str = "full"
    ephemeral: bool = False
    log_level: str = "info"

    @property
    def bucket(self) -> Path:
        """Where uploads, literals and raw data live, laid out as the demo sandbox's bucket is."""
        return self.data_dir / "my-s3-bucket"

    @property
    def store(self) -> Path:
        """Where the journal is (docs/store.md)."""
        return self.data_dir / "store"

    @property
    def secrets(self) -> Path:
        """Where the values of secrets are kept (docs/secrets.md)."""
        return Path(self.secrets_dir).absolute() if self.secrets_dir else self.data_dir / "secrets"

    @property
    def raw_data_prefix(self) -> str:
        """The raw output prefix of an execution that names none."""
        return self.raw_output_prefix or str(self.bucket / "data")

    @property
    def authority(self) -> str:
        """host:port as a client on this machine would write it."""
        # Not for ::1, which is not what localhost means everywhere.
        host = "localhost" if self.host in (*LOOPBACK - {"::1"}, "0.0.0.0", "::") else self.host  # noqa: S104
        return f"[{host}]:{self.port}" if ":" in host else f"{host}:{self.port}"


def load(
    flags: Mapping[str, Any],
    environ: Mapping[str, str] | None = None,
    directory: Path | None = None,
) -> Settings:
    """Resolve the settings once.

    ``flags`` holds only what the user gave on the command line; ``environ`` defaults to the process environment and
    ``directory``, where flytelite.yaml is looked for, to the current one. Raises InvalidArgument naming the setting,
    its source and the value when it cannot be read.
    """
    environ = os.environ if environ is None else environ
    directory = directory or Path.cwd()
    path = directory / FILE_NAME
    layers: list[tuple[str, Mapping[str, Any]]] = [
        (str(path), _from_file(path)),
        ("environment", _from_environ(environ)),
        ("command line", {name: value for name, value in flags.items() if value is not None}),
    ]
    values: dict[str, Any] = {}
    for source, layer in layers:
        for name, value in layer.items():
            values[name] = _convert(name, value, source, directory)
    settings = Settings(**values)
    # One spelling of the directory: URIs of data are built from it and handed to clients.
    return replace(
        settings,
        data_dir=_at_home(settings.data_dir, "data_dir").resolve(),
        environments=_at_home(settings.environments, "environments").absolute(),
        secrets_dir=str(_at_home(Path(settings.secrets_dir), "secrets_dir")) if settings.secrets_dir else "",
    )


def _at_home(path: Path, name: str) -> Path:
    """The path with a home directory in the place of ``~``: flytekit too does not run for whom has none."""
    try:
        return path.expanduser()
    except RuntimeError as error:
        raise InvalidArgument(
            f"setting {name} is {path}, and there is no such home directory; set HOME, or write the path out"
        ) from error


def _from_file(path: Path) -> Mapping[str, Any]:
    if not path.is_file():
        return {}
    import yaml

    try:
        loaded = yaml.safe_load(path.read_text(encoding="utf-8")) or {}
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise InvalidArgument(f"{path} cannot be read: {error}") from error
    if not isinstance(loaded, dict):
        raise InvalidArgument(f"{path} must hold a mapping of settings")
    unknown = set(loaded) - {f.name for f in fields(Settings)}
    if unknown:
        raise InvalidArgument(f"{path} has unknown settings: {', '.join(sorted(map(str, unknown)))}")
    return loaded


def _from_environ(environ: Mapping[str, str]) -> Mapping[str, Any]:
    names = {f"FLYTELITE_{f.name.upper()}": f.name for f in fields(Settings)}
    return {names[key]: value for key, value in environ.items() if key in names}


def _convert(name: str, value: Any, source: str, directory: Path) -> Any:
    kind = _KINDS[name]
    try:
        if name in _RULES:
            return read_rules(value, directory)
        if kind is Path:
            if not str(value):
                raise ValueError("a path is needed")
            return Path(str(value))
        if kind is bool:
            if str(value).lower() not in _TRUTH:
                raise ValueError("it is true or false")
            return _TRUTH[str(value).lower()]
        if kind is int:
            return _number(name, _parse(int, value, "a whole number is needed"))
        if kind is float:
            return _number(name, _parse(float, value, "a number is needed"))
        if name == "connectors":
            return parse_connectors(value)
        if kind is tuple:
            items = value.split(",") if isinstance(value, str) else value
            if isinstance(items, dict):
                items = (f"{key}={item}" for key, item in items.items())
            strings = tuple(str(item).strip() for item in items if str(item).strip())
            if name in ("task_resource_defaults", "task_resource_limits", "capacity"):
                _check_resources(strings)
            return strings
        if name in _CHOICES and value not in _CHOICES[name]:
            raise ValueError(f"it is one of {', '.join(_CHOICES[name])}")
        return str(value)
    except (TypeError, ValueError, RuntimeError) as error:  # the last is said of ~ without a home directory
        raise InvalidArgument(f"setting {name} from {source} has an unusable value {value!r}: {error}") from error


def _check_resources(items: Iterable[str]) -> None:
    for item in items:
        resource, _, quantity = item.partition("=")
        if resource not in RESOURCES:
            raise ValueError(f"{item} is none of {', '.join(f'{name}=QUANTITY' for name in RESOURCES)}")
        parse_quantity(quantity)


def _parse(kind: type[Number], value: Any, otherwise: str) -> Number:
    try:
        if not isinstance(value, bool):
            return kind(value)
    except (TypeError, ValueError, OverflowError):
        pass  # what Python says of it is no help
    raise ValueError(otherwise)


def _number(name: str, value: Number) -> Number:
    if name in ("port", "grpc_port"):
        if not 0 <= value <= MAX_PORT:
            raise ValueError(f"a port is between 0 and {MAX_PORT}")
    elif not value >= 0:
        raise ValueError("it cannot be negative")
    elif name == "hold" and value > MAX_HOLD:
        raise ValueError(f"it is at most {MAX_HOLD:g} seconds")
    return value


def _kind_of(default: Any, name: str) -> type:
    if name == "grpc_port":
        return int
    if isinstance(default, Path):
        return Path
    return type(default)


_KINDS: dict[str, type] = {f.name: _kind_of(f.default, f.name) for f in fields(Settings)}

__all__ = ["DEFAULT_DATA_DIR", "DEFAULT_PORT", "DURABILITIES", "EXECUTORS", "LOOPBACK", "Settings", "load"]
