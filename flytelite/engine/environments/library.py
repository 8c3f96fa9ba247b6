"""The environments that were made, and the images that stand for them: one directory, shared by all servers of a user.

```
DIGEST/                       a virtual environment; it is whole once environment.json is in it
DIGEST/environment.json       its recipe
logs/DIGEST.log               what was printed while it was made
locks/DIGEST                  held by whoever makes or removes it
images/HASH.json              an image of an ImageSpec: its name, its recipe, its variables
```

A virtual environment's programs hold its path, so it is made where it stays, and counts only once it is whole.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import secrets
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from flytelite.engine.environments.recipe import Recipe

RECORD = "environment.json"
IMAGES, LOGS, LOCKS = "images", "logs", "locks"


@dataclass(frozen=True)
class Image:
    """What an ImageSpec asked for under the name of its image. ``id`` is how the spec knows itself in a task."""

    name: str
    recipe: Recipe
    id: str = ""
    variables: dict[str, str] = field(default_factory=dict)
    notes: tuple[str, ...] = ()
    files: str = ""

    def as_json(self) -> dict[str, Any]:
        """For ``of_json``."""
        return {**vars(self), "recipe": self.recipe.as_json()}

    @classmethod
    def of_json(cls, content: dict[str, Any]) -> Image:
        """What ``as_json`` made."""
        return cls(**{**content, "recipe": Recipe.of_json(content["recipe"]), "notes": tuple(content["notes"])})


@dataclass(frozen=True)
class Made:
    """An environment that is whole. ``used`` is when it was last asked for, in seconds since the epoch."""

    digest: str
    recipe: Recipe
    images: tuple[str, ...]
    used: float


class Library:
    """The directory. Reading and writing blocks a little; making environments is building.py's."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory

    def python(self, recipe: Recipe) -> Path:
        """The interpreter of an environment, which need not exist."""
        return self.directory / recipe.digest / "bin" / "python"

    def log(self, recipe: Recipe) -> Path:
        """What was printed while an environment was made."""
        return self.directory / LOGS / f"{recipe.digest}.log"

    def is_whole(self, recipe: Recipe) -> bool:
        """Whether an environment can be used. Remembers that somebody asked."""
        record = self.directory / recipe.digest / RECORD
        try:
            os.utime(record)
        except OSError:
            return record.is_file()
        return True

    def finish(self, recipe: Recipe) -> None:
        """Declare an environment to be whole."""
        _write(self.directory / recipe.digest / RECORD, {"recipe": recipe.as_json(), "made_at": time.time()})

    @contextmanager
    def locked(self, digest: str) -> Iterator[None]:
        """Be the only one that makes or removes an environment; the system ends it when the process dies."""
        path = self.directory / LOCKS / digest
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("ab") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield

    def save_image(self, image: Image) -> None:
        """Remember what an image stands for."""
        _write(self.record(image.name), image.as_json())

    def image(self, name: str) -> Image | None:
        """What an image stands for; None for one that no ImageSpec was made into."""
        content = _read(self.record(name))
        return None if content is None else Image.of_json(content)

    def images(self) -> list[Image]:
        """All images."""
        paths = sorted((self.directory / IMAGES).glob("*.json"))
        return [Image.of_json(content) for path in paths if (content := _read(path)) is not None]

    def record(self, image: str) -> Path:
        """The file that says what an image stands for, if anything is known of it."""
        return self.directory / IMAGES / f"{hashlib.sha256(image.encode()).hexdigest()[:20]}.json"

    def files(self, image: str) -> Path:
        """Where the files of an image lie that its tasks find in their working directory."""
        return self.record(image).with_suffix("")

    def made(self) -> list[Made]:
        """All environments that are whole, the one last used first."""
        names: dict[str, list[str]] = {}
        for image in self.images():
            names.setdefault(image.recipe.digest, []).append(image.name)
        found = []
        for record in self.directory.glob(f"*/{RECORD}"):
            content = _read(record)
            if content is not None:
                digest = record.parent.name
                used = record.stat().st_mtime
                found.append(Made(digest, Recipe.of_json(content["recipe"]), tuple(names.get(digest, ())), used))
        return sorted(found, key=lambda made: made.used, reverse=True)

    def remove(self, digest: str) -> None:
        """Remove an environment; what an image stands for is kept, so it can be made again."""
        with self.locked(digest):
            clear(self.directory / digest)
            (self.directory / LOGS / f"{digest}.log").unlink(missing_ok=True)


def clear(environment: Path) -> None:
    """Remove an environment, first of all what says that it is whole."""
    (environment / RECORD).unlink(missing_ok=True)
    shutil.rmtree(environment, ignore_errors=True)


def _write(path: Path, content: dict[str, Any]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
    temporary.write_text(json.dumps(content, indent=1))
    temporary.replace(path)


def _read(path: Path) -> Any:
    try:
        return json.loads(path.read_text())
    except FileNotFoundError:
        return None
