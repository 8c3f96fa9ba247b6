"""Which commands a fork server may run, and which need an interpreter of their own."""

from __future__ import annotations

import functools
import re
from collections.abc import Mapping
from pathlib import Path

from flytelite.engine.executors.interface import Command

EXECUTE = "pyflyte-execute"
ENTRYPOINTS = frozenset({EXECUTE, "pyflyte-map-execute"})
ENTRYPOINT_MODULE = "flytekit.bin.entrypoint"

READ_AT_START = (
    "_F_",
    "AIOHTTP_",
    "DYLD_",
    "FLYTE_SDK_",
    "FSSPEC_",
    "GLIBC_",
    "GOTO_",
    "GRPC_",
    "LC_",
    "LD_",
    "MALLOC_",
    "MKL_",
    "NUMEXPR_",
    "OMP_",
    "OPENBLAS_",
    "PROTOCOL_BUFFERS_",
    "PYTHON",
    "VECLIB_",
)
READ_AT_START_NAMES = frozenset(
    {
        "COLUMNS",
        "FLYTE_PYTHON_PACKAGE_ROOT",
        "FORCE_COLOR",
        "HOME",
        "LANG",
        "LANGUAGE",
        "LINES",
        "NO_COLOR",
        "SSLKEYLOGFILE",
        "SSL_CERT_DIR",
        "SSL_CERT_FILE",
        "TERM",
        "TTY_COMPATIBLE",
        "TTY_INTERACTIVE",
    }
)
"""Read by the interpreter, the system's linker, flytekit or its libraries while they start, and not again later."""

READ_BY_TASKS = frozenset({"PYTHONPATH", "_F_SS_C", "_F_L_MIN_SIZE_MB", "_F_L_MAX_SIZE_MB", "_F_EE_ROOT", "_F_IMG_ID"})
"""Exceptions: the fork server sets up the first; flytekit reads the others when a task asks for them."""

_SHEBANG = re.compile(
    r"""^\#!(?:\s*(?P<direct>\S*python[\d.]*)\s*$ | /bin/sh\s*$\n'''exec'\s+"?(?P<long>[^"\n]+?)"?\s+"\$0")""",
    re.M | re.X,
)


def interpreter_for(command: Command, host: Mapping[str, str]) -> str | None:
    """The Python whose fork server may run the command; None when it has to be a process of its own.

    ``host`` is the environment that fork servers are started with.
    """
    program = Path(command.argv[0])
    if program.name not in ENTRYPOINTS or needs_own_start(command.whole_env, host):
        return None
    return interpreter_of(program)


def needs_own_start(env: Mapping[str, str], host: Mapping[str, str]) -> bool:
    """Whether the environment differs from the host's in a variable that is read only at the start of a process."""
    return any(_read_at_start(name) and env.get(name) != host.get(name) for name in {*env, *host})


def interpreter_of(script: Path) -> str | None:
    """The Python that runs a console script of flytekit's; None for any other program."""
    try:
        return _interpreter(script, script.stat().st_mtime_ns)
    except OSError:
        return None


@functools.lru_cache(maxsize=256)
def _interpreter(script: Path, modified: int) -> str | None:
    with script.open("rb") as file:
        text = file.read(4096).decode(errors="replace")
    found = _SHEBANG.match(text)
    if found is None or ENTRYPOINT_MODULE not in text:
        return None
    return found["direct"] or found["long"]


def _read_at_start(name: str) -> bool:
    return name not in READ_BY_TASKS and (name in READ_AT_START_NAMES or name.startswith(READ_AT_START))
