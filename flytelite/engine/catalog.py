"""The cache of task outputs: datacatalog's keys and meaning, over the records that its service shows to clients.

Keys and metadata: ``flytepropeller/pkg/controller/nodes/catalog/datacatalog/transformer.go`` and
``flyteplugins/go/tasks/pluginmachinery/catalog/hashing.go``. The outputs of an artifact are a file.
"""

from __future__ import annotations

import asyncio
import base64
import hashlib
import uuid
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from flyteidl.core import catalog_pb2, identifier_pb2, interface_pb2, literals_pb2, tasks_pb2, types_pb2
from google.protobuf.message import Message

from flytelite.compiler.digests import message_digest
from flytelite.compiler.types import castable, literal_type
from flytelite.engine import data
from flytelite.engine.record import CachedArtifact, EventSink, ReadView

SIGNATURE_LENGTH = 8
CACHE_KEY_METADATA = "cache-key-metadata"
TASK_VERSION = "task-version"
PROJECT, DOMAIN, EXECUTION = "exec-project", "exec-domain", "execution-name"
NODE, ATTEMPT = "exec-node", "exec-attempt"
DECK = "deck-file"
UNKNOWN = "unknown"


class NoCacheVersion(Exception):
    """A task that is to be cached has no version of its cache."""


@dataclass(frozen=True)
class Key:
    """Which artifact: the dataset of a task and its interface, and the tag of its inputs."""

    dataset: identifier_pb2.Identifier
    tag: str

    @property
    def bell(self) -> tuple[str, ...]:
        """The bell that rings when the reservation for the artifact is given back."""
        return reservation_bell(self.dataset, self.tag)

    @property
    def file_name(self) -> str:
        """A name of the artifact's own for a file."""
        return hashlib.sha256("/".join(self.bell).encode()).hexdigest()


def reservation_bell(dataset: identifier_pb2.Identifier, tag: str) -> tuple[str, ...]:
    """The bell that rings when the reservation for the artifact under a tag of a dataset is given back."""
    return ("reservation", dataset.project, dataset.domain, dataset.name, dataset.version, tag)


def key_of(
    template: tasks_pb2.TaskTemplate, interface: interface_pb2.TypedInterface, inputs: literals_pb2.LiteralMap
) -> Key:
    """The key of a task run. ``interface`` is the template's own, or an array element's. Raises NoCacheVersion."""
    version = template.metadata.discovery_version.strip(" ")
    if not version:
        raise NoCacheVersion(f"task cannot have an empty discoveryVersion {version}")
    dataset = identifier_pb2.Identifier(
        resource_type=identifier_pb2.DATASET,
        project=template.id.project,
        domain=template.id.domain,
        name=f"flyte_task-{template.id.name}",
        version=f"{version}-{signature(interface.inputs)}-{signature(interface.outputs)}",
    )
    return Key(dataset, f"flyte_cached-{inputs_hash(inputs, template.metadata.cache_ignore_input_vars)}")


def signature(variables: interface_pb2.VariableMap) -> str:
    """The part of a dataset's version that stands for one side of an interface."""
    stripped = interface_pb2.VariableMap()
    stripped.CopyFrom(variables)
    for variable in stripped.variables.values():
        variable.description = ""
        strip(variable.type)
    return _hash(stripped)[:SIGNATURE_LENGTH]


def strip(kind: types_pb2.LiteralType) -> None:
    """Take away, in place, what does not change the meaning of a type.

    ``flytepropeller/pkg/compiler/transformers/k8s/utils.go`` (StripTypeMetadata).
    """
    kind.ClearField("metadata")
    if kind.HasField("annotation") and CACHE_KEY_METADATA not in kind.annotation.annotations.fields:
        kind.ClearField("annotation")
    for field in kind.structure.dataclass_type.values():
        strip(field)
    name = kind.WhichOneof("type")
    if name == "union_type":
        for variant in kind.union_type.variants:
            strip(variant)
    elif name in ("map_value_type", "collection_type"):
        strip(getattr(kind, name))
    elif name == "structured_dataset_type":
        for column in kind.structured_dataset_type.columns:
            strip(column.literal_type)


def inputs_hash(inputs: literals_pb2.LiteralMap, ignored: Iterable[str] = ()) -> str:
    """The hash of input values; a literal with a hash of its own counts by that alone."""
    counted = literals_pb2.LiteralMap()
    for name in set(inputs.literals) - set(ignored):
        counted.literals[name].CopyFrom(_hashed(inputs.literals[name]))
    return _hash(counted)


def literal_hash(literal: literals_pb2.Literal) -> str:
    """The hash of one literal, as FlytePropeller gives it to what it offloads."""
    return _hash(literal)


