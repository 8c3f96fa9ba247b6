"""What a round does, in a form that travels to the process that does it."""

from __future__ import annotations

import dataclasses
import json
import sys
from dataclasses import dataclass
from typing import Any, Self

FORKS = sys.platform == "linux"
"""Elsewhere libraries of the system do not survive a fork."""

INTERRUPT = b"i"
SUPERSEDE = b"s"
"""What a round may be ordered."""


class Superseded(BaseException):
    """The code was edited while its round went on. Like KeyboardInterrupt, it is nobody's to swallow."""


@dataclass(frozen=True)
class Run:
    """``flytelite run`` without ``--watch``.

    ``abort_outdated`` is what to do with the execution when superseded, ``copy_all`` whether the whole root is sent.
    """

    file: str
    entity: str
    inputs: tuple[str, ...]
    project: str
    domain: str
    version: str | None
    endpoint: str | None
    no_wait: bool
    abort_outdated: bool = False
    copy_all: bool = False
    images: tuple[str, ...] = ()


@dataclass(frozen=True)
class Register:
    """``flytelite register`` without ``--watch``. Of ``modules`` only those are registered; None means all."""

    paths: tuple[str, ...]
    project: str
    domain: str
    version: str | None
    endpoint: str | None
    modules: tuple[str, ...] | None = None
    images: tuple[str, ...] = ()


@dataclass(frozen=True)
class Job:
    """One round."""

    task: Run | Register
    verbose: bool = False

    def encode(self) -> bytes:
        """One line of JSON."""
        kind = type(self.task).__name__
        return json.dumps({"kind": kind, "task": dataclasses.asdict(self.task), "verbose": self.verbose}).encode()

    @classmethod
    def decode(cls, line: bytes) -> Self:
        """What ``encode`` made."""
        content: dict[str, Any] = json.loads(line)
        kind = {"Run": Run, "Register": Register}[content["kind"]]
        fields = {name: tuple(value) if isinstance(value, list) else value for name, value in content["task"].items()}
        return cls(kind(**fields), content["verbose"])
