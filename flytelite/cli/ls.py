"""``flytelite ls``: list what the control plane knows."""

from __future__ import annotations

import datetime
import enum
import itertools
import json
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Annotated, Any

import typer

from flytelite.cli.failure import Usage
from flytelite.cli.options import DEFAULT_DOMAIN, DEFAULT_PROJECT, Domain, EndpointFlag, Project, Verbose

if TYPE_CHECKING:
    from flytelite.cli.client import Client
    from flytelite.cli.nodes import NodeView


TIME = "%Y-%m-%d %H:%M:%S"
MEBIBYTE = 1024 * 1024


class Kind(enum.StrEnum):
    """What can be listed."""

    EXECUTIONS = "executions"
    WORKFLOWS = "workflows"
    TASKS = "tasks"
    LAUNCH_PLANS = "launch-plans"
    PROJECTS = "projects"
    SCHEDULES = "schedules"
    NODES = "nodes"


class Format(enum.StrEnum):
    """How it is printed."""

    TABLE = "table"
    JSON = "json"
    YAML = "yaml"
    NAME = "name"


@dataclass(frozen=True)
class Query:
    """What the options say."""

    project: str
    domain: str
    limit: int | None
    filters: str
    execution: str


OF_EXECUTIONS = "eq(phase,FAILED)+contains(workflow.name,hello)"
OF_NODES = "eq(phase,FAILED)"
OF_NAMED = "contains(name,hello)"
"""Filters, for the help and for those who are told that theirs is none."""


@dataclass(frozen=True)
class Listing:
    """How one kind is fetched and shown."""

    fetch: Callable[[Client, Query], Iterable[Any]]
    columns: Sequence[str]
    row: Callable[[Any], Sequence[str]]
    message: Callable[[Any], Any] = lambda item: item
    """The API's message of an item, for -o json and -o yaml."""
    name: Callable[[Any], str] = lambda item: item.id.name
    limit: int | None = 20
    filter_example: str = OF_NAMED
    remarks: Callable[[Any], Iterable[str]] = lambda item: ()
    """Lines below the table."""


def command(
    kind: Annotated[Kind, typer.Argument(help="What to list.")] = Kind.EXECUTIONS,
    execution: Annotated[str, typer.Argument(metavar="[EXECUTION]", help="Whose nodes to list.")] = "",
    *,
    project: Project = DEFAULT_PROJECT,
    domain: Domain = DEFAULT_DOMAIN,
    limit: Annotated[
        int | None, typer.Option(min=1, help="At most so many. Default: 20, and all nodes of an execution.")
    ] = None,
    filter: Annotated[str, typer.Option("--filter", help=f"Flyte's filter language, e.g. {OF_EXECUTIONS!r}.")] = "",
    output: Annotated[Format, typer.Option("-o", "--output", help="How to print it.")] = Format.TABLE,
    endpoint: EndpointFlag = None,
    verbose: Verbose = False,
) -> None:
    """List executions, workflows, tasks, launch plans, active schedules, projects, or the nodes of an execution."""
    import grpc

    from flytelite.cli.client import Client, RpcFailure
    from flytelite.cli.endpoint import discover

    if (kind is Kind.NODES) != bool(execution):
        raise Usage(
            "name the execution: `flytelite ls nodes EXECUTION`"
            if kind is Kind.NODES
            else f"`flytelite ls {kind.value}` takes no further argument, but got {execution!r}"
        )
    listing = LISTINGS[kind]
    with Client(discover(endpoint)) as client:
        try:
            items = list(listing.fetch(client, Query(project, domain, limit or listing.limit, filter, execution)))
        except RpcFailure as failure:
            if not filter or failure.code is not grpc.StatusCode.INVALID_ARGUMENT:
                raise
            raise Usage(
                f"--filter {filter!r}: {failure.sentence}; filters of {kind.value} look like {listing.filter_example!r}"
            ) from failure
        if not items and kind is not Kind.PROJECTS:
            client.check_place(project, domain)
    if output is Format.TABLE:
        _print_table(listing.columns, [listing.row(item) for item in items])
        for item in items:
            for remark in listing.remarks(item):
                print(remark)
    elif output is Format.NAME:
        for item in items:
            print(listing.name(item))
    else:
        _print_documents([listing.message(item) for item in items], output)


