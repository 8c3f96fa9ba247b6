"""A server in a process of its own, for ``up --detach`` and ``exec``."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path

from flytelite.cli.failure import NEVER_STARTED, Failure
from flytelite.server.data_directory import Running, unwritable

LOG_FILE = "server.log"
LOG_BYTES = 16 * 1024 * 1024
"""A log that has grown beyond that is put aside at the next start, in the place of the one before it."""


def start(
    arguments: Sequence[str], data_dir: Path, environ: Mapping[str, str] | None = None
) -> tuple[subprocess.Popen[bytes], Running]:
    """Start ``flytelite up`` with those arguments and wait until it answers.

    Its output goes to ``server.log`` in the data directory; what it had to remark while it started, as on a damaged
    store, is printed here too. Raises Failure with what the server said when it ended
    before it answered.
    """
    log = data_dir / LOG_FILE
    try:
        data_dir.mkdir(parents=True, exist_ok=True)
        if log.exists() and log.stat().st_size > LOG_BYTES:
            log.replace(log.with_name(f"{LOG_FILE}.1"))
        output = log.open("ab")
    except OSError as error:
        raise Failure(unwritable(data_dir, error).message, NEVER_STARTED) from error
    read_end, write_end = os.pipe()
    with output:
        already = output.tell()
        process = subprocess.Popen(
            [sys.executable, "-m", "flytelite", "up", *arguments, "--ready-fd", str(write_end)],
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            pass_fds=[write_end],
            start_new_session=True,  # a Ctrl-C in this terminal is not meant for it
            env=None if environ is None else dict(environ),
        )
    os.close(write_end)
    try:
        with os.fdopen(read_end, "rb") as pipe:
            said = pipe.read()
    except BaseException:
        process.terminate()
        raise
    if not said:
        raise Failure(_last_words(log, already), process.wait() or NEVER_STARTED)
    if remarks := _remarks(log, already):
        print(remarks, file=sys.stderr)
    return process, Running(**json.loads(said))


def report_ready(descriptor: int, running: Running) -> None:
    """Tell the process that waits on the other end of the pipe that the server answers."""
    with os.fdopen(descriptor, "wb") as pipe:
        pipe.write(json.dumps(asdict(running)).encode())


def _remarks(log: Path, offset: int) -> str:
    """The warnings and errors that were logged from there on."""
    found = [line.split(" ", 3) for line in _lines(log, offset)]
    return "\n".join(words[3] for words in found if len(words) > 3 and words[2] in ("WARNING", "ERROR"))


def _lines(log: Path, offset: int) -> list[str]:
    with log.open("rb") as file:
        file.seek(offset)
        return file.read().decode(errors="replace").strip().splitlines()


def _last_words(log: Path, offset: int) -> str:
    lines = _lines(log, offset)
    if not lines:
        return f"the server ended before it answered and said nothing; its log is {log}"
    return lines[-1].removeprefix("flytelite: ")
