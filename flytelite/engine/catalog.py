"""The cache of task outputs: datacatalog's keys and meaning, without its service.

Keys: ``flytepropeller/pkg/controller/nodes/catalog/datacatalog/transformer.go`` and
``flyteplugins/go/tasks/pluginmachinery/catalog/hashing.go``. An artifact is a file of outputs and a note under its key;
a reservation is a note that names its owner.
"""

from __future__ import annotations

import base64
import hashlib
import uuid
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from flyteidl.core import catalog_pb2, identifier_pb2, interface_pb2, literals_pb2, tasks_pb2, types_pb2
from google.protobuf import json_format
from google.protobuf.message import Message

from flytelite.compiler.digests import message_digest
from flytelite.engine import data
from flytelite.engine.record import Note, ReadView

SIGNATURE_LENGTH = 8
CACHE_KEY_METADATA = "cache-key-metadata"


class NoCacheVersion(Exception):
    """A task that is to be cached has no version of its cache."""


@dataclass(frozen=True)
class Key:
    """Which artifact: the dataset of a task and its interface, and the tag of its inputs."""

    dataset: identifier_pb2.Identifier
    tag: str

    @property
    def note(self) -> str:
        """The key of the artifact's note."""
        return f"artifact/{self._name}"

    @property
    def reservation(self) -> str:
        """The key of the reservation's note."""
        return f"reservation/{self._name}"

    @property
    def _name(self) -> str:
        parts = (self.dataset.project, self.dataset.domain, self.dataset.name, self.dataset.version, self.tag)
        return "/".join(data.component(part) for part in parts)


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
    """Outputs that were computed before. ``metadata`` is what events say of them."""

    outputs: literals_pb2.LiteralMap
    metadata: catalog_pb2.CatalogMetadata


@dataclass(frozen=True)
class Catalog:
    """The artifacts; their files are below ``directory``."""

    view: ReadView
    directory: Path

    async def get(self, key: Key, expected: Iterable[str]) -> Artifact | None:
        """The artifact of that key, if it has all the ``expected`` outputs; None when there is none."""
        note = self.view.note(key.note)
        if note is None:
            return None
        outputs = await data.read_literals(Path(str(note["outputs"])))
        if outputs is None or set(outputs.literals) != set(expected):
            return None
        metadata = catalog_pb2.CatalogMetadata()
        json_format.ParseDict(note["metadata"], metadata)
        return Artifact(outputs, metadata)

    async def put(
        self, key: Key, outputs: literals_pb2.LiteralMap, source: identifier_pb2.TaskExecutionIdentifier, replace: bool
    ) -> tuple[catalog_pb2.CatalogMetadata, dict[str, Note]]:
        """Write an artifact's file; the metadata for the event, and the note to record in one batch with it.

        An artifact that is there already stays unless it is to be replaced.
        """
        metadata = catalog_pb2.CatalogMetadata(
            dataset_id=key.dataset,
            artifact_tag=catalog_pb2.CatalogArtifactTag(artifact_id=str(uuid.uuid4()), name=key.tag),
            source_task_execution=source,
        )
        if not replace and self.view.note(key.note) is not None:
            return metadata, {}
        identity = hashlib.sha256(key.note.encode()).hexdigest()
        path = self.directory / identity[:2] / f"{identity[2:40]}-{metadata.artifact_tag.artifact_id}.pb"
        await data.write_literals(path, outputs)
        note: dict[str, Any] = {"outputs": str(path), "metadata": json_format.MessageToDict(metadata)}
        return metadata, {key.note: note}
