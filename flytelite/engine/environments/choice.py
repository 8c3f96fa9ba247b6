"""Which Python environment a task runs in.

In this order: what ``images`` in flytelite.yaml says of its image, the most specific pattern first; what the image's
ImageSpec asked for; what ``images`` says of all images (``*``); what ``project_environments`` says of its project and
domain, or of its project; the environment that flytelite runs in.
"""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from flytelite.config import FILE_NAME, Settings
from flytelite.engine.environments.building import BuildFailed, Tool, make
from flytelite.engine.environments.library import Image, Library
from flytelite.engine.environments.recipe import Recipe, make_recipe
from flytelite.engine.threads import Threads
from flytelite.image_rules import ANY, ImageRule, best

BUILDS = 2
"""Environments that are made at the same time."""
FORGIVE_SECONDS = 30.0
"""A build that failed fails for whoever asks within this time, without being tried again."""
PROBE_SECONDS = 60.0
IMAGE_ID = "_F_IMG_ID"
"""flytekit's: by it an ImageSpec knows in a task that it is its image (``flytekit/image_spec/image_spec.py``)."""


class NoEnvironment(Exception):
    """The environment that an image is to run in is not there, or is not one for flytekit's tasks."""


@dataclass(frozen=True)
class Environment:
    """Where a task runs. ``source`` says for people what decided it; ``files`` go into its working directory.

    ``rule`` is that of flytelite.yaml, if one of images decided it; ``of_spec`` says that an ImageSpec did.
    """

    python: Path
    source: str
    image: str = ""
    variables: Mapping[str, str] = field(default_factory=dict)
    files: Path | None = None
    notes: tuple[str, ...] = ()
    rule: ImageRule | None = None
    of_spec: bool = False

    @property
    def programs(self) -> Path:
        """Where the environment's programs are."""
        return self.python.parent

    @property
    def is_own(self) -> bool:
        """Whether it is the one that flytelite runs in."""
        return str(self.python) == sys.executable

    def adapt(self, host: Mapping[str, str]) -> dict[str, str]:
        """The variables of this machine as a task in the environment sees them: its own programs come first."""
        if self.is_own:
            return {**host, **self.variables}
        own = str(Path(sys.executable).parent)
        rest = [path for path in host.get("PATH", "").split(os.pathsep) if path and path != own]
        env = {**host, "PATH": os.pathsep.join([str(self.programs), *rest])}
        env.pop("VIRTUAL_ENV", None)
        if (self.programs.parent / "pyvenv.cfg").is_file():
            env["VIRTUAL_ENV"] = str(self.programs.parent)
        return {**env, **self.variables}


@dataclass(frozen=True)
class Mapped:
    """A rule of flytelite.yaml, and the setting that it is of."""

    rule: ImageRule
    setting: str

    @property
    def source(self) -> str:
        """For people: what decided."""
        return f"{self.rule.pattern!r} of {self.setting} in {FILE_NAME}"

    @property
    def recipe(self) -> Recipe:
        """Of the environment that has to be made. Reads a file. Raises NoEnvironment."""
        return make_recipe(self.rule.python, _requirements(self.rule, self.source))


def decide(settings: Settings, library: Library, image: str) -> Mapped | Image | None:
    """What is said of an image: by flytelite.yaml, or by its ImageSpec; None when its project decides."""
    rule = best((rule for rule in settings.images if rule.pattern != ANY), image)
    found = library.image(image) if image and rule is None else None
    if found is not None:
        return found
    rule = rule or next((rule for rule in settings.images if rule.pattern == ANY), None)
    return None if rule is None else Mapped(rule, "images")


OWN = Environment(Path(sys.executable), "the environment that flytelite runs in")


