"""The secrets that a task declares, as what its process is given: variables and private files.

Rules: ``flytepropeller/pkg/webhook/k8s_secrets.go``. There a missing secret is found out by the user's code; here the
attempt does not begin.
"""

from __future__ import annotations

import html
import json
import os
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from flyteidl.core import security_pb2

from flytelite.engine.secrets.files import (
    ENVIRONMENT_PREFIX,
    Scope,
    SecretFiles,
    UnusableFile,
    from_environment,
    name_of,
)

VARIABLE_PREFIX = "_FSEC_"
DIRECTORY_VARIABLE = "FLYTE_SECRETS_DEFAULT_DIR"
FILE_PREFIX_VARIABLE = "FLYTE_SECRETS_FILE_PREFIX"
ENVIRONMENT_PREFIX_VARIABLE = "FLYTE_SECRETS_ENV_PREFIX"

MASKED_FROM = 3
"""Characters of the shortest value that is masked: of shorter ones a log is full anyway."""

LINE_MASKED_FROM = 5
"""Characters of the shortest line of a longer value that is masked by itself."""


class UnknownSecret(Exception):
    """A task declares a secret that nobody has set, or one that cannot be given; the message says what to do."""


@dataclass(frozen=True)
class Grant:
    """The secrets of one attempt. ``files`` are by their path below the directory that the process is told of."""

    variables: Mapping[str, str] = field(default_factory=dict, repr=False)
    files: Mapping[str, str] = field(default_factory=dict, repr=False)
    file_variables: Mapping[str, str] = field(default_factory=dict)
    values: tuple[str, ...] = field(default=(), repr=False)

    def environment(self, directory: Path | str) -> dict[str, str]:
        """The variables of a process that finds the files below a directory."""
        found = dict(self.variables)
        if self.files:
            found[DIRECTORY_VARIABLE] = str(directory)
            found[FILE_PREFIX_VARIABLE] = ""
            found.update({name: f"{directory}/{path}" for name, path in self.file_variables.items()})
        if self.variables:
            found[ENVIRONMENT_PREFIX_VARIABLE] = VARIABLE_PREFIX
        return found

    def write(self, directory: Path) -> None:
        """Write the files, for their owner alone."""
        for name, value in self.files.items():
            path = directory / name
            directory.mkdir(mode=0o700, exist_ok=True)
            path.parent.mkdir(mode=0o700, exist_ok=True, parents=True)
            descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
            with open(descriptor, "w", encoding="utf-8") as file:  # noqa: PTH123  it is open already
                file.write(value)

    @property
    def masked(self) -> tuple[str, ...]:
        """What must not be read in a log: the values as a whole, as flytekit gives them out, and their lines.

        Each also as it is in JSON, of which flytekit makes its log, in HTML, of which decks are, and in Python.
        """
        found: dict[str, None] = {}
        for value in self.values:
            lines = value.splitlines()
            parts = [value, value.strip(), *(line.strip() for line in lines if len(line.strip()) >= LINE_MASKED_FROM)]
            found.update(dict.fromkeys(form for part in parts if len(part) >= MASKED_FROM for form in _forms(part)))
        return tuple(found)


def _forms(text: str) -> Iterator[str]:
    yield text
    for ascii_only in (True, False):
        yield json.dumps(text, ensure_ascii=ascii_only)[1:-1]
    for quotes in (True, False):
        yield html.escape(text, quote=quotes)
    yield repr(text)[1:-1]


class Secrets:
    """The secrets of this machine: those in the server's environment before those in the files."""

    def __init__(self, files: SecretFiles, environ: Mapping[str, str]) -> None:
        self.files = files
        self._environment = from_environment(environ)

    def grant(self, project: str, domain: str, declared: Iterable[security_pb2.Secret]) -> Grant:
        """What an attempt gets that declares those secrets. Reads files. Raises UnknownSecret and UnusableFile."""
        scopes = [self._environment, *(self.files.read(scope) for scope in self.files.scopes(project, domain))]
        known: dict[str, str] = {}
        for values in reversed(scopes):
            known.update(values)
        variables: dict[str, str] = {}
        files: dict[str, str] = {}
        file_variables: dict[str, str] = {}
        granted = []
        for secret in declared:
            value = self._value(secret, known, Scope(project, domain))
            granted.append(value)
            if secret.mount_requirement == security_pb2.Secret.ENV_VAR:
                names = [*(VARIABLE_PREFIX + name.upper() for name in _names(secret, "_")), secret.env_var]
                variables.update({name: value for name in names if name})
            else:
                paths = [path.lower() for path in _names(secret, "/")]
                _check_paths(secret, paths)
                files.update(dict.fromkeys(paths, value))
                if secret.env_var:
                    file_variables[secret.env_var] = paths[0]
        return Grant(variables, files, file_variables, tuple(granted))

    def masked(self, project: str, domain: str, declared: Iterable[security_pb2.Secret]) -> tuple[str, ...]:
        """What must not be read of an attempt that was begun before. Reads files."""
        found: list[str] = []
        for secret in declared:
            try:
                found += self.grant(project, domain, [secret]).masked
            except (UnknownSecret, UnusableFile):
                continue  # it was known when the attempt began, and is not any more
        return tuple(found)

    def _value(self, secret: security_pb2.Secret, known: Mapping[str, str], scope: Scope) -> str:
        names = [name_of(secret.group, secret.key)]
        if secret.group_version:
            names.insert(0, name_of(secret.group, secret.group_version, secret.key))
        if not names[-1]:
            raise UnknownSecret("the task declares a secret that has neither a group nor a key")
        for name in names:
            if name in known:
                return known[name]
        what = " and ".join(f"{part} [{text}]" for part, text in (("group", secret.group), ("key", secret.key)) if text)
        raise UnknownSecret(
            f"the task declares the secret with {what}, which nobody has set for {scope}."
            f" Set it with `{self.files.command(secret.group, secret.key)}`,"
            f" or start the server with the variable {ENVIRONMENT_PREFIX}{names[-1]}"
        )


def _names(secret: security_pb2.Secret, separator: str) -> list[str]:
    """The names that flytekit looks for: without the version, which Kubernetes ignores, and with it."""
    plain = separator.join(part for part in (secret.group, secret.key) if part)
    if not secret.group_version:
        return [plain]
    return [plain, separator.join(part for part in (secret.group, secret.group_version, secret.key) if part)]


def _check_paths(secret: security_pb2.Secret, paths: Iterable[str]) -> None:
    for part in (secret.group, secret.group_version, secret.key):
        if "/" in part or "\0" in part or part in (".", ".."):
            raise UnknownSecret(f"the secret [{'/'.join(paths)}] cannot be a file: {part!r} is not a file name")
