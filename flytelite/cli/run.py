"""``flytelite run``: register, execute, watch, print the outputs."""

from __future__ import annotations

import shlex
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from flytelite.cli.failure import FAILED, INTERRUPTED, Usage
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
from flytelite.cli.rounds.job import Job, Run, Superseded

if TYPE_CHECKING:
    from flytelite.cli.client import Client
    from flytelite.cli.inputs import Inputs

HELP = frozenset({"--help", "-h"})
OWN_FLAGS = HELP | {"--no-wait", "--verbose"}
"""What may stand among the inputs; an input of the same name wins. Every other option goes before FILE."""


def command(
    context: typer.Context,
    file: Annotated[Path, typer.Argument(metavar="FILE", help="The Python file.")],
    entity: Annotated[str, typer.Argument(metavar="ENTITY", help="Its workflow, task or launch plan.")] = "",
    inputs: Annotated[
        list[str] | None,
        typer.Argument(metavar="[--INPUT VALUE]...", help="Its inputs; `run FILE ENTITY --help` lists them."),
    ] = None,
    *,
    project: Project = DEFAULT_PROJECT,
    domain: Domain = DEFAULT_DOMAIN,
    version: Version = None,
    no_wait: Annotated[bool, typer.Option("--no-wait", help="Print the execution's name and leave.")] = False,
    watch: Annotated[
        bool, typer.Option("--watch", help="Run again after each edit of the file or what it imports, until Ctrl-C.")
    ] = False,
    abort_outdated: Annotated[
        bool,
        typer.Option("--abort-outdated", help="With --watch: abort an execution whose code is edited while it runs."),
    ] = False,
    copy_all: Annotated[
        bool, typer.Option("--copy-all", help="Send all files of the source root, not only the modules it imports.")
    ] = False,
    image: Images = None,
    endpoint: EndpointFlag = None,
    verbose: Verbose = False,
) -> None:
    """Register a file and execute one of its entities.

    Exit code 0 when it succeeded, 1 when it failed, 2 for bad usage.
    """
    if file.is_dir():
        raise Usage(f"{file} is a directory; name the file that has {entity or 'the workflow'}")
    session = context.ensure_object(Session)
    session.verbose |= "--verbose" in (inputs or ())
    given, images = tuple(inputs or ()), tuple(image or ())
    job = Run(str(file), entity, given, project, domain, version, endpoint, no_wait, abort_outdated, copy_all, images)
    if not watch or HELP & set(job.inputs):
        code = perform(job)
        if code == FAILED:
            print(f"again\n  {shlex.join(['flytelite', *session.arguments])}")
        raise typer.Exit(code)
    from flytelite.cli.rounds import loop

    if version is not None:
        raise Usage("--watch gives each edit a version of its own, derived from the content; leave out --version")
    raise typer.Exit(loop.watch([file], endpoint, lambda modules: Job(job, session.verbose), whole_tree=copy_all))


def perform(job: Run, loaded: Callable[[Path], None] = lambda root: None) -> int:
    """Register and execute once, and return the exit code.

    ``loaded`` is called with the source root before anything is sent.
    """
    from flytelite.cli.client import Client
    from flytelite.cli.endpoint import discover
    from flytelite.cli.inputs import inputs_of, literal_map
    from flytelite.cli.registration import Program
    from flytelite.cli.source import find_entity, is_task, locate

    source = replace(locate([Path(job.file)]), whole_tree=job.copy_all)
    server = discover(job.endpoint)
    with Client(server) as client:
        client.version()  # a missing server is said before flytekit is imported
        program = Program(source, server, job.project, job.domain, loaded, images=job.images)
        found = find_entity(program.modules[0], job.entity)
        takes = inputs_of(found)
        values, flags = read_arguments(job.inputs, takes)
        if flags & HELP:
            print(takes.description)
            return 0
        takes.check_complete(values)
        literals = literal_map(program.remote, takes, values, with_defaults=is_task(found))
        registration = program.register(client, job.version)
        print(registration.summary)
        id = create_execution(client, registration.identifier(found.name, is_task(found)), literals)
        if job.no_wait or "--no-wait" in flags:
            print(f"started {id.name}\n{_address(client, id)}")
            return 0
        try:
            return follow(client, id, found)
        except Superseded:
            _leave(client, id, job.abort_outdated)
            raise


