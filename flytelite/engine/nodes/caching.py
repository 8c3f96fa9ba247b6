"""How a node, or an element of an array, uses the catalog: lookup, reservation, write.

Rules: ``flytepropeller/pkg/controller/nodes/cache.go`` and ``.../nodes/executor.go``.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from flyteidl.core import catalog_pb2, identifier_pb2, interface_pb2, literals_pb2, tasks_pb2
from flyteidl.event import event_pb2

from flytelite.engine.catalog import Artifact, Catalog, Key, NoCacheVersion, key_of, reservation_bell
from flytelite.engine.failures import SYSTEM, NodeFailed, failed
from flytelite.engine.naming import generated_name
from flytelite.engine.places import Slot
from flytelite.engine.record import Note
from flytelite.engine.run import Run

Status = catalog_pb2.CatalogCacheStatus
Reservation = catalog_pb2.CatalogReservation


@dataclass(frozen=True)
class Caching:
    """The cache as one task run sees it. ``interface`` has an element's outputs when it is one's.

    ``inputs`` is asked for when the key is needed, which for most tasks is never. ``held`` is the reservation that was
    noted before: an attempt that fails leaves it to the next one, under its own name.
    """

    run: Run
    template: tasks_pb2.TaskTemplate
    interface: interface_pb2.TypedInterface
    inputs: Callable[[], literals_pb2.LiteralMap]
    unique_id: str
    attempt: int
    held: Note | None = None

    @property
    def wanted(self) -> bool:
        """Whether the task is cached at all."""
        return bool(self.template.metadata.discoverable and self.interface.outputs.variables)

    @property
    def serialized(self) -> bool:
        """Whether only one run at a time may compute the same artifact."""
        return self.wanted and bool(self.template.metadata.cache_serializable) and not self._overwrite

    @property
    def _overwrite(self) -> bool:
        return bool(self.run.launch.spec.overwrite_cache)

    @property
    def key(self) -> Key:
        """Raises NodeFailed for a cached task without a version of its cache."""
        try:
            return key_of(self.template, self.interface, self.inputs())
        except NoCacheVersion as error:
            raise failed(SYSTEM, "CatalogCallFailed", str(error)) from error

    @property
    def _catalog(self) -> Catalog:
        services = self.run.services
        return Catalog(services.view, services.sink, services.settings.bucket / "catalog")

    async def lookup(self) -> Artifact | None:
        """The outputs of an equal run before; None when there are none or they are to be overwritten."""
        if not self.wanted or self._overwrite:
            return None
        return await self._catalog.get(self.key, self.interface.outputs.variables, self.template.id)

    async def reserve(self, slot: Slot) -> Artifact | None:
        """Wait until no other run computes the artifact; the artifact, if there is one then.

        Else this run holds the reservation. A restarted engine finds its own again. Who waits is not among those that
        run: the ``slot`` is others' meanwhile (``IsMaxParallelismAchieved``: a queued node does not count).
        """
        services = self.run.services
        key = self.key
        while True:
            bell = services.bells.listen(key.bell)
            holder = services.sink.reserve(key.dataset, key.tag, self._owner)
            if holder.owner != self._owner:
                slot.release()
                with suppress(TimeoutError):
                    await asyncio.wait_for(bell.wait(), holder.expires_in)
                await slot.take()
                continue
            try:
                found = await self.lookup()
            except (asyncio.CancelledError, NodeFailed):
                if not self.run.stopping:
                    self.release()
                raise
            if found is not None:
                self.release()
            return found

    async def store(
        self,
        outputs: literals_pb2.LiteralMap,
        node: identifier_pb2.NodeExecutionIdentifier,
        deck: Path | None = None,
    ) -> event_pb2.TaskNodeMetadata:
        """Keep the outputs and the deck; what the last event says of it. A disk that refuses does not fail the task."""
        metadata = event_pb2.TaskNodeMetadata()
        if not self.wanted:
            return metadata
        source = identifier_pb2.TaskExecutionIdentifier(
            task_id=self.template.id, node_execution_id=node, retry_attempt=self.attempt
        )
        try:
            catalog_key = await self._catalog.put(self.key, outputs, source, self._overwrite, deck)
        except OSError:
            metadata.cache_status = Status.CACHE_PUT_FAILURE
            return metadata
        metadata.cache_status = Status.CACHE_POPULATED
        metadata.catalog_key.CopyFrom(catalog_key)
        if not self._overwrite:
            metadata.catalog_key.ClearField("source_task_execution")  # only hits and replacements name it
        if self.serialized:
            metadata.reservation_status = Reservation.RESERVATION_RELEASED
        return metadata

    def release(self) -> None:
        """Give the reservation back, to whoever waits."""
        give_back(self.run, self.reservation)

    @property
    def reservation(self) -> Note:
        """The reservation that this run takes or has, to note it."""
        if self.held is not None:
            return self.held
        id = self.key.dataset
        owner = generated_name(self.run.id.name, self.unique_id, self.attempt)
        return {"dataset": [id.project, id.domain, id.name, id.version], "tag": self.key.tag, "owner": owner}

    @property
    def _owner(self) -> str:
        return str(self.reservation["owner"])


def give_back(run: Run, reservation: Note) -> None:
    """End the ``Caching.reservation`` of a run that is over."""
    project, domain, name, version = reservation["dataset"]
    dataset = identifier_pb2.Identifier(
        resource_type=identifier_pb2.DATASET, project=project, domain=domain, name=name, version=version
    )
    run.services.sink.release(dataset, str(reservation["tag"]), str(reservation["owner"]))
    run.services.bells.ring(reservation_bell(dataset, str(reservation["tag"])))


def hit(artifact: Artifact) -> event_pb2.TaskNodeMetadata:
    """What the last event of a node says whose outputs were in the cache."""
    return event_pb2.TaskNodeMetadata(cache_status=Status.CACHE_HIT, catalog_key=artifact.metadata)


def element_interface(interface: interface_pb2.TypedInterface) -> interface_pb2.TypedInterface:
    """The interface of an array's element: inputs as the template has them, outputs one level down."""
    own = interface_pb2.TypedInterface(inputs=interface.inputs)
    for name, variable in interface.outputs.variables.items():
        own.outputs.variables[name].CopyFrom(variable)
        if variable.type.WhichOneof("type") == "collection_type":
            own.outputs.variables[name].type.CopyFrom(variable.type.collection_type)
    return own
