"""Files that are somewhere else: copied by fsspec, which flytekit brings, in a process of its own.

The engine itself never loads the clients of stores: they start threads and loops, and may hang.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

TIMEOUT = 3600.0
"""Seconds; what Flyte's copilot allows."""

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