def _leave(client: Client, id: Any, abort: bool) -> None:
    """What happens to an execution whose code was edited."""
    from flyteidl.admin import execution_pb2

    if not abort:
        print(f"{id.name} goes on with the code that it has; `flytelite ls nodes {id.name}` shows it")
        return
    request = execution_pb2.ExecutionTerminateRequest(id=id, cause="its code was edited")
    client.call(client.admin.TerminateExecution, request)
    print(f"aborted {id.name}, whose code was edited")


def read_arguments(arguments: Sequence[str], inputs: Inputs) -> tuple[dict[str, Any], set[str]]:
    """Sort what follows ENTITY into the values of inputs and flags of `run` itself.

    Raises Usage naming what is neither, or what has no usable value.
    """
    from flytelite.cli.inputs import read_value

    values: dict[str, Any] = {}
    flags: set[str] = set()
    position = 0
    while position < len(arguments):
        flag, equals, value = arguments[position].partition("=")
        position += 1
        found = inputs.named(flag)
        if found is not None:
            input, is_positive = found
            rest = [value] if equals else arguments[position:]
            values[input.name], taken = read_value(input, flag, rest, is_positive, bool(equals))
            position += 0 if equals else taken
        elif flag in OWN_FLAGS:
            flags.add(flag)
        else:
            raise inputs.unknown(flag)
    return values, flags


def create_execution(client: Client, entity: Any, literals: Any) -> Any:
    """Start an execution of a launch plan or task and return its WorkflowExecutionIdentifier."""
    from flyteidl.admin import execution_pb2

    request = execution_pb2.ExecutionCreateRequest(
        project=entity.project,
        domain=entity.domain,
        spec=execution_pb2.ExecutionSpec(
            launch_plan=entity,
            metadata=execution_pb2.ExecutionMetadata(
                mode=execution_pb2.ExecutionMetadata.MANUAL, principal="flytelite"
            ),
        ),
        inputs=literals,
    )
    return client.call(client.admin.CreateExecution, request).id


def follow(client: Client, id: Any, entity: Any) -> int:
    """Show an execution until it is over, then its outputs or its failure; returns the exit code."""
    from flyteidl.core import execution_pb2

    from flytelite.cli.nodes import NodeReader
    from flytelite.cli.outcome import print_failure, print_logs, print_outputs
    from flytelite.cli.progress import make_progress, seconds
    from flytelite.cli.watch import changes

    reader = NodeReader(client)
    nodes: Any = ()
    try:
        with make_progress(f"{entity.name} as {id.name}") as progress:
            for _ in changes(client, id):
                nodes = reader.read(id)
                progress.show(nodes)
    except KeyboardInterrupt:
        print(f"\nno longer watching; {id.name} goes on. `flytelite ls nodes {id.name}` shows it")
        return INTERRUPTED
    execution = client.execution(id)
    succeeded = execution.closure.phase == execution_pb2.WorkflowExecution.SUCCEEDED
    if succeeded:
        print(f"SUCCEEDED in {seconds(execution.closure.duration.ToTimedelta())}")
        print_outputs(entity, client.execution_data(id))
    else:
        print_failure(client, execution, nodes)
    print_logs(nodes)
    print(_address(client, id))
    return 0 if succeeded else FAILED


def _address(client: Client, id: Any) -> str:
    return f"REST\n  {client.endpoint.url}/api/v1/executions/{id.project}/{id.domain}/{id.name}"
