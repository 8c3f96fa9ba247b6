"""``flytelite down``: stop the server of a data directory."""

from __future__ import annotations

from typing import Annotated

import typer

from flytelite import config
from flytelite.cli.failure import Failure
from flytelite.cli.options import DataDir, Verbose
from flytelite.cli.running import read_running, stop


def command(
    data_dir: DataDir = None,
    timeout: Annotated[float, typer.Option(help="Seconds to wait for the end.")] = 30.0,
    verbose: Verbose = False,
) -> None:
    """Stop the server of a data directory in order, and wait for its end."""
    directory = config.load({"data_dir": data_dir}).data_dir
    running = read_running(directory)
    if running is None:
        print(f"no server runs on {directory}; nothing to stop")
        return
    if not stop(running, timeout):
        raise Failure(
            f"the server (process {running.pid}) still runs {timeout:g} seconds after it was asked to stop; "
            f"wait with `flytelite down --timeout 120`, or end it with `kill -9 {running.pid}` "
            "(what it acknowledged is on disk)"
        )
    data = f"its data stays in {directory}" if directory.exists() else "it was ephemeral, so its data is gone"
    print(f"stopped the server at {running.endpoint}; {data}")
