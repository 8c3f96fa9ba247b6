"""``flytelite abort``: end an execution before it ends by itself."""

from __future__ import annotations

from typing import Annotated

import typer

from flytelite.cli.options import DEFAULT_DOMAIN, DEFAULT_PROJECT, Domain, EndpointFlag, Project, Verbose


def command(
    execution: Annotated[str, typer.Argument(metavar="EXECUTION", help="The execution that is to end.")],
    *,
    cause: Annotated[str, typer.Option("--cause", help="Why; kept with the execution.")] = "aborted by flytelite abort",
    project: Project = DEFAULT_PROJECT,
    domain: Domain = DEFAULT_DOMAIN,
    endpoint: EndpointFlag = None,
    verbose: Verbose = False,
) -> None:
    """End an execution, its tasks, and the executions that it has started; returns when all that has ended."""
    from flyteidl.admin import execution_pb2
    from flyteidl.core import execution_pb2 as phases
    from flyteidl.core import identifier_pb2

    from flytelite.cli.client import Client
    from flytelite.cli.endpoint import discover
    from flytelite.cli.failure import Usage
    from flytelite.cli.watch import OVER, changes

    id = identifier_pb2.WorkflowExecutionIdentifier(project=project, domain=domain, name=execution)
    with Client(discover(endpoint)) as client:
        if (phase := client.existing_execution(id).closure.phase) in OVER:
            raise Usage(f"{execution} has ended already, as {phases.WorkflowExecution.Phase.Name(phase)}")
        request = execution_pb2.ExecutionTerminateRequest(id=id, cause=cause)
        client.call(client.admin.TerminateExecution, request)
        for _ in changes(client, id):
            pass
        ended = client.execution(id).closure.phase
        print(f"{execution} has ended as {phases.WorkflowExecution.Phase.Name(ended)}")
