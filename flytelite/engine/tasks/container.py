"""A container task as a command on this machine.

The image is not used: the command runs in the Python environment that flytelite runs in, in a private directory.
"""

from __future__ import annotations

import asyncio
import os
import shutil
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from flyteidl.core import literals_pb2, tasks_pb2
from google.protobuf import json_format

from flytelite.engine import data
from flytelite.engine.executors.interface import Command
from flytelite.engine.tasks import bundles, templates

ENTRYPOINTS = frozenset({"pyflyte-execute", "pyflyte-map-execute", bundles.FAST_EXECUTE})
PRIMARY_CONTAINER = "primary_container_name"


class BadTaskFormat(Exception):
    """The template cannot be made into a command on this machine."""


@dataclass(frozen=True)
class Place:
    """The directories of one attempt."""

    attempt: Path

    @property
    def work(self) -> Path:
        """The working directory, with a copy of the task's code."""
        return self.attempt / "work"

    @property
    def temporary(self) -> Path:
        """The attempt's own TMPDIR."""
        return self.attempt / "tmp"

    @property
    def secrets(self) -> Path:
        """The files of the attempt's secrets."""
        return self.attempt / "secrets"

    @property
    def log(self) -> Path:
        """What the attempt prints."""
        return self.attempt / "task.log"

    def make(self) -> None:
        """Fresh directories; what an engine left that died before it started the attempt goes."""
        shutil.rmtree(self.attempt, ignore_errors=True)
        self.work.mkdir(parents=True)
        self.temporary.mkdir()

    def clear(self) -> None:
        """Remove what only the running process needed; the log and the exit record stay."""
        for directory in (self.secrets, self.work, self.temporary):
            data.remove_tree(directory)


def container_of(template: tasks_pb2.TaskTemplate) -> tasks_pb2.Container:
    """The container of the task; of a pod its primary one. Raises BadTaskFormat when it has none."""
    target = template.WhichOneof("target")
    if target == "container":
        return template.container
    if target == "k8s_pod":
        return _primary(template)
    raise BadTaskFormat(
        f"a task of type [{template.type}] runs no command; flytelite has no plugin for it"
        " and it can only run tasks with a container"
    )


def _primary(template: tasks_pb2.TaskTemplate) -> tasks_pb2.Container:
    name = template.config.get(PRIMARY_CONTAINER, "")
    containers = json_format.MessageToDict(template.k8s_pod.pod_spec).get("containers", [])
    for item in containers:
        if item.get("name") == name or (not name and len(containers) == 1):
            container = tasks_pb2.Container(command=item.get("command", []), args=item.get("args", []))
            for variable in item.get("env", []):
                container.env.append(literals_pb2.KeyValuePair(key=variable["name"], value=variable.get("value", "")))
            return container
    raise BadTaskFormat(f"Primary container [{name}] not found in the task's pod specification")


async def command(
    container: tasks_pb2.Container,
    variables: templates.Variables,
    env: Mapping[str, str],
    place: Place,
    cache: bundles.Bundles,
) -> Command:
    """Make the attempt's directories and its command.

    ``env`` is all of the environment but what the place adds. Raises BadTaskFormat, and OSError when a directory
    cannot be made.
    """
    try:
        prepared = await asyncio.to_thread(_prepare, container, variables, place, cache)
        if prepared.missing:
            await cache.place(prepared.missing, place.work)
    except (templates.UnknownInput, bundles.UnusableBundle) as error:
        raise BadTaskFormat(str(error)) from error
    if not prepared.argv:
        raise BadTaskFormat("neither command nor args of the task's container are set")
    environment = dict(env)
    environment["TMPDIR"] = str(place.temporary)
    if prepared.has_code:
        paths = [environment.get("PYTHONPATH", ""), str(place.work)]
        environment["PYTHONPATH"] = os.pathsep.join(path for path in paths if path)
    return Command(argv=_program(prepared.argv, environment), env=environment, cwd=place.work, log=place.log)


@dataclass(frozen=True)
class _Prepared:
    """``missing`` is a distribution that has not been unpacked yet."""

    argv: Sequence[str]
    has_code: bool = False
    missing: str = ""


def _prepare(
    container: tasks_pb2.Container, variables: templates.Variables, place: Place, cache: bundles.Bundles
) -> _Prepared:
    """All that blocks but is quick, in one turn of a thread."""
    Path(variables.output_prefix).mkdir(parents=True, exist_ok=True)
    argv = templates.render([*container.command, *container.args], variables)
    fast = bundles.parse(argv)
    place.make()
    if fast is None:
        return _Prepared(argv)
    if not bundles.is_local(fast.distribution):
        # Only flytekit knows how to fetch from other stores: it unpacks into the working directory itself.
        options = ["--additional-distribution", fast.distribution, "--dest-dir", "."]
        return _Prepared([bundles.FAST_EXECUTE, *options, "--", *fast.wrapped], has_code=True)
    there = not fast.distribution or cache.place_known(fast.distribution, place.work)
    return _Prepared(fast.command, has_code=True, missing="" if there else fast.distribution)


def _program(argv: Sequence[str], env: Mapping[str, str]) -> tuple[str, ...]:
    found = shutil.which(argv[0], path=env.get("PATH"))
    if found is not None:
        return (found, *argv[1:])
    if argv[0] in ENTRYPOINTS:
        return (sys.executable, "-m", "flytekit.bin.entrypoint", *argv)
    raise BadTaskFormat(
        f"the program [{argv[0]}] of the task's command is not on this machine: install it, or have it in PATH"
    )
