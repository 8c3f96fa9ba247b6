"""A thin gRPC client: flyteidl's stubs, and errors that a person can read."""

from __future__ import annotations

import http.client
import logging
import os
from collections.abc import Callable, Iterator
from types import TracebackType
from typing import Any, Self
from urllib.parse import quote

os.environ.setdefault("GRPC_VERBOSITY", "NONE")  # read at import; what a user needs to know is in the errors

import grpc
from flyteidl.admin import (
    common_pb2,
    execution_pb2,
    node_execution_pb2,
    project_pb2,
    task_execution_pb2,
    version_pb2,
)
from flyteidl.core import identifier_pb2
from flyteidl.service import admin_pb2_grpc, dataproxy_pb2_grpc, signal_pb2_grpc
from google.protobuf import json_format

from flytelite.cli.endpoint import Endpoint
from flytelite.cli.failure import Failure, Usage

log = logging.getLogger(__name__)

MAX_MESSAGE_BYTES = 64 * 1024 * 1024
TIMEOUT = 60.0
ANSWER_SECONDS = 5.0
PAGE = 100


class RpcFailure(Failure):
    """The server answered with an error; ``code`` is its status."""

    def __init__(self, sentence: str, code: grpc.StatusCode) -> None:
        self.code = code
        super().__init__(sentence)


