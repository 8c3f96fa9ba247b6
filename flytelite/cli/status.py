"""``flytelite status``: is there a server, and where."""

from __future__ import annotations

import shlex

import typer

from flytelite import __version__, config
from flytelite.cli.client import Client
from flytelite.cli.endpoint import of_data_directory
from flytelite.cli.failure import FAILED
from flytelite.cli.options import DataDir, Verbose
from flytelite.cli.running import other_version, read_running, silence
from flytelite.server.data_directory import CONFIG_FILE


def command(data_dir: DataDir = None, verbose: Verbose = False) -> None:
    """Say whether a server runs on a data directory, and whether it answers. Exit code 1 when not."""
    directory = config.load({"data_dir": data_dir}).data_dir
    running = read_running(directory)
    if running is None:
        print(f"no server runs on {directory}; start one with `flytelite up`")
        raise typer.Exit(FAILED)
    with Client(of_data_directory(running)) as client:
        answers = client.answers()
    print(
        f"flytelite {running.version} {'answers' if answers else f'does not answer: {silence(running)}'}\n\n"
        f"  address          {running.endpoint}\n"
        f"  process          {running.pid}\n"
        f"  data directory   {directory}\n"
        f"  for clients      export FLYTECTL_CONFIG={shlex.quote(str(directory / CONFIG_FILE))}"
    )
    if running.version != __version__:
        print(f"\n{other_version(running)}")
    if not answers:
        raise typer.Exit(FAILED)