class Environments:
    """Finds the environment of an image, and has it made."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._library = Library(settings.environments)
        self._tool = Tool(detached=True)
        self._threads = Threads(BUILDS, thread_name_prefix="environments")
        self._making: dict[str, asyncio.Future[Path]] = {}
        self._probed: dict[tuple[str, int], bool] = {}

    async def choose(self, image: str, project: str, domain: str, for_flytekit: bool) -> Environment:
        """The environment of a task with that image, made if need be; ``for_flytekit`` needs flytekit in it.

        Raises BuildFailed and NoEnvironment, which say what to do.
        """
        decided = decide(self._settings, self._library, image)
        if isinstance(decided, Image):
            return await self._by_spec(decided)
        rules = self._settings.project_environments
        if decided is None and (rule := best(rules, f"{project}/{domain}") or best(rules, project)) is not None:
            decided = Mapped(rule, "project_environments")
        if decided is None:
            return Environment(OWN.python, OWN.source, image)
        return await self._by_rule(decided, image, for_flytekit)

    async def close(self) -> None:
        """End what is being made."""
        self._tool.stop()
        await asyncio.to_thread(self._threads.shutdown)

    async def _by_rule(self, mapped: Mapped, image: str, for_flytekit: bool) -> Environment:
        rule, source = mapped.rule, mapped.source
        if rule.makes_environment:
            return Environment(await self._make(mapped.recipe, image or rule.pattern), source, image, rule=rule)
        python = _interpreter(rule)
        if python is None:
            raise NoEnvironment(
                f"the image {image} runs in the environment {rule.venv or rule.python} (by {source}), "
                f"which is not there: correct the path in {FILE_NAME} and start `flytelite up` again"
            )
        if for_flytekit and not await self._has_flytekit(python):
            raise NoEnvironment(
                f"the image {image} runs in the environment of {python} (by {source}), which has no flytekit: "
                f"`uv pip install --python {python} flytekit` installs it"
            )
        return Environment(python, source, image)

    async def _by_spec(self, image: Image) -> Environment:
        python = await self._make(image.recipe, image.name)
        variables = {**image.variables, **({IMAGE_ID: image.id} if image.id else {})}
        files = Path(image.files) if image.files else None
        return Environment(python, "its ImageSpec", image.name, variables, files, image.notes, of_spec=True)

    async def _make(self, recipe: Recipe, image: str) -> Path:
        """All who want the same environment wait for the same build."""
        if self._library.is_whole(recipe):
            return self._library.python(recipe)
        making = self._making.get(recipe.digest)
        if making is None:
            loop = asyncio.get_running_loop()
            making = loop.run_in_executor(self._threads, make, self._library, recipe, image, self._tool)
            self._making[recipe.digest] = making
            making.add_done_callback(lambda done: self._forget(recipe.digest, done))
        return await asyncio.shield(making)

    def _forget(self, digest: str, making: asyncio.Future[Path]) -> None:
        failed = not making.cancelled() and making.exception() is not None
        delay = FORGIVE_SECONDS if failed else 0.0
        asyncio.get_running_loop().call_later(delay, self._making.pop, digest, None)

    async def _has_flytekit(self, python: Path) -> bool:
        """Asks the interpreter, once; an environment without is asked again, since it may get it."""
        if (python.parent / "pyflyte-execute").is_file():
            return True
        key = (str(python), python.stat().st_mtime_ns)
        if not self._probed.get(key):
            self._probed[key] = await asyncio.to_thread(_imports_flytekit, python)
        return self._probed[key]


def _interpreter(rule: ImageRule) -> Path | None:
    """The rule's Python; None when there is no such file."""
    names = [Path(rule.venv, "bin", name) for name in ("python", "python3")] if rule.venv else [Path(rule.python)]
    return next((path for path in names if path.is_file()), None)


def _requirements(rule: ImageRule, source: str) -> list[str]:
    if not isinstance(rule.requirements, str):
        return list(rule.requirements)
    try:
        return Path(rule.requirements).read_text().splitlines()
    except OSError as error:
        raise NoEnvironment(f"the requirements of {source} cannot be read: {error}") from error


def _imports_flytekit(python: Path) -> bool:
    code = "import importlib.util, sys; sys.exit(importlib.util.find_spec('flytekit') is None)"
    try:
        done = subprocess.run(
            [str(python), "-c", code], capture_output=True, timeout=PROBE_SECONDS, cwd="/", check=False
        )
    except (OSError, subprocess.TimeoutExpired):
        return False
    return done.returncode == 0


__all__ = ["BuildFailed", "Environment", "Environments", "NoEnvironment"]
