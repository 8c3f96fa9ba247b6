"""``flytelite export``: executions and all that belongs to them, in one file."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from flytelite.cli.failure import Usage
from flytelite.cli.options import DEFAULT_DOMAIN, DEFAULT_PROJECT, DataDir, Domain, Project, Verbose


def command(
    *,
    executions: Annotated[
        list[str] | None,
        typer.Argument(metavar="[EXECUTION]...", help="NAME or PROJECT/DOMAIN/NAME. Default: all that have ended."),
    ] = None,
    file: Annotated[Path, typer.Argument(metavar="FILE", help="The archive to write, a .tar.gz.")],
    project: Project = DEFAULT_PROJECT,
    domain: Domain = DEFAULT_DOMAIN,
    data_dir: DataDir = None,
    verbose: Verbose = False,
) -> None:
    """Write executions that have ended, with what they ran, read, wrote and printed, to one file for `import`."""
    from flytelite.cli.housekeeping import Housekeeping, counted, size_text

    if not executions and not file.suffix:  # else all executions would go into a file of that name
        raise Usage(f"name the file to write, e.g. `flytelite export {file} {file.name}.tar.gz`")
    if file.exists():
        raise Usage(f"{file} exists already and is not overwritten; name another file")
    names = [_full(name, project, domain) for name in executions or []]
    summary = Housekeeping(data_dir).export(names, file)
    print(
        f"{file}: {counted(summary['executions'], 'execution')}, {counted(summary['documents'], 'document')}, "
        f"{counted(summary['files'], 'file')}, {size_text(file.stat().st_size)}"
    )
    if summary["left_out"]:
        print(f"left out: {counted(summary['left_out'], 'execution')} that had not ended")
    print("It holds code, inputs, outputs and logs as they are: look through it before you hand it on.")


def _full(name: str, project: str, domain: str) -> str:
    parts = name.split("/")
    if len(parts) not in (1, 3) or not all(parts):
        raise Usage(f"{name!r} is no execution; write NAME or PROJECT/DOMAIN/NAME")
    return name if len(parts) == 3 else f"{project}/{domain}/{name}"
