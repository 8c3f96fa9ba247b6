"""``flytelite environments``: the Python environments that were made for images."""

from __future__ import annotations

import enum
import sys
import time
from datetime import timedelta
from typing import TYPE_CHECKING, Annotated

import typer

from flytelite import config
from flytelite.cli.clean import age
from flytelite.cli.failure import Failure, Usage
from flytelite.cli.options import Verbose

if TYPE_CHECKING:
    from flytelite.engine.environments.library import Library, Made


class Action(enum.StrEnum):
    """What to do with them."""

    LS = "ls"
    LOG = "log"
    PRUNE = "prune"


def command(
    action: Annotated[
        Action,
        typer.Argument(help="ls: list them; log NAME: print how one was made; prune: remove what is not used."),
    ] = Action.LS,
    name: Annotated[str, typer.Argument(metavar="[NAME]", help="An environment, or the image it is for.")] = "",
    *,
    older_than: Annotated[
        str, typer.Option(metavar="AGE", help="prune: not used for so long: 12h, 7d, 2w; 0d is all.")
    ] = "30d",
    yes: Annotated[bool, typer.Option("--yes", "-y", help="prune: remove without asking.")] = False,
    verbose: Verbose = False,
) -> None:
    """List, explain and remove the Python environments that were made for images.

    A removed one is made again when a task needs it.
    """
    from flytelite.engine.environments.library import Library

    settings = config.load({})
    library = Library(settings.environments)
    if action == Action.LOG:
        if not name:
            raise Usage("name an environment or an image: `flytelite environments log NAME`")
        print(_log(settings, library, name), end="")
        return
    if name:
        raise Usage(f"`environments {action}` takes no name")
    if action == Action.PRUNE:
        _prune(library, age(older_than), yes)
        return
    environments = library.made()
    if not environments:
        print(f"no environment has been made in {library.directory}; the first task that needs one has it made")
    for made in environments:
        print(_line(made))
        print(f"    {', '.join(made.recipe.requirements)}")


def _log(settings: config.Settings, library: Library, name: str) -> str:
    """How an environment was made, or that of an image; of one that is used as it is, a sentence that says so."""
    from flytelite.engine.environments.choice import Mapped, NoEnvironment, decide

    path = library.directory / "logs" / f"{name}.log"
    if "/" not in name and path.is_file():
        return path.read_text(errors="replace")
    decided = decide(settings, library, name)
    if decided is None:
        raise Failure(
            f"there is no environment {name!r} in {library.directory}, which `flytelite environments` lists, no image "
            f"of that name, and no pattern for it in `images` of {config.FILE_NAME}"
        )
    if isinstance(decided, Mapped) and not decided.rule.makes_environment:
        used = decided.rule.venv or decided.rule.python
        return f"nothing was made for {name}: its tasks run in {used}, as it is (by {decided.source})\n"
    try:
        log = library.log(decided.recipe)
    except NoEnvironment as error:
        raise Failure(f"{error}; correct it in {config.FILE_NAME}") from error
    if not log.is_file():
        by = f" (by {decided.source})" if isinstance(decided, Mapped) else ""
        raise Failure(f"the environment of {name}{by} has not been made yet; the first task that needs it has it made")
    return log.read_text(errors="replace")


def _prune(library: Library, older_than: timedelta, yes: bool) -> None:
    limit = time.time() - older_than.total_seconds()
    old = [made for made in library.made() if made.used <= limit]
    if not old:
        print("nothing is that old")
        return
    for made in old:
        print(_line(made))
    what = f"{len(old)} environment{'' if len(old) == 1 else 's'}"
    if not yes:
        if not sys.stdin.isatty():
            print(f"{what} would go; nothing was removed: `--yes` does it")
            return
        if not typer.confirm(f"remove {what}?"):
            print("nothing was removed")
            return
    for made in old:
        library.remove(made.digest)
    print(f"removed {what}")


def _line(made: Made) -> str:
    used = time.strftime("%Y-%m-%d %H:%M", time.localtime(made.used))
    images = f"  for {', '.join(made.images)}" if made.images else ""
    return f"{made.digest}  python {made.recipe.python}  used {used}{images}"
