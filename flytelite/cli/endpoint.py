"""Which server a command talks to, and how it was found."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from flytelite import __version__, config
from flytelite.cli.failure import Failure, Usage
from flytelite.cli.running import is_alive, other_version, read_running, silence
from flytelite.server.data_directory import Running

DEFAULT_ENDPOINT = f"localhost:{config.DEFAULT_PORT}"


@dataclass(frozen=True)
class Endpoint:
    """A server's address as ``host:port``, and where that address was read."""

    authority: str
    source: str
    insecure: bool = True
    running: Running | None = None
    """The process that serves there, where a data directory names it."""

    @property
    def url(self) -> str:
        """The address of its REST side."""
        return f"{'http' if self.insecure else 'https'}://{self.authority}"

    def no_answer(self) -> Failure:
        """What a person should read when nothing came from there."""
        where = f"{self.authority} (from {self.source})"
        if self.running is not None and is_alive(self.running):
            return Failure(f"the server at {where} does not answer; {silence(self.running)}")
        return Failure(
            f"no server answers at {where}; start one with `flytelite up`, or name another with --endpoint HOST:PORT"
        )


def discover(flag: str | None = None, environ: Mapping[str, str] | None = None) -> Endpoint:
    """Find the server.

    The order is --endpoint, FLYTELITE_ENDPOINT, FLYTECTL_CONFIG, the data directory of this folder when a server runs
    there, localhost:30080. Raises Usage when a source names no usable address.
    """
    found = _discover(flag, os.environ if environ is None else environ)
    if found.running is not None and found.running.version != __version__:
        print(f"flytelite: {other_version(found.running)}", file=sys.stderr)
    return found


def _discover(flag: str | None, environ: Mapping[str, str]) -> Endpoint:
    if flag:
        return Endpoint(parse_authority(flag, "--endpoint"), "--endpoint")
    if named := environ.get("FLYTELITE_ENDPOINT"):
        return Endpoint(parse_authority(named, "FLYTELITE_ENDPOINT"), "the variable FLYTELITE_ENDPOINT")
    if file := environ.get("FLYTECTL_CONFIG"):
        found = _from_flytectl_config(Path(file))
        if found is not None:
            return found
    data_dir = config.load({}, environ).data_dir
    running = read_running(data_dir)
    if running is not None:
        return of_data_directory(running)
    return Endpoint(DEFAULT_ENDPOINT, "the default address")


def of_data_directory(running: Running) -> Endpoint:
    """The server that a data directory names."""
    return Endpoint(running.endpoint, f"the data directory {running.data_dir}", running=running)


def parse_authority(text: str, source: str) -> str:
    """``host:port`` out of ``dns:///host:port``, ``http://host:port/`` or ``host:port``."""
    authority = text.strip()
    for prefix in ("dns:///", "http://", "https://"):
        authority = authority.removeprefix(prefix)
    authority = authority.rstrip("/")
    host, _, port = authority.rpartition(":")
    if not host or not port.isdigit():
        raise Usage(f"{source} says {text!r}, which is not an address; write it as host:port, e.g. {DEFAULT_ENDPOINT}")
    return authority


def _from_flytectl_config(path: Path) -> Endpoint | None:
    """The server of a flytectl configuration; None when there is no such file, as flytekit does."""
    import yaml

    if not path.is_file():
        return None
    try:
        loaded: Any = yaml.safe_load(path.read_text())
    except (OSError, yaml.YAMLError) as error:
        raise Usage(f"FLYTECTL_CONFIG names {path}, which cannot be read: {error}") from error
    admin = loaded.get("admin") if isinstance(loaded, dict) else None
    if not isinstance(admin, dict) or not admin.get("endpoint"):
        raise Usage(f"FLYTECTL_CONFIG names {path}, which has no admin.endpoint; add it or unset the variable")
    source = f"FLYTECTL_CONFIG ({path})"
    authority = parse_authority(str(admin["endpoint"]), source)
    running = read_running(path.parent)  # it is the file that a server has left in its data directory
    return Endpoint(
        authority,
        source,
        insecure=bool(admin.get("insecure", False)),
        running=running if running is not None and running.endpoint == authority else None,
    )
