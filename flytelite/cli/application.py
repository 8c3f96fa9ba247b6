"""The command line as a whole: which commands there are, and how an error reaches the user."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Iterable, Mapping, Sequence
from typing import Annotated, Any

import typer

from flytelite import __version__
from flytelite.cli.failure import FAILED, INTERRUPTED, drop_output, tell
from flytelite.cli.options import Session, Verbose

# What follows the first word of these belongs to the user: an entity's inputs, another program's arguments.
_REST_IS_THE_USERS = {"allow_interspersed_args": False}
COMMANDS: Mapping[str, Mapping[str, Any]] = {
    "up": {},
    "down": {},
    "status": {},
    "init": {},
    "register": {},
    "run": _REST_IS_THE_USERS,
    "ls": {},
    "abort": {},
    "signal": {"ignore_unknown_options": True},  # a value may be a negative number
    "exec": _REST_IS_THE_USERS,
    "doctor": {},
    "export": {},
    "import": {},
    "clean": {},
    "environments": {},
    "secrets": {},
}
_MODULES = {"import": "import_"}  # a module cannot be named like a keyword


def run(arguments: Sequence[str]) -> int:
    """Run one command and return its exit code.

    Errors end as one sentence on stderr; ``--verbose`` adds the traceback.
    """
    session = Session(arguments=tuple(arguments))
    first = next((argument for argument in arguments if not argument.startswith("-")), "")
    # Only the command that was asked for is imported: this is a good part of the start of `up`.
    application = build((first,) if first in COMMANDS else tuple(COMMANDS))
    code = 0
    try:
        try:
            application(args=list(arguments), prog_name="flytelite", obj=session)
        except SystemExit as stop:
            code = _exit_code(stop)
            if isinstance(stop.__context__, typer.Abort):  # Ctrl-C at a prompt
                code = INTERRUPTED
        sys.stdout.flush()
    except KeyboardInterrupt:
        return INTERRUPTED
    except BrokenPipeError:
        drop_output()
        return FAILED
    except Exception as error:  # the last resort of a command line: it tells the user
        return tell(error, session.verbose)
    return code


def build(names: Iterable[str]) -> typer.Typer:
    """The typer application with the commands of those names."""
    application = typer.Typer(
        help="Flyte's control plane and engine on one machine.",
        no_args_is_help=True,
        rich_markup_mode=None,  # importing rich costs more than all of typer
        pretty_exceptions_enable=False,
        context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110},
    )
    application.callback()(_global_options)
    for name in names:
        module = importlib.import_module(f"flytelite.cli.{_MODULES.get(name, name)}")
        settings = {"help_option_names": ["-h", "--help"], **COMMANDS[name]}
        if hasattr(module, "commands"):
            application.add_typer(module.commands, name=name, context_settings=settings)
        else:
            application.command(name, context_settings=settings)(module.command)
    return application


def _print_version(value: bool) -> None:
    if value:
        print(f"flytelite {__version__}")
        raise typer.Exit


def _global_options(
    verbose: Verbose = False,
    version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    pass


def _exit_code(stop: SystemExit) -> int:
    if isinstance(stop.code, int):
        return stop.code
    return 0 if stop.code is None else FAILED
