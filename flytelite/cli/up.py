"""``flytelite up``: start the server."""

from __future__ import annotations

from typing import Annotated

import typer

from flytelite.cli import serving
from flytelite.cli.options import DataDir, Verbose
from flytelite.cli.starting import MAX_PORT


def command(
    *,
    host: Annotated[str | None, typer.Option(help="Address to listen on. Default: 127.0.0.1.")] = None,
    port: Annotated[
        int | None,
        typer.Option(min=0, max=MAX_PORT, help="Port for gRPC and HTTP; 0 takes a free one. Default: 30080."),
    ] = None,
    grpc_port: Annotated[
        int | None, typer.Option(min=1, max=MAX_PORT, help="A second port that speaks gRPC only.")
    ] = None,
    data_dir: DataDir = None,
    executor: Annotated[
        str | None,
        typer.Option(help="How flytekit's tasks start: fork (in milliseconds) or subprocess. Default: fork."),
    ] = None,
    durability: Annotated[
        str | None,
        typer.Option(
            help="full: an answered write survives power loss; relaxed: power loss may cost the last second, a crash "
            "nothing. Default: full."
        ),
    ] = None,
    ephemeral: Annotated[
        bool, typer.Option("--ephemeral", help="Keep nothing: documents in memory, files in a temporary directory.")
    ] = False,
    detach: Annotated[bool, typer.Option("--detach", help="Run in the background.")] = False,
    write_config: Annotated[
        bool, typer.Option("--write-config", help="Also write ~/.flyte/config.yaml, so that nothing need be exported.")
    ] = False,
    print_config: Annotated[
        bool, typer.Option("--print-config", help="Print the resolved settings and leave.")
    ] = False,
    ready_fd: Annotated[int | None, typer.Option(hidden=True)] = None,
    verbose: Verbose = False,
) -> None:
    """Start the server and serve until Ctrl-C."""
    serving.up(
        host=host,
        port=port,
        grpc_port=grpc_port,
        data_dir=data_dir,
        executor=executor,
        durability=durability,
        ephemeral=ephemeral,
        detach=detach,
        write_config=write_config,
        print_config=print_config,
        ready_fd=ready_fd,
        verbose=verbose,
    )
