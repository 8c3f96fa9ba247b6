"""Which connector service a type of tasks goes to.

Services of the settings come first; the one of this machine is started only for what could not run otherwise.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from flyteidl.admin import agent_pb2

from flytelite.connector_settings import ConnectorSettings
from flytelite.engine.connectors.local_service import CannotServe, LocalService

if TYPE_CHECKING:
    from flytelite.engine.connectors.client import ServiceClient

LISTED_SECONDS = 10.0
"""How long it holds what a service said that it serves (poll-interval)."""

Category = tuple[str, int]

logger = logging.getLogger(__name__)


class NoConnector(Exception):
    """No service serves the type; the message says who was asked."""


@dataclass(frozen=True)
class Route:
    """The service that serves a type, in which version, and whether it does so within one call."""

    client: ServiceClient
    is_sync: bool
    version: int = 0


@dataclass
class _Listed:
    """What one service serves: whether it is done within one call, by type and version."""

    at: float = float("-inf")
    served: dict[Category, bool] = field(default_factory=dict)
    failure: str = ""

    def find(self, type: str, version: int) -> Category | None:
        """What serves the tasks of a type in a version.

        Without that version it is version 0, which is nearly all that connectors have: flytekit's ``map_task`` gives
        its tasks version 1, whatever that of the task is that it maps.
        """
        return next((one for one in ((type, version), (type, 0)) if one in self.served), None)


class Connectors:
    """All connector services that the engine knows."""

    def __init__(self, services: Sequence[ConnectorSettings], local: LocalService) -> None:
        self._services = tuple(services)
        self._local = local
        self._clients: dict[ConnectorSettings, ServiceClient] = {}
        self._listed: dict[ConnectorSettings, _Listed] = {}
        self._listing = asyncio.Lock()

    def serves(self, type: str, version: int) -> bool:
        """Whether a service has said, or the settings say, that tasks of that type go to it."""
        known = any(listed.find(type, version) is not None for listed in self._listed.values())
        return known or any(type in service.task_types for service in self._services)

    async def find(self, type: str, version: int, needed: bool) -> Route | None:
        """The service of a type; None when there is none and it is not ``needed``. Raises NoConnector if it is."""
        asked = []
        for service in self._services:
            listed = await self._list(service)
            if (category := listed.find(type, version)) is not None:
                return Route(self._client(service), listed.served[category], category[1])
            if type in service.task_types:
                return Route(self._client(service), is_sync=False, version=version)
            asked.append(_told(service.endpoint, listed))
        return await self._find_here(type, version, asked) if needed else None

    async def close(self) -> None:
        """Close all channels and end the service of this machine."""
        for client in self._clients.values():
            await client.close()
        self._clients.clear()
        await self._local.close()

    async def _find_here(self, type: str, version: int, asked: list[str]) -> Route:
        try:
            service = await self._local.settings()
        except CannotServe as error:
            raise NoConnector("; ".join([*asked, str(error)])) from error
        listed = await self._list(service)
        category = listed.find(type, version)
        if category is None:
            raise NoConnector("; ".join([*asked, _told("this machine", listed)]))
        return Route(self._client(service), listed.served[category], category[1])

    def _client(self, service: ConnectorSettings) -> ServiceClient:
        from flytelite.engine.connectors.client import ServiceClient

        if service not in self._clients:
            self._clients[service] = ServiceClient(service)
        return self._clients[service]

    async def _list(self, service: ConnectorSettings) -> _Listed:
        from flytelite.engine.connectors.client import ServiceFailed

        async with self._listing:
            listed = self._listed.setdefault(service, _Listed())
            if time.monotonic() - listed.at < LISTED_SECONDS:
                return listed
            try:
                listed.served = _served(await self._client(service).agents())
                listed.failure = ""
            except ServiceFailed as error:
                logger.warning("%s", error)
                listed.failure = str(error)
            listed.at = time.monotonic()
            return listed


def _served(agents: Sequence[agent_pb2.Agent]) -> dict[Category, bool]:
    found: dict[Category, bool] = {}
    for agent in agents:
        found.update({(type, 0): agent.is_sync for type in agent.supported_task_types})
        found.update({(one.name, one.version): agent.is_sync for one in agent.supported_task_categories})
    return found


def _told(name: str, listed: _Listed) -> str:
    if listed.failure:
        return listed.failure
    types = ", ".join(sorted({type for type, _ in listed.served})) or "nothing"
    return f"the connector service of {name} serves {types}"