def _print_table(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """Columns as wide as their content, so that no line is cut or wrapped by us."""
    table = [columns, *rows]
    widths = [max(len(row[index]) for row in table) for index in range(len(columns))]
    for row in table:
        print("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())


def _print_documents(items: Sequence[Any], output: Format) -> None:
    from google.protobuf.json_format import MessageToDict

    documents = [item if isinstance(item, dict) else MessageToDict(item) for item in items]
    if output is Format.JSON:
        json.dump(documents, sys.stdout, indent=2)
        print()
        return
    import yaml

    yaml.safe_dump(documents, sys.stdout, sort_keys=False)


def _executions(client: Client, query: Query) -> Iterable[Any]:
    return client.pages(client.admin.ListExecutions, _request(query), "executions", query.limit)


def _execution_row(item: Any) -> Sequence[str]:
    from flyteidl.core import execution_pb2

    phase = execution_pb2.WorkflowExecution.Phase.Name(item.closure.phase)
    plan = item.spec.launch_plan
    return item.id.name, phase, plan.name, plan.version, *_times(item.closure)


def _entities(method: str, field: str) -> Callable[[Client, Query], Iterable[Any]]:
    def fetch(client: Client, query: Query) -> Iterable[Any]:
        return client.pages(getattr(client.admin, method), _request(query), field, query.limit)

    return fetch


def _entity_row(item: Any) -> Sequence[str]:
    return item.id.name, item.id.version, _local(item.closure.created_at)


def _launch_plan_row(item: Any) -> Sequence[str]:
    from flyteidl.admin import launch_plan_pb2

    state = launch_plan_pb2.LaunchPlanState.Name(item.closure.state)
    return item.id.name, item.id.version, state, item.spec.workflow_id.name, _local(item.closure.created_at)


def _schedules(client: Client, query: Query) -> Iterable[dict[str, Any]]:
    from flytelite.cli.schedules import active_schedules

    found = active_schedules(client.endpoint, query.project, query.domain)
    if query.filters:  # of the launch plans, which is what has a schedule
        active = replace(query, filters=f"{query.filters}+eq(state,1)")
        plans = client.pages(client.admin.ListLaunchPlans, _request(active), "launch_plans")
        wanted = {(plan.id.name, plan.id.version) for plan in plans}
        found = [item for item in found if (item["launch_plan"], item["version"]) in wanted]
    return itertools.islice(found, query.limit)


def _schedule_row(item: dict[str, Any]) -> Sequence[str]:
    from flytelite.cli.schedules import schedule_text

    times = (datetime.datetime.fromisoformat(item[name]) if item[name] else None for name in ("last", "next"))
    last, next = (moment.astimezone().strftime(TIME) if moment else "-" for moment in times)
    return item["launch_plan"], item["version"], schedule_text(item["schedule"]), last, next


def _projects(client: Client, query: Query) -> Iterable[Any]:
    from flyteidl.admin import project_pb2

    request = project_pb2.ProjectListRequest(filters=query.filters)
    return client.pages(client.admin.ListProjects, request, "projects", query.limit)


def _project_row(item: Any) -> Sequence[str]:
    return item.id, item.name, ", ".join(domain.id for domain in item.domains), item.description


def _nodes(client: Client, query: Query) -> Iterable[tuple[int, NodeView]]:
    """Each with its depth in the tree."""
    from flyteidl.core import identifier_pb2

    from flytelite.cli.nodes import NodeReader

    id = identifier_pb2.WorkflowExecutionIdentifier(project=query.project, domain=query.domain, name=query.execution)
    client.existing_execution(id)  # an execution that does not exist is said so
    top = NodeReader(client).read(id, filters=query.filters)
    return itertools.islice((item for node in top for item in node.walk()), query.limit)


def _node_row(item: tuple[int, NodeView]) -> Sequence[str]:
    depth, node = item
    started, duration = _times(node.message.closure)
    attempts = node.attempts
    return (
        f"{'  ' * depth}{node.id}",
        node.what or "-",
        node.phase_name,
        started,
        duration,
        str(attempts.count or "-"),
        f"{attempts.peak_memory / MEBIBYTE:.0f} MiB" if attempts.peak_memory else "-",
        f"{attempts.cpu_seconds:.2f}s" if attempts.peak_memory else "-",
        ", ".join([*attempts.logs[-1:], *(link.text for link in attempts.last_links)]) or "-",
    )


def _waiting(item: tuple[int, NodeView]) -> Iterable[str]:
    _, node = item
    if node.waits_for is not None and node.waits_for.command:
        yield f"{node.id} waits for {node.waits_for.text}: {node.waits_for.command}"


def _request(query: Query) -> Any:
    from flyteidl.admin import common_pb2

    return common_pb2.ResourceListRequest(
        id=common_pb2.NamedEntityIdentifier(project=query.project, domain=query.domain),
        filters=query.filters,
        sort_by=common_pb2.Sort(key="created_at", direction=common_pb2.Sort.DESCENDING),
    )


def _times(closure: Any) -> tuple[str, str]:
    from flytelite.cli.progress import seconds

    started = _local(closure.started_at) if closure.HasField("started_at") else "-"
    return started, seconds(closure.duration.ToTimedelta()) if closure.HasField("duration") else "-"


def _local(timestamp: Any) -> str:
    return str(timestamp.ToDatetime(datetime.UTC).astimezone().strftime(TIME))


LISTINGS: Mapping[Kind, Listing] = {
    Kind.EXECUTIONS: Listing(
        _executions,
        ("NAME", "PHASE", "LAUNCH PLAN", "VERSION", "STARTED", "DURATION"),
        _execution_row,
        filter_example=OF_EXECUTIONS,
    ),
    Kind.WORKFLOWS: Listing(_entities("ListWorkflows", "workflows"), ("NAME", "VERSION", "CREATED"), _entity_row),
    Kind.TASKS: Listing(_entities("ListTasks", "tasks"), ("NAME", "VERSION", "CREATED"), _entity_row),
    Kind.LAUNCH_PLANS: Listing(
        _entities("ListLaunchPlans", "launch_plans"),
        ("NAME", "VERSION", "STATE", "WORKFLOW", "CREATED"),
        _launch_plan_row,
    ),
    Kind.SCHEDULES: Listing(
        _schedules,
        ("LAUNCH PLAN", "VERSION", "SCHEDULE", "LAST", "NEXT"),
        _schedule_row,
        name=lambda item: str(item["launch_plan"]),
    ),
    Kind.PROJECTS: Listing(
        _projects, ("ID", "NAME", "DOMAINS", "DESCRIPTION"), _project_row, name=lambda item: item.id
    ),
    Kind.NODES: Listing(
        _nodes,
        ("NODE", "TASK", "PHASE", "STARTED", "DURATION", "ATTEMPTS", "MEMORY", "CPU", "LOG"),
        _node_row,
        message=lambda item: item[1].message,
        name=lambda item: item[1].message.id.node_id,
        limit=None,
        filter_example=OF_NODES,
        remarks=_waiting,
    ),
}
