"""Which local Python environment stands for an image or a project, as flytelite.yaml says it.

```yaml
images:
  "ghcr.io/acme/train": {venv: envs/train}          # any tag; a path is relative to the file
  "ghcr.io/acme/*:gpu": {python: /opt/gpu/bin/python}
  "*/score:*": {requirements: [scikit-learn==1.5.2, pandas]}
  "*/old:*": {python: "3.11", requirements: old.txt}
```
"""

from __future__ import annotations

import fnmatch
import json
import os
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

KEYS = frozenset({"python", "venv", "requirements"})
ANY = "*"
VERSION = re.compile(r"\d+(\.\d+)*")
INCLUDES = re.compile(r"(-r|-c|-e|--requirement|--constraint|--editable)[ =]\s*(.+)")


@dataclass(frozen=True)
class ImageRule:
    """One line of the mapping: exactly one of an interpreter, a virtual environment and requirements.

    ``requirements`` are lines in pip's format, or the path of a file of them; ``python`` is then the version or the
    interpreter that the environment is made with.
    """

    pattern: str
    python: str = ""
    venv: str = ""
    requirements: tuple[str, ...] | str = ()

    @property
    def makes_environment(self) -> bool:
        """Whether the environment has to be made first."""
        return bool(self.requirements)

    def matches(self, image: str) -> bool:
        """Whether the rule is for an image of that name; a pattern without a tag is for every tag."""
        return any(fnmatch.fnmatchcase(name, self.pattern) for name in (image, without_tag(image)))

    @property
    def specificity(self) -> tuple[bool, int]:
        """A name without wildcards is more specific than any pattern, then the one with more characters of its own."""
        wildcards = sum(self.pattern.count(wildcard) for wildcard in "*?[]")
        return (wildcards == 0, len(self.pattern) - wildcards)


def best(rules: Iterable[ImageRule], image: str) -> ImageRule | None:
    """The most specific rule for an image; of equally specific ones the first."""
    return max((rule for rule in rules if rule.matches(image)), key=lambda rule: rule.specificity, default=None)


def without_tag(image: str) -> str:
    """``ghcr.io/acme/train`` of ``ghcr.io/acme/train:1`` and ``ghcr.io/acme/train@sha256:…``."""
    name = image.partition("@")[0]
    head, colon, tag = name.rpartition(":")
    return head if colon and "/" not in tag else name


def read_rules(value: Any, base: Path) -> tuple[ImageRule, ...]:
    """The rules of a mapping, or of the JSON of one; paths are relative to ``base``. Raises ValueError."""
    if isinstance(value, str):
        value = json.loads(value) if value.strip() else {}
    if isinstance(value, tuple):
        return value
    if not isinstance(value, Mapping):
        raise TypeError("it is a mapping, e.g. {'ghcr.io/acme/*': {venv: envs/acme}}")
    return tuple(_rule(str(pattern), content, base) for pattern, content in value.items())


def _rule(pattern: str, content: Any, base: Path) -> ImageRule:
    if not isinstance(content, Mapping) or not content or set(content) - KEYS:
        raise ValueError(f"{pattern}: it has python, venv or requirements, and nothing else")
    if "venv" in content and len(content) > 1:
        raise ValueError(f"{pattern}: venv stands alone; python and requirements are for an environment to be made")
    python, venv, requirements = (content.get(key, "") for key in ("python", "venv", "requirements"))
    if "venv" in content and not venv:
        raise ValueError(f"{pattern}: venv is the path of a virtual environment")
    if "requirements" in content and (not requirements or not isinstance(requirements, (list, str))):
        raise ValueError(f"{pattern}: requirements is a list such as [pandas], or the path of a file")
    if isinstance(requirements, list):
        requirements = tuple(_requirement(str(item), base) for item in requirements)
    elif requirements:
        requirements = _path(str(requirements), base)
    # A number such as 3.10 loses its last digit in YAML.
    if isinstance(python, float):
        raise TypeError(f"{pattern}: write the version in quotes, such as python: '3.11', and not {python}")
    is_version = bool(requirements) and os.sep not in str(python)
    if python and not requirements and VERSION.fullmatch(str(python)):
        raise ValueError(f"{pattern}: python {python} needs requirements; without them python is an interpreter's path")
    return ImageRule(
        pattern,
        python=str(python) if is_version or not python else _path(str(python), base),
        venv=_path(str(venv), base) if venv else "",
        requirements=requirements or (),
    )


def _requirement(line: str, base: Path) -> str:
    """A line of requirements; what it includes is beside the file, not where the tool happens to run."""
    found = INCLUDES.fullmatch(line.strip())
    return f"{found[1]} {_path(found[2], base)}" if found and "://" not in found[2] else line


def _path(text: str, base: Path) -> str:
    return os.path.normpath(base / Path(text).expanduser())
