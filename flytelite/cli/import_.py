"""``flytelite import``: add what `flytelite export` wrote, here or on another machine."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from flytelite.cli.failure import Usage
from flytelite.cli.options import DataDir, Verbose


def command(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="An archive of `flytelite export`.")],
    data_dir: DataDir = None,
    verbose: Verbose = False,
) -> None:
    """Add the executions of an archive, and what they ran, to a data directory. Doing so again adds nothing."""
    from flytelite.cli.housekeeping import Housekeeping, counted

    if not file.is_file():
        raise Usage(f"there is no file {file}")
    summary = Housekeeping(data_dir).take_in(file)
    for key in summary["executions"]:
        print(f"  {key}")
    print(
        f"added {counted(len(summary['executions']), 'execution')}, {counted(summary['documents'], 'document')}, "
        f"{counted(summary['files'], 'file')}"
    )
    if summary["known"]:
        print(f"here before: {counted(len(summary['known']), 'execution')} of the archive")
