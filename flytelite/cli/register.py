"""``flytelite register``: register the tasks, workflows and launch plans of files and directories."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Annotated

import typer

from flytelite.cli.failure import Usage
from flytelite.cli.options import (
    DEFAULT_DOMAIN,
    DEFAULT_PROJECT,
    Domain,
    EndpointFlag,
    Images,
    Project,
    Session,
    Verbose,
    Version,
)
from flytelite.cli.rounds.job import Job, Register


def command(
    context: typer.Context,
    paths: Annotated[list[Path], typer.Argument(metavar="PATH...", help="Python files, or directories of them.")],
    *,
    project: Project = DEFAULT_PROJECT,
    domain: Domain = DEFAULT_DOMAIN,
    version: Version = None,
    watch: Annotated[bool, typer.Option("--watch", help="Register again what an edit changes, until Ctrl-C.")] = False,
    image: Images = None,
    endpoint: EndpointFlag = None,
    verbose: Verbose = False,
) -> None:
    """Register the tasks, workflows and launch plans of files and directories.

    Registering unchanged code again does nothing.
    """
    job = Register(tuple(map(str, paths)), project, domain, version, endpoint, images=tuple(image or ()))
    if not watch:
        perform(job)
        return
    from flytelite.cli.rounds import loop

    if version is not None:
        raise Usage("--watch gives each edit a version of its own, derived from the content; leave out --version")
    verbose = context.ensure_object(Session).verbose
    raise typer.Exit(loop.watch(paths, endpoint, lambda modules: Job(replace(job, modules=modules), verbose)))


def perform(job: Register, loaded: Callable[[Path], None] = lambda root: None) -> int:
    """Register once and return the exit code; ``loaded`` is called with the source root before anything is sent."""
    from flytelite.cli.client import Client
    from flytelite.cli.endpoint import discover
    from flytelite.cli.registration import KINDS, Program
    from flytelite.cli.serialization import NothingToRegister
    from flytelite.cli.source import locate

    server = discover(job.endpoint)
    source = locate([Path(path) for path in job.paths])
    if job.modules is not None:
        source = replace(source, modules=tuple(name for name in source.modules if name in job.modules))
    with Client(server) as client:
        client.version()  # a missing server is said before flytekit is imported
        try:
            program = Program(source, server, job.project, job.domain, loaded, images=job.images)
            registration = program.register(client, job.version)
        except NothingToRegister:
            if job.modules is None:
                raise
            print("nothing to register: no task, workflow or launch plan uses what was edited")
            return 0
    for id in registration.new:
        print(f"  {KINDS[id.resource_type]:<12} {id.name}")
    print(registration.summary)
    return 0