def _hashed(literal: literals_pb2.Literal) -> literals_pb2.Literal:
    if literal.hash:
        return literals_pb2.Literal(hash=literal.hash)
    kind = literal.WhichOneof("value")
    if kind == "collection":
        items = [_hashed(item) for item in literal.collection.literals]
        return literals_pb2.Literal(collection=literals_pb2.LiteralCollection(literals=items))
    if kind == "map":
        values = {name: _hashed(value) for name, value in literal.map.literals.items()}
        return literals_pb2.Literal(map=literals_pb2.LiteralMap(literals=values))
    return literal


def _hash(message: Message) -> str:
    return base64.urlsafe_b64encode(message_digest(message)).decode().rstrip("=")


@dataclass(frozen=True)
class Artifact:
    """Outputs that were computed before. ``metadata`` is what events say of them, ``deck`` the file of their deck."""

    outputs: literals_pb2.LiteralMap
    metadata: catalog_pb2.CatalogMetadata
    deck: Path | None = None


@dataclass(frozen=True)
class Catalog:
    """The artifacts; the files of those that the engine keeps are below ``directory``."""

    view: ReadView
    sink: EventSink
    directory: Path

    async def get(
        self, key: Key, expected: Mapping[str, interface_pb2.Variable], task: identifier_pb2.Identifier
    ) -> Artifact | None:
        """The artifact of that key, if it has all the ``expected`` outputs, in their types; None when there is none."""
        found = self.view.artifact(key.dataset, key.tag)
        if found is None:
            return None
        path = Path(found.outputs)
        outputs = await data.read_literals(path) if path.is_absolute() else self.view.literal_map(found.outputs)
        if outputs is None or not _fits(outputs, expected):
            return None
        metadata = catalog_pb2.CatalogMetadata(
            dataset_id=key.dataset,
            artifact_tag=catalog_pb2.CatalogArtifactTag(artifact_id=found.id, name=key.tag),
            source_task_execution=_source(found, task),
        )
        return Artifact(outputs, metadata, Path(found.metadata[DECK]) if DECK in found.metadata else None)

    async def put(
        self,
        key: Key,
        outputs: literals_pb2.LiteralMap,
        source: identifier_pb2.TaskExecutionIdentifier,
        replace: bool,
        deck: Path | None = None,
    ) -> catalog_pb2.CatalogMetadata:
        """Write an artifact's files and put it into the catalog; the metadata for the event.

        An artifact that is there already stays unless it is to be replaced.
        """
        id = str(uuid.uuid4())
        if replace or self.view.artifact(key.dataset, key.tag) is None:
            path = self.directory / key.file_name[:2] / f"{key.file_name[2:40]}-{id}.pb"
            await data.write_literals(path, outputs)
            told = _metadata(source)
            kept = path.with_suffix(".html")
            if deck is not None and await asyncio.to_thread(data.copy_file, deck, kept):
                told[DECK] = str(kept)  # a copy, as the artifact outlives the execution that made it
            artifact = CachedArtifact(id, str(path), told, {TASK_VERSION: source.task_id.version})
            id = self.sink.keep_artifact(key.dataset, key.tag, artifact, replace=replace)
        return catalog_pb2.CatalogMetadata(
            dataset_id=key.dataset,
            artifact_tag=catalog_pb2.CatalogArtifactTag(artifact_id=id, name=key.tag),
            source_task_execution=source,
        )


def _fits(outputs: literals_pb2.LiteralMap, expected: Mapping[str, interface_pb2.Variable]) -> bool:
    if set(outputs.literals) != set(expected):
        return False
    types = {name: literal_type(literal) for name, literal in outputs.literals.items()}
    return all(type is not None and castable(type, expected[name].type) for name, type in types.items())


def _metadata(source: identifier_pb2.TaskExecutionIdentifier) -> dict[str, str]:
    execution = source.node_execution_id.execution_id
    return {
        PROJECT: execution.project,
        DOMAIN: execution.domain,
        EXECUTION: execution.name,
        NODE: source.node_execution_id.node_id,
        ATTEMPT: str(source.retry_attempt),
    }


def _source(found: CachedArtifact, task: identifier_pb2.Identifier) -> identifier_pb2.TaskExecutionIdentifier:
    """Which run computed it, as far as its metadata tell (``transformer.go``, GetSourceFromMetadata)."""
    told = found.metadata
    attempt = told.get(ATTEMPT, "0")
    source = identifier_pb2.TaskExecutionIdentifier(retry_attempt=int(attempt) if attempt.isdecimal() else 0)
    source.task_id.CopyFrom(task)
    source.task_id.version = found.dataset_metadata.get(TASK_VERSION, UNKNOWN)
    source.node_execution_id.node_id = told.get(NODE, UNKNOWN)
    execution = source.node_execution_id.execution_id
    execution.project, execution.domain = told.get(PROJECT, task.project), told.get(DOMAIN, task.domain)
    execution.name = told.get(EXECUTION, UNKNOWN)
    return source
