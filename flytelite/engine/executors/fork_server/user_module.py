"""In a fork of a fork server: a user's module, imported once for all attempts of one code version.

It is imported from a copy that is removed afterwards; each attempt sees its own copy instead. Which modules this can be
done with: docs/executors.md. With all others each attempt imports for itself, and so says what is wrong with them.
"""
# ruff: noqa: PTH118, PTH119, PTH120

from __future__ import annotations

import contextlib
import importlib
import os
import shutil
import signal
import sys
import tempfile
from collections.abc import Iterator, Mapping
from typing import Any

from . import state
from .import_places import Places, attribute
from .import_traces import Traces
from .import_watch import Watch
from .preparation import Prepared, import_libraries
from .task import shadows

MOST_WORDS = 65536


class Unfit(Exception):
    """The import does more than to define things."""


def load(prepared: Prepared, wanted: Mapping[str, Any]) -> Prepared:
    """Import the libraries ``modules`` and then ``module``, as the script ``program`` would in the variables ``env``.

    ``code`` is the directory that its code is in, ``copy`` where a copy may be made. After so many ``seconds`` the
    process ends. Raises Unfit, UnsafeToFork, Fixed, and what the import raises.
    """
    import_libraries(prepared, wanted["modules"], wanted["env"])
    root = os.path.join(os.path.realpath(os.path.dirname(wanted["copy"])), os.path.basename(wanted["copy"]))
    try:
        shutil.copytree(wanted["code"], root, symlinks=True)
        if shadows(root, prepared.libraries):
            raise Unfit("has modules with the names of libraries")
        _try(prepared, root, wanted)
        places = _import(prepared, root, wanted, calls=False)
    finally:
        shutil.rmtree(root, ignore_errors=True)
    prepared.settle(huge=False)  # which would have it copy all that it shares
    prepared.move = places.move
    return prepared


def _try(prepared: Prepared, root: str, wanted: Mapping[str, Any]) -> None:
    """Have a fork of this process import first, which is watched more closely. Raises Unfit."""
    file = os.memfd_create("refusal")
    child = os.fork()
    if child == 0:
        code = 1
        try:
            _import(prepared, root, wanted, calls=True)
            code = 0
        except BaseException as error:
            os.write(file, f"{type(error).__name__}: {error}".encode(errors="replace"))
        finally:
            os._exit(code)  # also when the error cannot say what it is
    _, status = os.waitpid(child, 0)
    said = os.pread(file, MOST_WORDS, 0).decode(errors="replace")
    os.close(file)
    if status:
        raise Unfit(said or "its process ended")


def _import(prepared: Prepared, root: str, wanted: Mapping[str, Any], *, calls: bool) -> Places:
    known = set(sys.modules)
    homes = [*prepared.places, os.path.dirname(os.__file__)]
    with _as_in_an_attempt(prepared, root, wanted["program"]):
        traces = Traces()
        watch = Watch(root, homes, calls=calls)
        with _output() as printed:
            signal.alarm(wanted["seconds"])
            with watch:
                importlib.import_module(wanted["module"])
            path = list(sys.path)
            if not signal.alarm(0):
                watch.note("changes the alarm")
        found = [*watch.found, *traces.left(), *_foreign(set(sys.modules) - known, root, homes)]
        if printed:
            found.append("prints")
    if found:
        raise Unfit("; ".join(found))
    places = Places(root, watch.codes, path)
    places.find(watch, vars(watch), watch.codes, path)
    return places


@contextlib.contextmanager
def _as_in_an_attempt(prepared: Prepared, root: str, program: str) -> Iterator[None]:
    """The module finds the process as it would in an attempt, but for what belongs to one attempt."""
    before = sys.dont_write_bytecode
    sys.dont_write_bytecode = True
    sys.path[:] = list(dict.fromkeys([os.path.dirname(program), root, *prepared.path]))
    sys.argv = [program]
    tempfile.tempdir = None
    state.fresh_main(program)
    os.chdir(root)
    try:
        yield
    finally:
        os.chdir("/")
        sys.path[:] = prepared.path
        sys.dont_write_bytecode = before


@contextlib.contextmanager
def _output() -> Iterator[list[bool]]:
    """Whether anything was printed, known at the end."""
    printed: list[bool] = []
    file = os.memfd_create("output")
    kept = [os.dup(1), os.dup(2)]
    os.dup2(file, 1)
    os.dup2(file, 2)
    try:
        yield printed
    finally:
        for stream in (sys.stdout, sys.stderr):
            stream.flush()
        if os.fstat(file).st_size:
            printed.append(True)
        os.dup2(kept[0], 1)
        os.dup2(kept[1], 2)
        for descriptor in (file, *kept):
            os.close(descriptor)


def _foreign(names: set[str], root: str, homes: list[str]) -> Iterator[str]:
    """Modules that are neither the version's nor installed, or that are not plain Python."""
    for name in names:
        origin = attribute(sys.modules.get(name), "__file__")
        if not isinstance(origin, str) or origin.startswith(tuple(f"{home}/" for home in homes)):
            continue
        if not origin.startswith(f"{root}/"):
            yield f"imports {origin}"
        elif not origin.endswith(".py"):
            yield f"imports {name}, which is not Python"
