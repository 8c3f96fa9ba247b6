"""A container task as a command on this machine.

It runs in the Python environment that its image stands for (environments/choice.py), in a private directory.
"""

from __future__ import annotations

import asyncio
import os
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from flyteidl.core import literals_pb2, tasks_pb2

from flytelite.engine import data, placement
from flytelite.engine.environments.choice import OWN, Environment
from flytelite.engine.executors.interface import Command
from flytelite.engine.tasks import bundles, private_inputs, templates
from flytelite.engine.tasks.refusals import BadTaskFormat
from flytelite.engine.tasks.temporary import Temporary
from flytelite.engine.trash import Trash

ENTRYPOINTS = frozenset({"pyflyte-execute", "pyflyte-map-execute", bundles.FAST_EXECUTE})
ENTRYPOINT_MODULE = "flytekit.bin.entrypoint"


@dataclass(frozen=True)
class Place:
    """The directories of one attempt. Its temporary files are elsewhere."""

    attempt: Path
    temporary: Temporary

    @property
    def work(self) -> Path:
        """The working directory, with a copy of the task's code."""
        return self.attempt / "work"

    @property
    def inputs(self) -> Path:
        """The inputs of a raw container, as files."""
        return self.attempt / "inputs"

    @property
    def outputs(self) -> Path:
        """The files that a raw container leaves."""
        return self.attempt / "outputs"

    @property
    def copies(self) -> Path:
        """Copies of the stored files among the inputs."""
        return self.attempt / "copies"

    @property
    def packages(self) -> Path:
        """The packages that the attempt alone has."""
        return self.attempt / "packages"

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
        placement.spread(self.attempt.parents[1])
        self.work.mkdir(parents=True)
        self.temporary.make(self.attempt)

    def clear(self, trash: Trash) -> None:
        """Remove what only the running process needed; the log and the exit record stay."""
        data.remove_tree(self.secrets)
        trash.discard(self.temporary.of(self.attempt))
        for directory in (self.work, self.packages, self.inputs, self.outputs, self.copies):
            trash.discard(directory)


async def command(
    container: tasks_pb2.Container,
    variables: templates.Variables,
    env: Mapping[str, str],
    place: Place,
    cache: bundles.Bundles,
    *,
    where: Environment = OWN,
) -> Command:
    """Make the attempt's directories and its command.

    ``env`` is all of the environment but what the place adds, ``where`` the Python environment. Raises BadTaskFormat,
    and OSError when a directory cannot be made.
    """
    try:
        prepared = await asyncio.to_thread(_prepare, container, variables, place, cache, where)
        code = prepared.code
        if prepared.missing:
            code = await cache.place(prepared.missing, place.work)
    except (templates.UnknownInput, bundles.UnusableBundle) as error:
        raise BadTaskFormat(str(error)) from error
    environment = with_temporary(env, place)
    if prepared.has_code or where.files is not None:
        paths = [environment.get("PYTHONPATH", ""), str(place.work)]
        environment["PYTHONPATH"] = os.pathsep.join(path for path in paths if path)
    argv = program(prepared.argv, environment, where)
    alone = where.files is None
    return Command(argv=argv, env=environment, cwd=place.work, log=place.log, code=code if alone else None)


@dataclass(frozen=True)
class _Prepared:
    """``missing`` is a distribution that has not been unpacked yet, ``code`` where one is that has been."""

    argv: Sequence[str]
    has_code: bool = False
    missing: str = ""
    code: Path | None = None


def _prepare(
    container: tasks_pb2.Container,
    variables: templates.Variables,
    place: Place,
    cache: bundles.Bundles,
    where: Environment,
) -> _Prepared:
    """All that blocks but is quick, in one turn of a thread."""
    Path(variables.output_prefix).mkdir(parents=True, exist_ok=True)
    place.make()
    variables = _with_private_inputs(variables, place)
    argv = templates.render([*container.command, *container.args], variables)
    fast = bundles.parse(argv)
    if where.files is not None:
        shutil.copytree(where.files, place.work, symlinks=True, dirs_exist_ok=True)
    if fast is None:
        return _Prepared(argv)
    if not bundles.is_local(fast.distribution):
        # Only flytekit knows how to fetch from other stores: it unpacks into the working directory itself.
        options = ["--additional-distribution", fast.distribution, "--dest-dir", "."]
        return _Prepared([bundles.FAST_EXECUTE, *options, "--", *fast.wrapped], has_code=True)
    code = cache.place_known(fast.distribution, place.work) if fast.distribution else None
    return _Prepared(fast.command, has_code=True, missing="" if code else fast.distribution, code=code)


def _with_private_inputs(variables: templates.Variables, place: Place) -> templates.Variables:
    """The variables with inputs that the attempt may change; what is too large for that is told in its log."""
    copies, too_large = private_inputs.copy(variables.inputs, variables.bucket, place.copies)
    if too_large:
        with place.log.open("a", encoding="utf-8") as log:
            for stored in too_large:
                log.write(f"flytelite: {stored} is too large to be copied: do not change it, others may read it too\n")
    if not copies:
        return variables
    path = place.copies / data.INPUTS
    # The file holds the inputs of all elements of a map task, the variables those of this one.
    whole = data.read_message(Path(variables.input), literals_pb2.LiteralMap, limit=None) or literals_pb2.LiteralMap()
    path.write_bytes(private_inputs.replace(whole, copies).SerializeToString(deterministic=True))
    inputs = private_inputs.replace(variables.inputs, copies)
    return replace(variables, input=str(path), input_prefix=str(place.copies), inputs=inputs)


def with_temporary(env: Mapping[str, str], place: Place) -> dict[str, str]:
    """The environment with the attempt's own directory for temporary files."""
    return {**env, "TMPDIR": place.temporary.of(place.attempt)}


def is_for_flytekit(container: tasks_pb2.Container) -> bool:
    """Whether the command is one of flytekit's own."""
    return next(iter([*container.command, *container.args]), "") in ENTRYPOINTS


def has_code(container: tasks_pb2.Container) -> bool:
    """Whether the task was registered with its code, or is none of flytekit's, whose image has what it needs."""
    return not is_for_flytekit(container) or bundles.is_fast([*container.command, *container.args])


def program(argv: Sequence[str], env: Mapping[str, str], where: Environment = OWN) -> tuple[str, ...]:
    """The command with the path of its program. Raises BadTaskFormat when that is not on this machine."""
    if not argv:
        raise BadTaskFormat("neither command nor args of the task's container are set")
    if argv[0] in ENTRYPOINTS:
        # Never another environment's that is in PATH too.
        script = where.python.with_name(argv[0])
        return (str(script), *argv[1:]) if script.is_file() else (str(where.python), "-m", ENTRYPOINT_MODULE, *argv)
    found = shutil.which(argv[0], path=env.get("PATH"))
    if found is not None:
        return (found, *argv[1:])
    raise BadTaskFormat(
        f"the program [{argv[0]}] of the task's command is not on this machine: install it, or have it in PATH"
    )
