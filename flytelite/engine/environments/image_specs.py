"""flytekit's ImageSpecs, in the process of the client that registers them: what they ask for, and having it made."""

from __future__ import annotations

import functools
import http.client
import json
import shlex
import shutil
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from flytelite.config import LOOPBACK
from flytelite.engine.environments.building import Tool, make
from flytelite.engine.environments.library import Image, Library
from flytelite.engine.environments.recipe import Recipe, make_recipe

ROUTE = "/flytelite/v1/environments"
ANSWER_SECONDS = 5.0
NOT_POSSIBLE = {
    "apt_packages": "install them on this machine if the tasks need them",
    "commands": "run them on this machine if the tasks need them",
    "conda_packages": "put what is on PyPI into packages",
    "cuda": "what this machine has is used",
    "cudnn": "what this machine has is used",
    "python_exec": "python_version says which Python is used",
}
"""What a virtual environment cannot have, and what to do about it."""


@dataclass(frozen=True)
class LocalServer:
    """A flytelite server of this machine: where its environments are, its Python's version and its flytekit's."""

    directory: Path
    python: str
    flytekit: str


def local_server() -> LocalServer | None:
    """The server that the client talks to; None when it is not flytelite, or not on this machine."""
    return _ask(_endpoint())


def build(spec: Any, server: LocalServer, tool: Tool | None = None) -> None:
    """Have the environment of an ImageSpec made and remember what its image stands for.

    Raises BuildFailed, and ValueError for a spec that cannot be.
    """
    library = Library(server.directory)
    name = spec.image_name()
    recipe, notes = _recipe(spec, server, library)
    for note in notes:
        _say(f"{name}: {note}")
    started = time.monotonic()
    again = bool(spec._is_force_push)
    new = again or not library.is_whole(recipe)
    if new:
        _say(f"making the environment of {name} (log: {library.log(recipe)})")
    make(library, recipe, name, tool or Tool(), again)
    if new:
        _say(f"made the environment of {name} in {time.monotonic() - started:.1f} s")
    files = _copy_files(spec, library.files(name))
    library.save_image(
        Image(name, recipe, spec.id, dict(spec.env or {}), tuple(notes), str(files) if files is not None else "")
    )


def _recipe(spec: Any, server: LocalServer, library: Library) -> tuple[Recipe, list[str]]:
    """What to make, and what cannot be made."""
    notes = []
    for field, remedy in NOT_POSSIBLE.items():
        if value := getattr(spec, field, None):
            listed = ", ".join(value) if isinstance(value, list) else value
            notes.append(f"{field} ({listed}) cannot be had without a container; {remedy}")
    requirements: list[str] = []
    if spec.base_image:
        base = library.image(str(spec.base_image))
        if base is not None:
            requirements += [line for line in base.recipe.requirements if not line.startswith("flytekit==")]
        else:
            notes.append(f"base_image ({spec.base_image}) is not used; list the packages that tasks need of it")
    if spec.requirements:
        requirements += _read(Path(spec.requirements))
    requirements += spec.packages or []
    options: list[str] = []
    if spec.pip_index:
        options += ["--index-url", spec.pip_index]
    for url in spec.pip_extra_index_url or []:
        options += ["--extra-index-url", url]
    options += shlex.split(spec.pip_extra_args or "")
    return make_recipe(spec.python_version or server.python, requirements, options, server.flytekit), notes


def _read(path: Path) -> list[str]:
    if path.suffix not in (".txt", ".in"):
        raise ValueError(f"requirements={str(path)!r} of an ImageSpec is no requirements.txt, which flytelite needs")
    return path.read_text().splitlines()


def _copy_files(spec: Any, target: Path) -> Path | None:
    """What the image would have in its working directory: ``copy``, and the code where it is not sent otherwise."""
    from flytekit.constants import CopyFileDetection

    shutil.rmtree(target, ignore_errors=True)
    for item in spec.copy or []:
        source = Path(item)
        place = target / (source.name if source.is_absolute() else source)
        place.parent.mkdir(parents=True, exist_ok=True)
        if source.is_dir():
            shutil.copytree(source, place, symlinks=True, dirs_exist_ok=True)
        else:
            shutil.copy2(source, place)
    if spec.source_copy_mode not in (None, CopyFileDetection.NO_COPY) and spec.source_root:
        from flytekit.tools.ignore import DockerIgnore, GitIgnore, IgnoreGroup, StandardIgnore
        from flytekit.tools.script_mode import ls_files

        ignore = IgnoreGroup(spec.source_root, [GitIgnore, DockerIgnore, StandardIgnore])
        files, _ = ls_files(str(spec.source_root), spec.source_copy_mode, deref_symlinks=False, ignore_group=ignore)
        for file in files:
            place = target / Path(file).relative_to(Path(spec.source_root).absolute())
            place.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(file, place)
    return target if target.is_dir() else None


def _endpoint() -> str:
    """host:port of the FlyteRemote that was made last, else of flytekit's configuration."""
    import fsspec
    from flytekit.configuration import PlatformConfig

    try:
        # Each FlyteRemote registers itself as the file system of flyte:// addresses.
        platform = fsspec.filesystem("flyte", skip_instance_cache=True)._remote.config.platform
    except (ValueError, ImportError, AttributeError):
        platform = PlatformConfig.auto()
    endpoint = str(platform.endpoint)
    for prefix in ("dns:///", "http://"):
        endpoint = endpoint.removeprefix(prefix)
    return endpoint.rstrip("/")


@functools.lru_cache(maxsize=8)
def _ask(endpoint: str) -> LocalServer | None:
    host, _, port = endpoint.rpartition(":")
    if host.strip("[]") not in LOOPBACK or not port.isdigit():
        return None
    connection = http.client.HTTPConnection(host.strip("[]"), int(port), timeout=ANSWER_SECONDS)
    try:
        connection.request("GET", ROUTE)
        response = connection.getresponse()
        if response.status != http.client.OK:
            return None
        content = json.loads(response.read())
        return LocalServer(Path(content["directory"]), content["python"], content["flytekit"])
    except (OSError, http.client.HTTPException, ValueError, KeyError, TypeError):
        return None  # nobody there, or somebody else
    finally:
        connection.close()


def _say(line: str) -> None:
    print(f"flytelite: {line}", file=sys.stderr, flush=True)
