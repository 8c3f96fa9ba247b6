"""``flytelite signal``: answer what an execution waits for."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from flytelite.cli.failure import Usage
from flytelite.cli.options import DEFAULT_DOMAIN, DEFAULT_PROJECT, Domain, EndpointFlag, Project, Verbose

if TYPE_CHECKING:
    from flytelite.cli.client import Client


def command(
    execution: Annotated[str, typer.Argument(metavar="EXECUTION", help="The execution that waits.")],
    signal: Annotated[
        str, typer.Argument(metavar="[SIGNAL]", help="What it waits for. Without: list that.", show_default=False)
    ] = "",
    value: Annotated[
        str | None,
        typer.Argument(metavar="[VALUE]", help="Written as an input of `run`; true approves, false rejects."),
    ] = None,
    *,
    project: Project = DEFAULT_PROJECT,
    domain: Domain = DEFAULT_DOMAIN,
    endpoint: EndpointFlag = None,
    verbose: Verbose = False,
) -> None:
    """Answer an approve or wait_for_input that an execution waits for, or list those."""
    from flyteidl.core import identifier_pb2

    from flytelite.cli.client import Client
    from flytelite.cli.endpoint import discover
    from flytelite.cli.watch import OVER

    id = identifier_pb2.WorkflowExecutionIdentifier(project=project, domain=domain, name=execution)
    with Client(discover(endpoint)) as client:
        is_over = client.existing_execution(id).closure.phase in OVER
        if not signal:
            _list(client, id)
            return
        found = _asked(client, id, signal, is_over)
        print(f"{signal} of {execution} is {_answer(client, found, value)}")


def _list(client: Client, id: Any) -> None:
    """Print what waits in an execution and in those that it has started, and what answers it."""
    from flytelite.cli.nodes import NodeReader

    nodes = [node for top in NodeReader(client).read(id) for _, node in top.walk()]
    waiting = [(node.id, node.waits_for) for node in nodes if node.waits_for is not None]
    if not waiting:
        print(f"{id.name} waits for no signal")
    for node_id, gate in waiting:
        print(f"{node_id} waits for {gate.text}")
        if gate.command:
            print(f"  {gate.command}")


def _asked(client: Client, id: Any, name: str, is_over: bool) -> Any:
    """The signal_pb2.Signal of that name that the execution waits for. Raises Usage when it waits for none."""
    from flyteidl.admin import signal_pb2

    from flytelite.cli.gates import literal_type_name
    from flytelite.cli.outcome import literal_text

    request = signal_pb2.SignalListRequest(workflow_execution_id=id)
    signals = {signal.id.signal_id: signal for signal in client.pages(client.signals.ListSignals, request, "signals")}
    found = signals.get(name)
    if found is not None and found.value.WhichOneof("value") is not None:
        raise Usage(f"{name} of {id.name} was answered before: it is {literal_text(found.value)}")
    if is_over:
        raise Usage(f"{id.name} has ended and waits for nothing; `flytelite ls nodes {id.name}` shows how it went")
    if found is None:
        waiting = [
            f"{signal.id.signal_id} ({literal_type_name(signal.type)})"
            for signal in signals.values()
            if signal.value.WhichOneof("value") is None
        ]
        known = f"it waits for {', '.join(waiting)}" if waiting else "at the moment it waits for none"
        raise Usage(f"{id.name} waits for no signal {name!r}; {known}")
    return found


def _answer(client: Client, signal: Any, text: str | None) -> str:
    """Set a signal to the value that the text means, and return how Python writes that. Raises Usage if it has none."""
    from flyteidl.admin import signal_pb2
    from flytekit.core.type_engine import TypeEngine
    from flytekit.models.types import LiteralType

    from flytelite.cli.inputs import Input, literal, parsed
    from flytelite.cli.outcome import literal_text
    from flytelite.cli.serialization import make_remote

    name, execution = signal.id.signal_id, signal.id.execution_id
    literal_type = LiteralType.from_flyte_idl(signal.type)
    input = Input(name, TypeEngine.guess_python_type(literal_type), literal_type)
    what = f"signal {name!r}"
    if text is None:
        raise Usage(f"{what} needs a value: {input.takes}")
    value = parsed(input, what, text)
    remote = make_remote(client.endpoint, execution.project, execution.domain)
    request = signal_pb2.SignalSetRequest(id=signal.id, value=literal(remote, input, what, value))
    client.call(client.signals.SetSignal, request)
    return literal_text(request.value, input.python_type)
