"""``flytelite doctor``: check the store of a data directory, and salvage a damaged one."""

from __future__ import annotations

import shutil
import tempfile
from dataclasses import replace
from pathlib import Path
from typing import Annotated

import typer

from flytelite import config
from flytelite.cli.failure import FAILED, Failure, Usage
from flytelite.cli.housekeeping import counted
from flytelite.cli.options import DataDir, Verbose
from flytelite.errors import NotFound
from flytelite.server.data_directory import copy_all_but_store, unwritable
from flytelite.server.store.directory import FORMAT, FORMAT_FILE, undisturbed
from flytelite.server.store.examination import Examination, Finding, Key, Version, examine
from flytelite.server.store.salvage import salvage

SHOWN = 20
"""Documents of one damaged line that are named; ``--verbose`` names all."""


def command(
    data_dir: DataDir = None,
    repair: Annotated[
        Path | None,
        typer.Option(metavar="NEW_DIR", help="Copy all that can be read to this new data directory."),
    ] = None,
    verbose: Verbose = False,
) -> None:
    """Check every file of a stopped server's store. Exit code 1 when something is damaged.

    Nothing is changed in the data directory, with --repair neither.
    """
    settings = config.load({"data_dir": data_dir})
    if repair is not None:
        repair = repair.expanduser().resolve()
        _refuse_used(repair, settings.data_dir)
    try:
        with undisturbed(settings.store):
            found = examine(settings.store)
            print(_report(found, settings.store, None if verbose else SHOWN))
            if not found.findings:
                if repair is not None:
                    print(f"so there is nothing to repair, and {repair} was not made")
                return
            if repair is None:
                print(_advice(settings.data_dir))
                raise typer.Exit(FAILED)
            try:
                _repair(settings, repair)
            except OSError as error:
                raise unwritable(repair, error) from error
    except NotFound as error:
        raise Failure(f"{error.message}; name the data directory of a server with --data-dir") from error


def _refuse_used(target: Path, data_dir: Path) -> None:
    if target.is_relative_to(data_dir):
        raise Usage(f"--repair leaves {data_dir} as it is, and {target} is in it; name a directory outside")
    if target.exists() and not (target.is_dir() and not any(target.iterdir())):
        raise Usage(f"--repair makes a new directory, and {target} is in use; name one that does not exist")


def _report(found: Examination, store: Path, shown: int | None) -> str:
    sizes = {"segment": len(found.segments), "line": found.lines, "change": found.changes}
    counts = ", ".join(counted(number, noun) for noun, number in sizes.items())
    parts = [f"{store}: {counts}, last entry {found.last}"]
    if found.format < FORMAT:
        parts.append(f"its format is {found.format}; the next start of the server backs it up and makes that {FORMAT}")
    if found.torn is not None:
        torn = found.torn
        parts.append(
            f"{torn.path.name} ends at byte {torn.offset} in {torn.reason}; it was never acknowledged, and the next "
            "start of the server drops it"
        )
    parts += [_told(finding, shown) for finding in found.findings]
    if not found.findings:
        parts.append("nothing is damaged")
    return "\n".join(parts)


def _told(finding: Finding, shown: int | None) -> str:
    size = f" ({finding.length} bytes)" if finding.length else ""
    lines = [f"\ndamaged: {finding.damage.path} at byte {finding.damage.offset}{size}: {finding.damage.reason}"]
    if finding.lost is None or not (finding.lost or finding.unharmed):
        lines.append(f"  {_nameless(finding)}")
        return "\n".join(lines)
    named = list(finding.lost.items())
    lines += [f"  {_fate(key, version)}" for key, version in named[:shown]]
    if shown is not None and len(named) > shown:
        lines.append(f"  and {len(named) - shown} more; --verbose names them")
    if finding.unharmed:
        lines.append(f"  {finding.unharmed} documents in it were written again later: nothing is lost of them")
    return "\n".join(lines)


def _nameless(finding: Finding) -> str:
    if finding.damage.path.name == FORMAT_FILE:
        return "no document is lost by that, but the server does not start"
    return "which documents it was about cannot be told: those without a later change are lost or older than they were"


def _fate(key: Key, version: Version | None) -> str:
    document = " ".join(key)
    if version is None:
        return f"{document}: lost"
    state = "removed" if version.removed else "there"
    return f"{document}: as it was at entry {version.entry} ({version.time}), when it was {state}"


def _advice(data_dir: Path) -> str:
    return (
        "\nNothing was changed. A server on this directory shows what can be read and changes nothing.\n"
        "A backup of the damaged file is the best cure; without one, to salvage what can be read:\n"
        f"  flytelite doctor --data-dir {data_dir} --repair NEW_DIR"
    )


def _repair(settings: config.Settings, target: Path) -> None:
    """Make the new directory beside its place and move it there when it is complete."""
    target.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=target.parent, prefix=f".{target.name}.") as place:
        made = replace(settings, data_dir=Path(place) / "data")
        missing = copy_all_but_store(settings, made.data_dir)
        count = salvage(settings.store, made.store)
        if examine(made.store).findings:
            shutil.rmtree(made.data_dir)
            raise Failure(f"the disk of {target} does not give back what is written to it; use another one")
        made.data_dir.rename(target)
    for sentence in missing:
        print(sentence)
    print(
        f"\nsalvaged {count} entries and all other files to {target}; {settings.data_dir} is as it was.\n"
        "Addresses of data in the documents name the old place, so give it that name:\n"
        f"  mv {settings.data_dir} {settings.data_dir}.damaged && mv {target} {settings.data_dir}"
    )