class Client:
    """One connection to one server. Use it as a context manager."""

    def __init__(self, endpoint: Endpoint) -> None:
        self.endpoint = endpoint
        options = [
            ("grpc.max_receive_message_length", MAX_MESSAGE_BYTES),
            ("grpc.max_send_message_length", MAX_MESSAGE_BYTES),
            ("grpc.enable_http_proxy", 0 if _is_local(endpoint.authority) else 1),
        ]
        self._channel = (
            grpc.insecure_channel(endpoint.authority, options)
            if endpoint.insecure
            else grpc.secure_channel(endpoint.authority, grpc.ssl_channel_credentials(), options)
        )
        self.admin = admin_pb2_grpc.AdminServiceStub(self._channel)
        self.data_proxy = dataproxy_pb2_grpc.DataProxyServiceStub(self._channel)
        self.signals = signal_pb2_grpc.SignalServiceStub(self._channel)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._channel.close()

    def call(self, method: Callable[..., Any], request: Any) -> Any:
        """Call a method of a stub, e.g. ``client.call(client.admin.GetTask, request)``.

        Raises RpcFailure with the server's words, or Failure naming the address and where it was read when there is
        no server.
        """
        try:
            return method(request, timeout=TIMEOUT)
        except grpc.RpcError as error:
            raise self.failure(error) from error

    def failure(self, error: grpc.RpcError) -> Failure:
        """What a person should read for an error of this connection."""
        code, details = error.code(), error.details() or ""
        silent = code in (grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.DEADLINE_EXCEEDED)
        if not silent or self.answers():  # a server whose disk refuses says UNAVAILABLE too
            return RpcFailure(details or f"the server answered {code.name}", code)
        if not self.endpoint.insecure and "SSL" in details.upper():
            where = f"{self.endpoint.authority} (from {self.endpoint.source})"
            return Failure(
                f"the server at {where} does not speak TLS; set `admin.insecure: true` in that file, as the "
                "config.yaml in a flytelite data directory does"
            )
        return self.endpoint.no_answer()

    def answers(self) -> bool:
        """Whether the server answers within seconds."""
        try:
            self.admin.GetVersion(version_pb2.GetVersionRequest(), timeout=ANSWER_SECONDS)
        except grpc.RpcError:
            return False
        return True

    def version(self) -> str:
        """The control plane's version."""
        response = self.call(self.admin.GetVersion, version_pb2.GetVersionRequest())
        return str(response.control_plane_version.Version)

    def pages(self, method: Callable[..., Any], request: Any, field: str, limit: int | None = None) -> Iterator[Any]:
        """The items of a list call over all its pages, at most ``limit`` of them."""
        left = limit
        while left is None or left > 0:
            request.limit = PAGE if left is None else min(PAGE, left)
            response = self.call(method, request)
            items = getattr(response, field)
            yield from items
            if not response.token or not items:
                return
            request.token = response.token
            left = None if left is None else left - len(items)

    def check_place(self, project: str, domain: str) -> None:
        """Raise Usage when there is no such project, or it has no such domain.

        Lists are empty then, as FlyteAdmin's are, which nobody would take for a slip of the pen.
        """
        try:
            found = self.call(self.admin.GetProject, project_pb2.ProjectGetRequest(id=project))
        except RpcFailure as failure:
            if failure.code is grpc.StatusCode.NOT_FOUND:
                raise Usage(
                    f"there is no project {project!r}; `flytelite ls projects` lists those that there are"
                ) from failure
            log.debug("whether there is a project %s: %s", project, failure)  # a Flyte that does not tell
            return
        domains = [known.id for known in found.domains]
        if domain not in domains:
            raise Usage(f"project {project!r} has no domain {domain!r}, but {', '.join(domains)}")

    def execution(self, id: identifier_pb2.WorkflowExecutionIdentifier) -> Any:
        """The execution_pb2.Execution of that id."""
        return self.call(self.admin.GetExecution, execution_pb2.WorkflowExecutionGetRequest(id=id))

    def execution_now(self, id: identifier_pb2.WorkflowExecutionIdentifier) -> Any:
        """The same, as it stands: over gRPC flytelite may wait for the end of what runs, over HTTP it does not.

        Falls back on gRPC for what is not found, and for a Flyte that has its REST elsewhere.
        """
        kind = http.client.HTTPConnection if self.endpoint.insecure else http.client.HTTPSConnection
        connection = kind(self.endpoint.authority, timeout=ANSWER_SECONDS)
        path = "/".join(quote(part, safe="") for part in (id.project, id.domain, id.name))
        try:
            connection.request("GET", f"/api/v1/executions/{path}")
            response = connection.getresponse()
            if response.status == http.client.OK:
                found = execution_pb2.Execution()
                return json_format.Parse(response.read(), found, ignore_unknown_fields=True)
        except (OSError, http.client.HTTPException, json_format.ParseError) as error:
            log.debug("%s does not answer over HTTP: %s", self.endpoint.url, error)
        finally:
            connection.close()
        return self.execution(id)

    def existing_execution(self, id: identifier_pb2.WorkflowExecutionIdentifier) -> Any:
        """The same, for an id that a person has typed. Raises Usage when there is none."""
        try:
            return self.execution_now(id)
        except RpcFailure as failure:
            if failure.code is not grpc.StatusCode.NOT_FOUND:
                raise
            raise Usage(
                f"there is no execution {id.name!r} in project {id.project}, domain {id.domain}; `flytelite ls` lists "
                "those that there are"
            ) from failure

    def execution_data(self, id: identifier_pb2.WorkflowExecutionIdentifier) -> Any:
        """Its inputs and outputs, as execution_pb2.WorkflowExecutionGetDataResponse."""
        return self.call(self.admin.GetExecutionData, execution_pb2.WorkflowExecutionGetDataRequest(id=id))

    def node_execution(self, id: identifier_pb2.NodeExecutionIdentifier) -> node_execution_pb2.NodeExecution:
        """One node execution, with the whole error message, of which lists give only the beginning."""
        return self.call(self.admin.GetNodeExecution, node_execution_pb2.NodeExecutionGetRequest(id=id))

    def node_executions(
        self, id: identifier_pb2.WorkflowExecutionIdentifier, parent: str = "", filters: str = ""
    ) -> Iterator[node_execution_pb2.NodeExecution]:
        """The node executions of an execution, or the children of one of them, in the order they were made."""
        request = node_execution_pb2.NodeExecutionListRequest(
            workflow_execution_id=id, unique_parent_id=parent, filters=filters, sort_by=_by_creation()
        )
        return self.pages(self.admin.ListNodeExecutions, request, "node_executions")

    def task_executions(self, id: identifier_pb2.NodeExecutionIdentifier) -> Iterator[task_execution_pb2.TaskExecution]:
        """The attempts of a node, first one first."""
        request = task_execution_pb2.TaskExecutionListRequest(node_execution_id=id, sort_by=_by_creation())
        return self.pages(self.admin.ListTaskExecutions, request, "task_executions")


def _by_creation() -> common_pb2.Sort:
    return common_pb2.Sort(key="created_at", direction=common_pb2.Sort.ASCENDING)


def _is_local(authority: str) -> bool:
    host = authority.rpartition(":")[0].strip("[]")
    return host in ("localhost", "::1") or host.startswith("127.")
