"""``flytelite clean``: remove old executions."""

from __future__ import annotations

import re
import sys
from datetime import timedelta
from typing import Annotated, Any

import typer

from flytelite.cli.failure import Usage
from flytelite.cli.options import DataDir, Verbose

UNITS = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days", "w": "weeks"}
SHOWN = 20


def command(
    *,
    older_than: Annotated[
        str, typer.Option(metavar="AGE", help="Executions that ended longer ago than this: 90m, 12h, 7d, 2w.")
    ],
    keep_last: Annotated[
        int, typer.Option(min=0, metavar="N", help="Keep the newest N executions of each workflow.")
    ] = 0,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Remove without asking.")] = False,
    data_dir: DataDir = None,
    verbose: Verbose = False,
) -> None:
    """Remove executions that ended long ago, with their data and logs. Says what would go, and asks."""
    from flytelite.cli.housekeeping import Housekeeping, counted, size_text

    housekeeping = Housekeeping(data_dir)
    found = housekeeping.preview(age(older_than), keep_last)
    if not found["executions"]:
        print("nothing is that old")
        return
    _show(found)
    what = f"{counted(len(found['executions']), 'execution')}, {size_text(found['bytes'])}"
    if not yes:
        if not sys.stdin.isatty():
            print(f"{what} would go; nothing was removed: `--yes` does it")
            return
        if not typer.confirm(f"remove {what}?"):
            print("nothing was removed")
            return
    gone = housekeeping.remove(list(found["executions"]))
    print(f"removed {counted(len(gone['executions']), 'execution')}, {size_text(gone['bytes'])}")


def age(text: str) -> timedelta:
    """The duration that a number with a unit means. Raises Usage."""
    found = re.fullmatch(r"(\d+(?:\.\d+)?)([smhdw])", text.strip())
    try:
        if found is not None:
            return timedelta(**{UNITS[found[2]]: float(found[1])})
    except OverflowError:
        pass  # told below
    raise Usage(f"--older-than {text!r} is no age; write a number with a unit, e.g. 90m, 12h, 7d, 2w")


def _show(found: dict[str, Any]) -> None:
    names = found["executions"]
    for name in names[:SHOWN]:
        print(f"  {name}")
    if len(names) > SHOWN:
        print(f"  … and {len(names) - SHOWN} more")
