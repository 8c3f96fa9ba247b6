"""``flytelite exec``: a server for the time of one command."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Annotated

import typer

from flytelite.cli.failure import Usage
from flytelite.cli.options import DEFAULT_PROJECT, Verbose

if TYPE_CHECKING:
    from flytelite.server.data_directory import Running

FORWARDED = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT)
STOP_SECONDS = 30.0


def command(
    arguments: Annotated[list[str], typer.Argument(metavar="-- CMD...", help="The command and its arguments.")],
    project: Annotated[
        str | None, typer.Option("--project", help="A project to have besides flytesnacks; clients default to it.")
    ] = None,
    verbose: Verbose = False,
) -> None:
    """Run a command against a fresh server, then stop the server; returns the command's exit code.

    The server takes a free port and a temporary data directory. The command finds it through FLYTE_PLATFORM_URL,
    FLYTE_PLATFORM_INSECURE, FLYTECTL_CONFIG and FLYTELITE_ENDPOINT, so every Flyte client just works.
    """
    from flytelite.cli.child import LOG_FILE

    data_dir = Path(tempfile.mkdtemp(prefix="flytelite-exec-"))
    try:
        with handing_on_signals() as signals, _server(data_dir, project) as running:
            code = run_command(arguments, {**os.environ, **client_environment(running, data_dir, project)}, signals)
        if verbose:
            print((data_dir / LOG_FILE).read_text(), end="")
    finally:
        shutil.rmtree(data_dir, ignore_errors=True)
    raise typer.Exit(code)


def client_environment(running: Running, data_dir: Path, project: str | None) -> dict[str, str]:
    """The variables through which Flyte clients find that server."""
    from flytelite.server.data_directory import CONFIG_FILE

    environment = {
        "FLYTE_PLATFORM_URL": running.endpoint,
        "FLYTE_PLATFORM_INSECURE": "true",
        "FLYTECTL_CONFIG": str(data_dir / CONFIG_FILE),
        "FLYTELITE_ENDPOINT": running.endpoint,
    }
    if project is not None:
        environment["FLYTE_DEFAULT_PROJECT"] = project
    return environment


class Signals:
    """Hands signals on to the command; before there is one, a signal ends us in order."""

    def __init__(self) -> None:
        self.process: subprocess.Popen[bytes] | None = None
        self._early: list[int] | None = None

    def start(self, arguments: list[str], environment: Mapping[str, str]) -> subprocess.Popen[bytes]:
        """Start the command. What arrives while it starts is handed on as soon as it has."""
        self._early = []
        try:
            self.process = subprocess.Popen(arguments, env=dict(environment))
        finally:
            early, self._early = self._early, None
        for number in early:
            self.handle(number, None)
        return self.process

    def handle(self, number: int, frame: FrameType | None) -> None:
        """A signal handler."""
        if self._early is not None:
            self._early.append(number)
            return
        if self.process is None:
            raise SystemExit(128 + number)
        # From a terminal the command gets these two itself, being in the foreground with us.
        if number not in (signal.SIGINT, signal.SIGQUIT) or not _in_foreground():
            self.process.send_signal(number)


@contextlib.contextmanager
def handing_on_signals() -> Iterator[Signals]:
    """Treat the signals of FORWARDED as Signals says while the block runs."""
    signals = Signals()
    previous = {number: signal.signal(number, signals.handle) for number in FORWARDED}
    try:
        yield signals
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)


def run_command(arguments: list[str], environment: Mapping[str, str], signals: Signals) -> int:
    """Run the command and return its exit code; 128 + n when a signal n ended it, as in a shell.

    Raises Usage when it cannot be started.
    """
    try:
        process = signals.start(arguments, environment)
    except FileNotFoundError as error:
        raise Usage(f"there is no command {arguments[0]!r}; write `flytelite exec -- CMD...`") from error
    except OSError as error:
        raise Usage(f"{arguments[0]} cannot be run: {error.strerror}") from error
    code = process.wait()
    return code if code >= 0 else 128 - code


@contextlib.contextmanager
def _server(data_dir: Path, project: str | None) -> Iterator[Running]:
    from flytelite.cli.child import start

    environment = dict(os.environ)
    if project is not None:
        environment["FLYTELITE_PROJECTS"] = ",".join(dict.fromkeys((DEFAULT_PROJECT, project)))
    process, running = start(["--host=127.0.0.1", "--port=0", f"--data-dir={data_dir}"], data_dir, environment)
    try:
        yield running
    finally:
        process.terminate()
        try:
            process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _in_foreground() -> bool:
    try:
        with open("/dev/tty", "rb") as terminal:  # noqa: PTH123 - a descriptor is all that is wanted
            return os.tcgetpgrp(terminal.fileno()) == os.getpgrp()
    except OSError:
        return False
