"""Making environments with uv, or with venv and pip where there is no uv. Everything here blocks."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import IO

from flytelite.engine.environments.library import Library, clear
from flytelite.engine.environments.recipe import Recipe, own_version

LAST_LINES = 20
_NUMBERS = re.compile(r"\d+(\.\d+)*")


class BuildFailed(Exception):
    """An environment cannot be made; the message says which, and what the tool said."""


class Tool:
    """Runs uv or pip. ``stop`` ends what runs, for good."""

    def __init__(self, detached: bool = False) -> None:
        """``detached`` keeps the terminal's signals away from it."""
        self.uv = find_uv()
        self._detached = detached
        self._running: set[subprocess.Popen[bytes]] = set()
        self._lock = threading.Lock()
        self._stopped = False

    def run(self, argv: Sequence[str], log: IO[bytes]) -> bool:
        """Run one command with its output in ``log``; whether it succeeded."""
        log.write(f"$ {' '.join(argv)}\n".encode())
        log.flush()
        with self._lock:
            if self._stopped:
                return False
            try:
                process = subprocess.Popen(
                    argv,
                    stdin=subprocess.DEVNULL,
                    stdout=log,
                    stderr=subprocess.STDOUT,
                    env=_environment(),
                    start_new_session=self._detached,
                )
            except FileNotFoundError:
                log.write(f"there is no program {argv[0]}\n".encode())
                return False
            self._running.add(process)
        try:
            return process.wait() == 0
        finally:
            self._running.discard(process)

    def stop(self) -> None:
        """End what runs, and run nothing more."""
        with self._lock:
            self._stopped = True
            for process in self._running:
                process.kill()


def make(library: Library, recipe: Recipe, image: str, tool: Tool, again: bool = False) -> Path:
    """Make an environment unless it is there, or even then, and return its Python.

    Others who want the same one wait. Raises BuildFailed.
    """
    python = library.python(recipe)
    if library.is_whole(recipe) and not again:
        return python
    with library.locked(recipe.digest):
        if library.is_whole(recipe) and not again:
            return python  # somebody else was quicker
        directory = python.parent.parent
        clear(directory)
        log = library.log(recipe)
        log.parent.mkdir(parents=True, exist_ok=True)
        with log.open("wb") as output, tempfile.TemporaryDirectory(prefix="flytelite-") as place:
            requirements = Path(place) / "requirements.txt"
            requirements.write_text("".join(f"{line}\n" for line in recipe.requirements))
            output.write(f"requirements: {', '.join(recipe.requirements)}\n".encode())
            if not tool.run(_new(tool, recipe, directory), output):
                raise _failure(library, recipe, image, _hint(recipe))
            if not tool.run([*installer(tool, python), "--requirement", str(requirements), *recipe.options], output):
                clear(directory)
                raise _failure(library, recipe, image, "")
        library.finish(recipe)
    return python


def installer(tool: Tool, python: Path) -> list[str]:
    """The command that installs packages for an interpreter."""
    if tool.uv:
        return [tool.uv, "pip", "install", "--no-progress", "--python", str(python)]
    return [str(python), "-m", "pip", "install", "--disable-pip-version-check", "--no-input", "--progress-bar=off"]


def find_uv() -> str:
    """uv's program; empty when there is none."""
    try:
        from uv import find_uv_bin

        return str(find_uv_bin())
    except (ImportError, FileNotFoundError):
        return shutil.which("uv") or ""


def last_lines(log: Path) -> str:
    """The end of what a tool printed."""
    try:
        return "\n".join(log.read_text(errors="replace").splitlines()[-LAST_LINES:])
    except FileNotFoundError:
        return ""


def _new(tool: Tool, recipe: Recipe, directory: Path) -> list[str]:
    python = sys.executable if recipe.python == own_version() else recipe.python
    python = _of_version_manager(python) or python
    if tool.uv:
        return [tool.uv, "venv", "--no-progress", "--python", python, str(directory)]
    return [python if os.sep in python else f"python{python}", "-m", "venv", str(directory)]


def _of_version_manager(version: str) -> str:
    """The newest interpreter of a version that pyenv has, unless there is one in the path; empty if there is none.

    In the path pyenv has shims, which do not run for all that it has.
    """
    root = Path(os.environ.get("PYENV_ROOT") or Path.home() / ".pyenv")
    program = shutil.which(f"python{version}") if os.sep not in version else version
    if program is not None and not Path(program).is_relative_to(root / "shims"):
        return ""
    found = {place.parents[1].name: place for place in root.glob("versions/*/bin/python")}
    fitting = [name for name in found if f"{name}.".startswith(f"{version}.") and _NUMBERS.fullmatch(name)]
    newest = max(fitting, key=lambda name: [int(part) for part in name.split(".")], default=None)
    return str(found[newest]) if newest is not None else ""


def _environment() -> dict[str, str]:
    """The tool's own: an interpreter is never downloaded unasked, and pip's index is uv's too."""
    env = dict(os.environ)
    for name in ("VIRTUAL_ENV", "PYTHONPATH", "PYTHONHOME"):
        env.pop(name, None)
    env.setdefault("UV_PYTHON_DOWNLOADS", "never")
    env.setdefault("NO_COLOR", "1")
    if "PIP_INDEX_URL" in env and not {"UV_DEFAULT_INDEX", "UV_INDEX_URL"} & set(env):
        env["UV_DEFAULT_INDEX"] = env["PIP_INDEX_URL"]
    return env


def _hint(recipe: Recipe) -> str:
    if recipe.python == own_version():
        return ""
    return (
        f"\nIs there a Python {recipe.python} on this machine? It is not downloaded unasked: install it, for example"
        f" with `uv python install {recipe.python}`, or ask for {own_version()}, which flytelite runs in."
    )


def _failure(library: Library, recipe: Recipe, image: str, hint: str) -> BuildFailed:
    log = library.log(recipe)
    return BuildFailed(
        f"the environment of the image {image} cannot be made: {', '.join(_few(recipe.requirements))}"
        f"\n{last_lines(log)}{hint}\nThe whole log is {log}"
    )


def _few(requirements: Iterable[str]) -> list[str]:
    listed = list(requirements)
    return listed if len(listed) <= 10 else [*listed[:10], "…"]
