"""Whether docker or podman runs containers on this machine, and the command that does."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import shutil
import subprocess
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from flytelite.engine.tasks.refusals import BadTaskFormat

PROGRAMS = ("docker", "podman")
ANSWER_SECONDS = 5.0
"""How long a container engine may take to say that it is there."""
AGAIN_SECONDS = 60.0
"""After that time one that did not answer is asked again."""
REMOVE_SECONDS = 30.0

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Run:
    """One container to run. ``mounts`` are directories of this machine by those that the container sees."""

    name: str
    image: str
    command: Sequence[str]
    args: Sequence[str]
    env: Mapping[str, str]
    secret_names: Sequence[str]
    mounts: Mapping[str, Path]


@dataclass(frozen=True)
class Engine:
    """A program that understands docker's command line, and has a daemon or needs none."""

    program: str

    def command(self, run: Run) -> tuple[str, ...]:
        """The command that runs a container, in the foreground, and removes it afterwards.

        Values of secrets are taken from the command's own environment: its arguments are for all to see.
        """
        options = ["run", "--rm", "--init", "--name", run.name]
        for seen, path in run.mounts.items():
            options += ["--volume", f"{path}:{seen}"]
        for name, value in run.env.items():
            options += ["--env", f"{name}={value}"]
        for name in run.secret_names:
            options += ["--env", name]
        rest = list(run.args)
        if run.command:
            options += ["--entrypoint", run.command[0]]
            rest = [*run.command[1:], *rest]
        return (self.program, *options, run.image, *rest)

    def removal(self, name: str) -> tuple[str, ...]:
        """The command that ends a container and removes it."""
        return (self.program, "rm", "--force", name)


class Engines:
    """Finds the engine that the setting ``containers`` allows: auto, docker, podman, host or never."""

    def __init__(self, allowed: str) -> None:
        self.allowed = allowed
        self._looking: asyncio.Task[Engine | None] | None = None
        self._looked_at = 0.0

    async def find(self) -> Engine | None:
        """The engine, or None when the command shall be a process of this machine. Raises BadTaskFormat."""
        if self.allowed == "never":
            raise BadTaskFormat("raw containers are forbidden here (containers: never)")
        if self.allowed == "host":
            return None
        found = await self._look()
        if found is None and self.allowed != "auto":
            raise BadTaskFormat(
                f"the task is a raw container and the setting `containers: {self.allowed}` wants {self.allowed},"
                f" which does not answer: start it, or set `containers: auto`"
            )
        return found

    async def _look(self) -> Engine | None:
        if self._looking is None or self._is_old(self._looking):
            self._looked_at = time.monotonic()
            programs = PROGRAMS if self.allowed == "auto" else (self.allowed,)
            self._looking = asyncio.create_task(asyncio.to_thread(_first_that_answers, programs))
        return await asyncio.shield(self._looking)

    def _is_old(self, looking: asyncio.Task[Engine | None]) -> bool:
        waited = time.monotonic() - self._looked_at
        return looking.done() and looking.result() is None and waited > AGAIN_SECONDS


def _first_that_answers(programs: Sequence[str]) -> Engine | None:
    for name in programs:
        program = shutil.which(name)
        if program is not None and _answers(program):
            return Engine(program)
    return None


def _answers(program: str) -> bool:
    """Whether the program and its daemon are there. Daemons that hang count as none."""
    try:
        done = subprocess.run(
            [program, "info"],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            timeout=ANSWER_SECONDS,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired):
        return False
    return done.returncode == 0


def remove(command: Sequence[str]) -> None:
    """Run the command that removes a container. Blocks; what cannot be removed is told in the log."""
    with contextlib.suppress(FileNotFoundError):
        done = subprocess.run(
            list(command),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            env=dict(os.environ),
            timeout=REMOVE_SECONDS,
            check=False,
        )
        said = done.stderr.decode(errors="replace").strip()
        if done.returncode and "no such container" not in said.lower() and "no container with name" not in said.lower():
            logger.warning("`%s` failed: %s", " ".join(command), said)
