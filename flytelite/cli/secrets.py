"""``flytelite secrets``: set, list and remove the values of the secrets that tasks declare."""

from __future__ import annotations

import shlex
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from flytelite.cli.failure import Failure, Usage
from flytelite.cli.options import DataDir, Verbose

if TYPE_CHECKING:
    from flytelite.engine.secrets.files import Scope, SecretFiles

commands = typer.Typer(no_args_is_help=True, rich_markup_mode=None)

Group = Annotated[str, typer.Argument(metavar="GROUP", help="The group of the secret, as the task declares it.")]
Key = Annotated[str, typer.Argument(metavar="[KEY]", help="Its key, if it has one.")]
Project = Annotated[str, typer.Option("-p", "--project", help="Of this project alone. Default: of all projects.")]
Domain = Annotated[str, typer.Option("-d", "--domain", help="Of this domain of the project alone.")]


@commands.callback()
def group(verbose: Verbose = False) -> None:
    """The values of the secrets that tasks declare."""


@commands.command("set")
def set_(
    group: Group,
    key: Key = "",
    *,
    project: Project = "",
    domain: Domain = "",
    data_dir: DataDir = None,
    verbose: Verbose = False,
) -> None:
    """Set a secret. Its value is asked for, or read from stdin; running tasks keep the one that they have."""
    from flytelite.engine.secrets.files import name_of

    files, scope = _files(data_dir), _scope(project, domain)
    value = _value()
    files.set(scope, name_of(group, key), value)
    print(f"set {name_of(group, key)} for {scope}")


@commands.command("ls")
def list_(*, data_dir: DataDir = None, verbose: Verbose = False) -> None:
    """List the names of all secrets in the files; never their values."""
    files = _files(data_dir)
    found = [(name, scope) for scope in files.known_scopes() for name in sorted(files.read(scope))]
    if not found:
        print(f"there are no secrets; `{files.command('GROUP', 'KEY')}` makes one")
    width = max((len(name) for name, _ in found), default=0)
    for name, scope in found:
        print(f"{name:{width}}  {scope}")


@commands.command("rm")
def remove(
    group: Group,
    key: Key = "",
    *,
    project: Project = "",
    domain: Domain = "",
    data_dir: DataDir = None,
    verbose: Verbose = False,
) -> None:
    """Remove a secret."""
    from flytelite.engine.secrets.files import name_of

    files, scope, name = _files(data_dir), _scope(project, domain), name_of(group, key)
    if not files.remove(scope, name):
        known = shlex.join(["flytelite", "secrets", "ls", *(("--data-dir", str(data_dir)) if data_dir else ())])
        raise Failure(f"there is no secret {name} for {scope}; `{known}` lists what there is")
    print(f"removed {name} for {scope}")


def _files(data_dir: Path | None) -> SecretFiles:
    from flytelite import config
    from flytelite.engine.secrets.files import SecretFiles

    return SecretFiles.of(config.load({"data_dir": data_dir}))


def _scope(project: str, domain: str) -> Scope:
    from flytelite.engine.secrets.files import Scope

    if domain and not project:
        raise Usage("--domain needs --project: a domain is one of a project's")
    return Scope(project, domain)


def _value() -> str:
    """What is typed, unseen, or else all of stdin but the end of its last line."""
    typed = sys.stdin.isatty()
    try:
        value = str(typer.prompt("value", hide_input=True)) if typed else sys.stdin.read().removesuffix("\n")
        value.encode()  # a terminal or locale without UTF-8 gives bytes that are no text as surrogates
    except UnicodeError as error:
        raise Usage("the value is no UTF-8 text; give it as base64, and let the task decode it") from error
    if not value:
        raise Usage("the value is empty; type it, or send it to stdin")
    return value
