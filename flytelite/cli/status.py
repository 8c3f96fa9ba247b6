"""``flytelite status``: is there a server, and where."""

from __future__ import annotations

import shlex

import typer

from flytelite import config
from flytelite.cli.client import Client
from flytelite.cli.endpoint import Endpoint
from flytelite.cli.failure import FAILED, Failure
from flytelite.cli.options import DataDir, Verbose
from flytelite.cli.running import read_running
from flytelite.server.data_directory import CONFIG_FILE


def command(data_dir: DataDir = None, verbose: Verbose = False) -> None:
    """Say whether a server runs on a data directory, and whether it answers. Exit code 1 when not."""
    directory = config.load({"data_dir": data_dir}).data_dir
    running = read_running(directory)
    if running is None:
        print(f"no server runs on {directory}; start one with `flytelite up`")
        raise typer.Exit(FAILED)
    try:
        with Client(Endpoint(running.endpoint, f"the data directory {directory}")) as client:
            client.version()
        answers = "answers"
    except Failure as failure:
        answers = f"does not answer ({failure.sentence})"
    print(
        f"flytelite {running.version} {answers}\n\n"
        f"  address          {running.endpoint}\n"
        f"  process          {running.pid}\n"
        f"  data directory   {directory}\n"
        f"  for clients      export FLYTECTL_CONFIG={shlex.quote(str(directory / CONFIG_FILE))}"
    )
    if answers != "answers":
        raise typer.Exit(FAILED)
