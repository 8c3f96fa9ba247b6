"""The options that several commands share."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Annotated

import typer

from flytelite.cli.failure import Usage

DEFAULT_PROJECT = "flytesnacks"
DEFAULT_DOMAIN = "development"


@dataclass
class Session:
    """One run of the command line; ``arguments`` are those it was given."""

    verbose: bool = False
    arguments: tuple[str, ...] = ()


def _remember_verbose(context: typer.Context, value: bool) -> bool:
    session = context.ensure_object(Session)
    session.verbose = session.verbose or value
    return session.verbose


def _refuse_empty(context: typer.Context, value: Path | None) -> Path | None:
    words = context.ensure_object(Session).arguments  # the path of an empty word is that of this folder
    if value == Path() and ("--data-dir=" in words or ("--data-dir", "") in pairwise(words)):
        raise Usage("--data-dir is empty; name a directory, or leave it out")
    return value


Verbose = Annotated[
    bool,
    typer.Option("--verbose", callback=_remember_verbose, help="Say more; show the traceback of an error."),
]
EndpointFlag = Annotated[
    str | None,
    typer.Option(
        "--endpoint",
        metavar="HOST:PORT",
        help="The server to talk to. Default: FLYTELITE_ENDPOINT, FLYTECTL_CONFIG, the data directory of this folder, "
        "localhost:30080.",
    ),
]
# The variables are flytekit's own, so that pyflyte and flytelite agree.
Project = Annotated[str, typer.Option("-p", "--project", envvar="FLYTE_DEFAULT_PROJECT", help="Flyte project.")]
Domain = Annotated[str, typer.Option("-d", "--domain", envvar="FLYTE_DEFAULT_DOMAIN", help="Flyte domain.")]
Version = Annotated[
    str | None, typer.Option("--version", help="Version to register. Default: derived from the content.")
]
Images = Annotated[
    list[str] | None,
    typer.Option(
        "--image",
        metavar="[NAME=]IMAGE",
        help="What {{.image.NAME.fqn}} stands for in container_image; without a name: the image of tasks that have "
        "none. May be repeated.",
    ),
]
DataDir = Annotated[
    Path | None,
    typer.Option(
        "--data-dir", callback=_refuse_empty, help="Data directory of the server. Default: .flytelite in this folder."
    ),
]
