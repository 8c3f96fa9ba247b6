"""How a node, or an element of an array, uses the catalog: lookup, reservation, write.

Rules: ``flytepropeller/pkg/controller/nodes/cache.go`` and ``.../nodes/executor.go``.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from flyteidl.core import catalog_pb2, identifier_pb2, interface_pb2, literals_pb2, tasks_pb2
from flyteidl.event import event_pb2

from flytelite.engine.catalog import Artifact, Catalog, Key, NoCacheVersion, key_of
from flytelite.engine.failures import SYSTEM, failed
from flytelite.engine.naming import generated_name
from flytelite.engine.record import Note
from flytelite.engine.run import Run

Status = catalog_pb2.CatalogCacheStatus
Reservation = catalog_pb2.CatalogReservation


@dataclass(frozen=True)
class Caching:
    """The cache as one task run sees it. ``interface`` has an element's outputs when it is one's."""

    run: Run
    template: tasks_pb2.TaskTemplate
    interface: interface_pb2.TypedInterface
    inputs: literals_pb2.LiteralMap
    unique_id: str
    attempt: int

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
            return key_of(self.template, self.interface, self.inputs)
        except NoCacheVersion as error:
            raise failed(SYSTEM, "CatalogCallFailed", str(error)) from error

    @property
    def _catalog(self) -> Catalog:
        services = self.run.services
        return Catalog(services.view, services.settings.bucket / "catalog")

    async def lookup(self) -> Artifact | None:
        """The outputs of an equal run before; None when there are none or they are to be overwritten."""
        if not self.wanted or self._overwrite:
            return None
        return await self._catalog.get(self.key, self.interface.outputs.variables)

    async def reserve(self) -> Artifact | None:
        """Wait until no other run computes the artifact; the artifact, if there is one then.

        Else this run holds the reservation. A restarted engine finds its own again.
        """
        services = self.run.services
        key = self.key
        owner = generated_name(self.run.id.name, self.unique_id, self.attempt)
        while True:
            bell = services.bells.listen((key.reservation,))
            note = services.view.note(key.reservation)
            if note is None or note["owner"] == owner:
                found = await self.lookup()
                if found is not None:
                    return found
                if services.view.note(key.reservation) in (None, note):
                    services.sink.emit(notes={key.reservation: {"owner": owner}})
                    return None
            else:
                await bell.wait()

    async def store(
        self, outputs: literals_pb2.LiteralMap, node: identifier_pb2.NodeExecutionIdentifier
    ) -> tuple[event_pb2.TaskNodeMetadata, Mapping[str, Note | None]]:
        """Keep the outputs; what the last event says of it, and the notes that go out with it.

        A disk that refuses does not fail the task.
        """
        metadata = event_pb2.TaskNodeMetadata()
        if not self.wanted:
            return metadata, {}
        source = identifier_pb2.TaskExecutionIdentifier(
            task_id=self.template.id, node_execution_id=node, retry_attempt=self.attempt
        )
        try:
            catalog_key, notes = await self._catalog.put(self.key, outputs, source, replace=self._overwrite)
        except OSError:
            metadata.cache_status = Status.CACHE_PUT_FAILURE
            return metadata, {}
        metadata.cache_status = Status.CACHE_POPULATED
        metadata.catalog_key.CopyFrom(catalog_key)
        if not self._overwrite:
            metadata.catalog_key.ClearField("source_task_execution")  # only hits and replacements name it
        if self.serialized:
            metadata.reservation_status = Reservation.RESERVATION_RELEASED
        return metadata, notes

    def release(self) -> None:
        """Give the reservation back, to whoever waits."""
        services = self.run.services
        key = self.key
        note = services.view.note(key.reservation)
        if note is not None and note["owner"] == generated_name(self.run.id.name, self.unique_id, self.attempt):
            services.sink.emit(notes={key.reservation: None})
            services.bells.ring((key.reservation,))


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
