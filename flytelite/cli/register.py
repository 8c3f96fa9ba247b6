"""``flytelite register``: register the tasks, workflows and launch plans of files and directories."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from flytelite.cli.options import DEFAULT_DOMAIN, DEFAULT_PROJECT, Domain, EndpointFlag, Project, Verbose, Version


def command(
    paths: Annotated[list[Path], typer.Argument(metavar="PATH...", help="Python files, or directories of them.")],
    *,
    project: Project = DEFAULT_PROJECT,
    domain: Domain = DEFAULT_DOMAIN,
    version: Version = None,
    endpoint: EndpointFlag = None,
    verbose: Verbose = False,
) -> None:
    """Register the tasks, workflows and launch plans of files and directories.

    Registering unchanged code again does nothing.
    """
    from flytelite.cli.client import Client
    from flytelite.cli.endpoint import discover
    from flytelite.cli.registration import KINDS, Program
    from flytelite.cli.source import locate

    server = discover(endpoint)
    source = locate(paths)
    with Client(server) as client:
        client.version()  # a missing server is said before flytekit is imported
        registration = Program(source, server, project, domain).register(client, version)
    for id in registration.new:
        print(f"  {KINDS[id.resource_type]:<12} {id.name}")
    print(registration.summary)
