"""Data that is somewhere else: copied by fsspec, which flytekit brings, in a process of its own.

The engine itself never loads the clients of stores: they start threads and loops, and may hang. It only looks whether
a store can be reached before a task, whose client would try for minutes, finds out.
"""

from __future__ import annotations

import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from urllib.parse import urlsplit

from flytelite.engine.tasks.refusals import BadTaskFormat

TIMEOUT = 3600.0
"""Seconds; what Flyte's copilot allows."""

ANSWER_SECONDS = 3.0
REACHED_SECONDS = 30.0

_SCRIPT = """
import sys
import fsspec
way, source, target, many = sys.argv[1:]
fs, path = fsspec.core.url_to_fs(source if way == "get" else target)
if way == "get":
    fs.get(path.rstrip("/") + "/" if many else path, target + "/" if many else target, recursive=bool(many))
else:
    fs.put(source + "/" if many else source, path.rstrip("/") + "/" if many else path, recursive=bool(many))
"""


def local_path(uri: str) -> Path | None:
    """The file of this machine that the address means; None for one of a store."""
    if uri.startswith("file://"):
        return Path(uri.removeprefix("file://"))
    return None if "://" in uri else Path(uri)


_S3_VARIABLES = ("FLYTE_AWS_ENDPOINT", "AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL")
_PROXIES = ("ALL_PROXY", "HTTPS_PROXY", "HTTP_PROXY")
_reached: dict[tuple[str, int], tuple[float, str]] = {}


def check(uri: str, env: Mapping[str, str]) -> None:
    """Find out within a few seconds that data cannot be written there.

    ``env`` is the environment of the process that will. Raises BadTaskFormat for a kind of store that there is not,
    OSError for one that does not answer. Blocks.
    """
    if local_path(uri) is not None:
        return
    kind = uri.partition("://")[0]
    from fsspec import available_protocols

    if kind not in available_protocols():
        raise BadTaskFormat(f"the raw output prefix [{uri}] names a kind of store that fsspec does not know: {kind}")
    address = _address(kind, env)
    if address is None or any(env.get(name) or env.get(name.lower()) for name in _PROXIES):
        return
    failure = _failure(*address)
    if failure:
        host, port = address
        raise OSError(
            f"the store of the raw output prefix [{uri}] does not answer at {host}:{port} ({failure}): correct the"
            " address in the task's environment, or choose a directory of this machine as raw_output_prefix"
        )


def _address(kind: str, env: Mapping[str, str]) -> tuple[str, int] | None:
    """Where the client of a store connects to; None when only the client knows."""
    if kind in ("s3", "s3a"):
        named = next((env[name] for name in _S3_VARIABLES if env.get(name)), "https://s3.amazonaws.com")
    elif kind in ("gs", "gcs"):
        named = env.get("STORAGE_EMULATOR_HOST") or "https://storage.googleapis.com"
    else:
        return None
    found = urlsplit(named if "://" in named else f"//{named}")
    return (found.hostname or "", found.port or (80 if found.scheme == "http" else 443))


def _failure(host: str, port: int) -> str:
    """Why nobody answers there; empty when somebody does. An answer counts for a while."""
    at, failure = _reached.get((host, port), (float("-inf"), ""))
    if time.monotonic() - at > REACHED_SECONDS:
        try:
            socket.create_connection((host, port), timeout=ANSWER_SECONDS).close()
            failure = ""
        except OSError as error:
            failure = error.strerror or str(error)
        _reached[host, port] = (time.monotonic(), failure)
    return failure


def fetch(uri: str, target: Path, many: bool) -> None:
    """Copy a file, or with ``many`` all that is in a directory, from its address. Raises OSError."""
    source = local_path(uri)
    if source is None:
        _transfer("get", uri, str(target), many)
    elif many:
        shutil.copytree(source, target)
    else:
        shutil.copyfile(source, target)


def send(source: Path, uri: str, many: bool) -> None:
    """Copy a file, or with ``many`` all that is in a directory, to an address. Raises OSError."""
    target = local_path(uri)
    if target is None:
        _transfer("put", str(source), uri, many)
        return
    target.parent.mkdir(parents=True, exist_ok=True)
    if many:
        shutil.copytree(source, target, dirs_exist_ok=True)
    else:
        shutil.copyfile(source, target)


def _transfer(way: str, source: str, target: str, many: bool) -> None:
    command = [sys.executable, "-c", _SCRIPT, way, source, target, "many" if many else ""]
    try:
        done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, timeout=TIMEOUT, check=False)
    except subprocess.TimeoutExpired as error:
        raise OSError(f"copying {source} to {target} took more than {TIMEOUT:.0f} seconds") from error
    if done.returncode:
        said = done.stderr.decode(errors="replace").strip().splitlines() or ["nothing was said"]
        raise OSError(f"{source} cannot be copied to {target}: {said[-1]}")
