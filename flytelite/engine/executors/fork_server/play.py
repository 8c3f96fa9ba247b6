"""A task that does next to nothing, played as flytekit's entrypoint would run it: what all tasks do is what it does.

``practice.py`` and ``rehearsal.py`` learn from it.
"""
# ruff: noqa: PTH123

from __future__ import annotations

import contextlib
import os
import shutil
import tempfile
from collections.abc import Iterator

from . import task
from .preparation import Prepared

MODULE = "rehearsal"
TASK = """
from flytekit import task

@task
def play(number: int) -> int:
    return number
"""

RESOLVER = "flytekit.core.python_auto_container.default_task_resolver"
ARRAY_RESOLVER = "flytekit.core.array_node_map_task.ArrayNodeMapTaskResolver"
ELEMENT = {"BATCH_JOB_ARRAY_INDEX_VAR_NAME": "FLYTE_K8S_ARRAY_INDEX", "FLYTE_K8S_ARRAY_INDEX": "0"}


@contextlib.contextmanager
def stage() -> Iterator[str]:
    """A directory with the task's module, for as long as it is played. Raises OSError."""
    place = tempfile.mkdtemp(prefix="flytelite-")
    try:
        with open(f"{place}/{MODULE}.py", "w", encoding="utf-8") as file:
            file.write(TASK)
        yield place
    finally:
        shutil.rmtree(place, ignore_errors=True)


def play(prepared: Prepared, place: str, *, mapped: bool = False) -> int:
    """Run the task there, or an element of a map over it; the exit code of its process."""
    from flyteidl.core import literals_pb2

    number = literals_pb2.Literal()
    number.scalar.primitive.integer = 1
    if mapped:
        number = literals_pb2.Literal(collection=literals_pb2.LiteralCollection(literals=[number]))
    with open(f"{place}/inputs.pb", "wb") as file:
        file.write(literals_pb2.LiteralMap(literals={"number": number}).SerializeToString())
    program = f"{place}/{'pyflyte-map-execute' if mapped else 'pyflyte-execute'}"
    options = {"--inputs": f"{place}/inputs.pb", "--output-prefix": f"{place}/out"}
    options |= {"--raw-output-data-prefix": f"{place}/raw", "--checkpoint-path": f"{place}/raw/c"}
    options["--resolver"] = ARRAY_RESOLVER if mapped else RESOLVER
    argv = [program, *(part for option in options.items() for part in option), "--"]
    argv += [*(["vars", "", "resolver", RESOLVER] if mapped else []), "task-module", MODULE, "task-name", "play"]
    env = {**os.environ, "FLYTE_INTERNAL_EXECUTION_ID": MODULE, "TMPDIR": place, "PYTHONPATH": place}
    prepared.loop_start()
    task.become(prepared, argv, env | ELEMENT if mapped else env, place)
    return task.call(prepared, argv)
