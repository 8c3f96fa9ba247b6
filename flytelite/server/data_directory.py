"""The data directory: what a server leaves there so that clients, git and a second server understand it."""

from __future__ import annotations

import contextlib
import json
import os
import re
import shutil
from dataclasses import asdict, dataclass, fields
from pathlib import Path

from flytelite import __version__
from flytelite.config import Settings
from flytelite.errors import FailedPrecondition, FlyteError

CONFIG_FILE = "config.yaml"
SERVER_FILE = "server.json"
_CONFIG_START = "admin:\n  endpoint: dns:///"
_MISREAD = re.compile(r"%[0-9a-fA-F]{2}|[*?\[]|::")
"""What flytekit and fsspec take for an escape, a pattern or a chain of file systems."""


@dataclass(frozen=True)
class Running:
    """A server that answers: what ``server.json`` says and ``flytelite status`` prints.

    ``started`` is the process's start time in clock ticks since boot, which tells a reused pid from the real one;
    0 where the platform does not say.
    """

    pid: int
    started: int
    endpoint: str
    data_dir: str
    version: str = __version__

    @classmethod
    def read(cls, data_dir: Path) -> Running | None:
        """What the directory says, whichever version wrote it; None when it says nothing of a server."""
        try:
            said = json.loads((data_dir / SERVER_FILE).read_text())
            return cls(**{field.name: said[field.name] for field in fields(cls) if field.name in said})
        except (OSError, ValueError, TypeError):
            return None


class DataDirectory:
    """One server's directory. Only the server that holds the store's lock may write here."""

    def __init__(self, settings: Settings) -> None:
        self.path = settings.data_dir
        self._settings = settings

    def prepare(self) -> None:
        """Make the directory and have git ignore it.

        Raises FailedPrecondition when it cannot be written, has another program's ``config.yaml``, or has a path that
        no address of data can begin with.
        """
        self._check_path()
        try:
            if self._is_of_others():
                raise FailedPrecondition(
                    f"{self.path / CONFIG_FILE} is not flytelite's, and a server writes one of its own there; "
                    "choose another directory with --data-dir"
                )
            self.path.mkdir(parents=True, exist_ok=True)
            ignore = self.path / ".gitignore"
            if not ignore.exists():
                ignore.write_text("*\n")
            self._settings.bucket.mkdir(exist_ok=True)
            if not os.access(self.path, os.W_OK):
                raise PermissionError(13, "Permission denied")
        except OSError as error:
            raise unwritable(self.path, error) from error

    def _check_path(self) -> None:
        """With such a path tasks would run, and fail or hand on wrong addresses as soon as files are concerned."""
        text = str(self.path)
        found = _MISREAD.search(text)
        if found:
            raise FailedPrecondition(
                f"the data directory {text} cannot be one: flytekit takes {found[0]!r} in addresses of data for "
                "something else; choose another with --data-dir"
            )
        try:
            text.encode()
        except UnicodeEncodeError as error:
            raise FailedPrecondition(
                f"the data directory {text} cannot be one: its path is no UTF-8, as addresses of data are; "
                "choose another with --data-dir"
            ) from error

    def announce(self) -> Running:
        """Write flytectl's config file and ``server.json`` for the address in the settings."""
        running = Running(
            pid=os.getpid(),
            started=process_start_time(os.getpid()),
            endpoint=self._settings.authority,
            data_dir=str(self.path),
        )
        _replace(self.path / CONFIG_FILE, flytectl_config(self._settings.authority))
        _replace(self.path / SERVER_FILE, json.dumps(asdict(running), indent=2) + "\n")
        return running

    def _is_of_others(self) -> bool:
        config = self.path / CONFIG_FILE
        if self._settings.store.exists() or not config.exists():
            return False
        return not config.read_bytes().startswith(_CONFIG_START.encode())

    def withdraw(self) -> None:
        """Remove ``server.json``; the configuration stays valid for the next start."""
        with contextlib.suppress(FileNotFoundError):
            (self.path / SERVER_FILE).unlink()


def copy_all_but_store(settings: Settings, target: Path) -> list[str]:
    """Copy a data directory without its store, backups of it, and the traces of its server; ``target`` must not exist.

    Returns one sentence for each file that could not be copied.
    """

    def left_out(directory: str, names: list[str]) -> list[str]:
        found = [Path(directory) / name for name in names]
        backups = settings.data_dir.glob(f"{settings.store.name}.format-*")
        ours = (settings.store, *backups, settings.data_dir / SERVER_FILE)
        return [path.name for path in found if path in ours or path.is_socket() or path.is_fifo()]

    try:
        shutil.copytree(settings.data_dir, target, symlinks=True, ignore=left_out)
    except shutil.Error as error:
        return [f"{source} could not be copied: {reason}" for source, _, reason in error.args[0]]
    except OSError as error:
        raise unwritable(target, error) from error
    return []


def flytectl_config(endpoint: str) -> str:
    """The file that ``flytectl demo start`` writes, for our address (flytectl/pkg/configutil/configutil.go)."""
    return f"{_CONFIG_START}{endpoint}\n  insecure: true\nconsole:\n  endpoint: http://{endpoint}\n  insecure: true\n"


def process_start_time(pid: int) -> int:
    """Clock ticks from boot to the start of a process; 0 when there is none or the platform does not tell."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return 0
    return int(stat.rpartition(")")[2].split()[19])


def unwritable(path: Path, error: OSError) -> FlyteError:
    """The one sentence for a directory that cannot be used."""
    reason = error.strerror or str(error)
    return FailedPrecondition(
        f"the data directory {path} cannot be written ({reason}); choose another one with --data-dir"
    )


def _replace(path: Path, text: str) -> None:
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    temporary.write_text(text)
    temporary.replace(path)
