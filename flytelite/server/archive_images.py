"""The images of ImageSpecs in an archive, so that an environment of the same packages can be made where it is imported.

images/HASH.json    what an image stands for, as it lies among the environments (engine/environments/library.py)
images/HASH/…       the files that its tasks find in their working directory

Only images that are named after what their ImageSpec asks for go and come. Under any other name, an archive could say
what the tasks run in that are here already.
"""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Iterable, Set
from dataclasses import replace
from pathlib import Path
from typing import Any

from flytelite.engine.environments.library import Image, Library
from flytelite.errors import InvalidArgument
from flytelite.server.archive import IMAGES
from flytelite.server.data_files import files_below

RECORD_BYTES = 1024 * 1024

_HASH = re.compile(r"(?<!\w)\w{22}(?!\w)", re.ASCII)
"""Of an ImageSpec (``flytekit/image_spec/image_spec.py``, ``tag``), perhaps amid other words of a tag."""


class ArchiveImages:
    """What a library of environments gives to an archive, and takes from one. Everything here blocks on the disk."""

    def __init__(self, library: Library) -> None:
        self._library = library

    def files(self, strings: Set[str]) -> dict[str, Path]:
        """The files of the images that are among those strings, by their names in an archive."""
        found: dict[str, Path] = {}
        for image in self._library.images():
            if image.name in strings and _is_of_a_spec(image.name):
                record, files = self._library.record(image.name), self._library.files(image.name)
                found[f"{IMAGES}/{record.name}"] = record
                for path in files_below(files):
                    found[f"{IMAGES}/{files.name}/{path.relative_to(files)}"] = path
        return found

    def check(self, staging: Path) -> list[Image]:
        """The images of an unpacked archive of which nothing is known here. Raises InvalidArgument."""
        images = [self._checked(path) for path in sorted((staging / IMAGES).glob("*.json"))]
        return [image for image in images if self._library.image(image.name) is None]

    def put(self, images: Iterable[Image], staging: Path) -> None:
        """Remember images and keep their files. Nothing is installed before a task needs it."""
        for image in images:
            files = self._library.files(image.name)
            shutil.rmtree(files, ignore_errors=True)
            carried = staging / IMAGES / files.name
            if carried.is_dir():
                shutil.copytree(carried, files)
            self._library.save_image(replace(image, files=str(files) if carried.is_dir() else ""))

    def forget(self, images: Iterable[Image]) -> None:
        """Undo ``put``."""
        for image in images:
            self._library.record(image.name).unlink(missing_ok=True)
            shutil.rmtree(self._library.files(image.name), ignore_errors=True)

    def _checked(self, path: Path) -> Image:
        if path.stat().st_size > RECORD_BYTES:
            raise InvalidArgument(f"{IMAGES}/{path.name} of the archive has more than {RECORD_BYTES} bytes")
        try:
            content: Any = json.loads(path.read_bytes())
            image = Image.of_json(content)
        except (ValueError, KeyError, TypeError, RecursionError) as error:
            raise InvalidArgument(f"{IMAGES}/{path.name} of the archive is no image: {error!r}") from error
        recipe = image.recipe
        texts = [image.name, image.id, recipe.python, *recipe.requirements, *recipe.options, *image.notes]
        if isinstance(image.variables, dict):
            texts += [*image.variables, *image.variables.values()]
        if not isinstance(image.variables, dict) or not all(isinstance(text, str) for text in texts):
            raise InvalidArgument(f"{IMAGES}/{path.name} of the archive is no image: not all of its values are texts")
        if not _is_of_a_spec(image.name):
            raise InvalidArgument(f"{IMAGES}/{path.name} of the archive is of {image.name!r}, which no ImageSpec names")
        if self._library.record(image.name).name != path.name:
            raise InvalidArgument(f"{IMAGES}/{path.name} of the archive is not the place of the image {image.name!r}")
        return image


def _is_of_a_spec(image: str) -> bool:
    _, colon, tag = image.rpartition(":")
    return bool(colon) and "/" not in tag and _HASH.search(tag) is not None
