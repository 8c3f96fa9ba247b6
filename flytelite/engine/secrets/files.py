"""Where the values of secrets are kept: dotenv files that only their owner can read, and the server's environment.

Below one directory, ``.env`` is for all projects, ``{project}/.env`` for one and ``{project}/{domain}.env`` for one of
its domains. A name is that of the variable that flytekit would look for: group, version and key in capitals, joined by
``_``; what cannot be in a variable's name is ``_`` too.
"""

from __future__ import annotations

import os
import re
import shlex
import stat
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Self

from flytelite.engine import data
from flytelite.errors import FailedPrecondition

if TYPE_CHECKING:
    from dotenv.parser import Binding

    from flytelite.config import Settings

ENVIRONMENT_PREFIX = "FLYTELITE_SECRET_"
DIRECTORY_VARIABLE = "FLYTELITE_SECRETS_DIR"
"""The setting of the directory as a variable."""
PLAIN_FILE = ".env"

_OTHER = re.compile(r"[^A-Z0-9_]")
_PROPER = re.compile(r"[A-Za-z0-9_.-]+")


class UnusableFile(FailedPrecondition):
    """A file of secrets cannot be used; the message says which one, why, and what to do."""


@dataclass(frozen=True)
class Scope:
    """Whose secrets a file holds: everybody's, a project's, or a project's in one domain."""

    project: str = ""
    domain: str = ""

    def __str__(self) -> str:
        if not self.project:
            return "all projects"
        return f"project {self.project}, domain {self.domain}" if self.domain else f"project {self.project}"


def name_of(*parts: str) -> str:
    """The name under which a secret of that group, version and key is kept; empty parts do not count."""
    return _OTHER.sub("_", "_".join(part for part in parts if part).upper())


class SecretFiles:
    """The dotenv files below ``directory``. Everything here blocks on the disk."""

    def __init__(self, directory: Path, data_dir: Path | None = None) -> None:
        """``data_dir`` is the data directory that they belong to; None when a setting says where they are."""
        self.directory = directory
        self._data_dir = data_dir

    @classmethod
    def of(cls, settings: Settings) -> Self:
        """Those of a server with these settings."""
        return cls(settings.secrets, None if settings.secrets_dir else settings.data_dir)

    def command(self, group: str, key: str) -> str:
        """What a person types to set a secret here, in whatever folder."""
        words = ["flytelite", "secrets", "set", *(word for word in (group, key) if word)]
        if self._data_dir is not None:
            return shlex.join([*words, "--data-dir", str(self._data_dir)])
        return f"{DIRECTORY_VARIABLE}={shlex.quote(str(self.directory))} {shlex.join(words)}"

    def path(self, scope: Scope) -> Path:
        """The file of a scope."""
        if not scope.project:
            return self.directory / PLAIN_FILE
        project = self.directory / data.component(scope.project)
        return project / (f"{data.component(scope.domain)}.env" if scope.domain else PLAIN_FILE)

    def scopes(self, project: str, domain: str) -> list[Scope]:
        """The scopes that count for a project and domain; the first one that knows a name decides."""
        return [Scope(project, domain), Scope(project), Scope()]

    def read(self, scope: Scope) -> dict[str, str]:
        """The values of a scope by their names; none without a file. Raises UnusableFile."""
        path = self.path(scope)
        return {
            name_of(binding.key): binding.value or "" for binding in self._bindings(path) if binding.key is not None
        }

    def set(self, scope: Scope, name: str, value: str) -> None:
        """Keep a value, in the place of the one before. Raises UnusableFile."""
        kept = [binding for binding in self._bindings(self.path(scope)) if not _is_named(binding, name)]
        self._write(scope, f"{_ended(kept)}{name}={_quoted(value)}\n")

    def remove(self, scope: Scope, name: str) -> bool:
        """Forget a value; False when there is none. Raises UnusableFile."""
        found = list(self._bindings(self.path(scope)))
        kept = [binding for binding in found if not _is_named(binding, name)]
        if len(kept) == len(found):
            return False
        self._write(scope, _ended(kept))
        return True

    def known_scopes(self) -> Iterator[Scope]:
        """Every scope that has a file."""
        for path in sorted(self.directory.glob("**/*.env")):
            parts = path.relative_to(self.directory).parts
            if len(parts) == 1 and parts[0] == PLAIN_FILE:
                yield Scope()
            elif len(parts) == 2:
                yield Scope(parts[0], "" if parts[1] == PLAIN_FILE else parts[1].removesuffix(".env"))

    def _bindings(self, path: Path) -> Iterator[Binding]:
        from dotenv.parser import parse_stream  # not at the start of every server

        try:
            with path.open(encoding="utf-8", newline="") as file:  # values are as they were given
                _check_access(path, file.fileno())
                found = list(parse_stream(file))
        except FileNotFoundError:
            return
        except (OSError, UnicodeDecodeError) as error:
            raise UnusableFile(f"the file of secrets {path} cannot be read: {error}") from error
        for binding in found:
            if binding.error or (binding.key is not None and not _PROPER.fullmatch(binding.key)):
                # Not the line itself: it may hold a value.
                raise UnusableFile(f"line {binding.original.line} of {path} is not of the form NAME=value")
            yield binding

    def _write(self, scope: Scope, text: str) -> None:
        path = self.path(scope)
        try:
            for directory in (self.directory, path.parent):
                directory.mkdir(mode=0o700, parents=True, exist_ok=True)
            ignore = self.directory / ".gitignore"
            if not ignore.exists():
                ignore.write_text("*\n")
            data.write_bytes(path, text.encode(), mode=0o600)
        except OSError as error:
            raise UnusableFile(f"the file of secrets {path} cannot be written: {error}") from error


def from_environment(environ: Mapping[str, str]) -> dict[str, str]:
    """The secrets among the variables of a process: ``FLYTELITE_SECRET_<GROUP>_<KEY>``."""
    return {
        name_of(name.removeprefix(ENVIRONMENT_PREFIX)): value
        for name, value in environ.items()
        if name.startswith(ENVIRONMENT_PREFIX)
    }


def _check_access(path: Path, descriptor: int) -> None:
    mode = stat.S_IMODE(os.fstat(descriptor).st_mode)
    if mode & 0o077:
        raise UnusableFile(f"others can read the file of secrets {path} (mode {mode:04o}): run `chmod 600 {path}`")


def _is_named(binding: Binding, name: str) -> bool:
    return binding.key is not None and name_of(binding.key) == name


def _ended(bindings: list[Binding]) -> str:
    """The text of the lines, the last of them complete."""
    text = "".join(binding.original.string for binding in bindings)
    return text if not text or text.endswith("\n") else f"{text}\n"


def _quoted(value: str) -> str:
    escaped = value.replace("\\", "\\\\").replace("'", "\\'")
    return f"'{escaped}'"
