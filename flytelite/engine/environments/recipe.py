"""What an environment is made of; equal recipes are one environment."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import re
import sys
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Self

FORMAT = 1
_FLYTEKIT = re.compile(r"flytekit\s*($|[\[<>=!~;@\s])|.*/flytekit(\.git)?($|[@#])", re.IGNORECASE)


@dataclass(frozen=True)
class Recipe:
    """``python`` is a version, or the path of an interpreter; ``requirements`` are lines in pip's format.

    ``options`` are added to ``uv pip install``.
    """

    python: str
    requirements: tuple[str, ...]
    options: tuple[str, ...] = ()

    @property
    def digest(self) -> str:
        """The environment's name."""
        content = json.dumps([FORMAT, self.python, self.requirements, self.options])
        return hashlib.sha256(content.encode()).hexdigest()[:20]

    def as_json(self) -> dict[str, Any]:
        """For ``of_json``, and for people."""
        return dataclasses.asdict(self)

    @classmethod
    def of_json(cls, content: dict[str, Any]) -> Self:
        """What ``as_json`` made."""
        return cls(content["python"], tuple(content["requirements"]), tuple(content["options"]))


def make_recipe(
    python: str, requirements: Iterable[str], options: Iterable[str] = (), flytekit: str | None = None
) -> Recipe:
    """The recipe of an environment for tasks, which all need flytekit.

    ``flytekit`` is the version where the requirements name none, by default the one used here; ``python`` is by
    default this one's version.
    """
    lines = tuple(line.strip() for line in requirements if line.strip() and not line.strip().startswith("#"))
    if not any(_FLYTEKIT.match(line) for line in lines):
        from importlib import metadata

        lines = (*lines, f"flytekit=={flytekit or metadata.version('flytekit')}")
    return Recipe(python or own_version(), lines, tuple(options))


def own_version() -> str:
    """The version of the Python that this runs in, as 3.11."""
    return f"{sys.version_info.major}.{sys.version_info.minor}"
