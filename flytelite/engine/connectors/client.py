"""One connector service as the engine sees it: its calls, each with its deadline."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import grpc
from flyteidl.admin import agent_pb2
from flyteidl.service import agent_pb2_grpc

from flytelite.connector_settings import ConnectorSettings

_OPTIONS = [("grpc.max_receive_message_length", -1), ("grpc.max_send_message_length", -1)]


class ServiceFailed(Exception):
    """A call had no answer, or was answered with an error."""

    def __init__(self, endpoint: str, call: str, error: grpc.RpcError) -> None:
        code: Any = error.code() if isinstance(error, grpc.aio.AioRpcError) else grpc.StatusCode.UNKNOWN
        details = error.details() if isinstance(error, grpc.aio.AioRpcError) else str(error)
        super().__init__(f"{call} of the connector service at {endpoint} failed: {code.name}: {details}")


class ServiceClient:
    """A channel to one connector service. Methods raise ServiceFailed."""

    def __init__(self, settings: ConnectorSettings) -> None:
        self.settings = settings
        if settings.insecure:
            self._channel = grpc.aio.insecure_channel(settings.endpoint, _OPTIONS)
        else:
            self._channel = grpc.aio.secure_channel(settings.endpoint, grpc.ssl_channel_credentials(), _OPTIONS)
        self._async = agent_pb2_grpc.AsyncAgentServiceStub(self._channel)
        self._sync = agent_pb2_grpc.SyncAgentServiceStub(self._channel)
        self._metadata = agent_pb2_grpc.AgentMetadataServiceStub(self._channel)

    async def agents(self) -> Sequence[agent_pb2.Agent]:
        """The connectors of the service."""
        answer = await self._call("ListAgents", self._metadata.ListAgents, agent_pb2.ListAgentsRequest())
        found: Sequence[agent_pb2.Agent] = answer.agents
        return found

    async def create(self, request: agent_pb2.CreateTaskRequest) -> bytes:
        """Start a job; what the service needs to find it again."""
        answer = await self._call("CreateTask", self._async.CreateTask, request)
        meta: bytes = answer.resource_meta
        return meta

    async def get(self, request: agent_pb2.GetTaskRequest) -> agent_pb2.Resource:
        """How a job stands."""
        return (await self._call("GetTask", self._async.GetTask, request)).resource

    async def delete(self, request: agent_pb2.DeleteTaskRequest) -> None:
        """End a job."""
        await self._call("DeleteTask", self._async.DeleteTask, request)

    async def execute(self, parts: Sequence[agent_pb2.ExecuteTaskSyncRequest]) -> agent_pb2.Resource:
        """Do a task within one call; what came of it."""
        try:
            call = self._sync.ExecuteTaskSync(iter(parts), timeout=self.settings.seconds("ExecuteTaskSync"))
            async for answer in call:
                if answer.HasField("header"):
                    return answer.header.resource
        except grpc.RpcError as error:
            raise ServiceFailed(self.settings.endpoint, "ExecuteTaskSync", error) from error
        return agent_pb2.Resource(message="expected header in the response, but got none")

    async def close(self) -> None:
        """Close the channel; calls that are under way are cancelled."""
        await self._channel.close(None)

    async def _call(self, name: str, method: Any, request: Any) -> Any:
        try:
            return await method(request, timeout=self.settings.seconds(name))
        except grpc.RpcError as error:
            raise ServiceFailed(self.settings.endpoint, name, error) from error
