"""``flytelite init``: copy a starter project."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Annotated

import typer

from flytelite.cli.failure import Usage
from flytelite.cli.options import Verbose

TEMPLATES = Path(__file__).parent.parent / "templates"


def command(
    template: Annotated[str, typer.Argument(help="Which starter.")] = "hello",
    directory: Annotated[
        Path | None, typer.Argument(metavar="[DIR]", help="Where to; made if needed. Default: the starter's name.")
    ] = None,
    verbose: Verbose = False,
) -> None:
    """Copy a starter project into a directory."""
    source = TEMPLATES / template
    if not (source / "README.md").is_file():
        names = ", ".join(sorted(path.parent.name for path in TEMPLATES.glob("*/README.md")))
        raise Usage(f"there is no starter {template!r}; there are: {names}")
    target = directory or Path(template)
    files = [path for path in sorted(source.rglob("*")) if path.is_file() and "__pycache__" not in path.parts]
    taken = [str(target / file.relative_to(source)) for file in files if (target / file.relative_to(source)).exists()]
    if taken:
        raise Usage(f"{', '.join(taken)} exists already and is not overwritten; name another directory")
    for file in files:
        copy = target / file.relative_to(source)
        try:
            copy.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(file, copy)
        except OSError as error:
            raise Usage(f"{copy} cannot be written: {error.strerror}") from error
        print(f"  {copy}")
    print(f"next: read {target / 'README.md'}")
