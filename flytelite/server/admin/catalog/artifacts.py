"""Artifacts and their tags.

Source: datacatalog/pkg/manager/impl/{artifact_manager,tag_manager}.go.
"""

from __future__ import annotations

import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

from flyteidl.core import literals_pb2
from flyteidl.datacatalog import datacatalog_pb2

from flytelite.errors import AlreadyExists, NotFound
from flytelite.server.admin.catalog import checks, pages
from flytelite.server.admin.catalog.datasets import Datasets
from flytelite.server.admin.catalog.tables import ARTIFACTS, TAGS, artifact_key, dataset_key, plain_id, tag_key
from flytelite.server.admin.clock import Clock
from flytelite.server.admin.filters import timestamp_text
from flytelite.server.admin.identifiers import text
from flytelite.server.admin.literal_maps import LiteralMaps, LiteralReader
from flytelite.server.admin.records import Record, Records
from flytelite.server.admin.validation import missing, require
from flytelite.server.store.interface import Condition, Operator, Query, Store

ArtifactRecord: TypeAlias = Record[datacatalog_pb2.Artifact]


@dataclass(frozen=True)
class Kept:
    """An artifact as the engine sees it. ``data`` is the URI of its LiteralMap."""

    id: str
    data: str
    metadata: Mapping[str, str]
    dataset_metadata: Mapping[str, str]


class Artifacts:
    """The artifact and tag RPCs, and the engine's way to the same."""

    def __init__(
        self, store: Store, datasets: Datasets, literal_maps: LiteralMaps, reader: LiteralReader, clock: Clock
    ) -> None:
        self._store = store
        self._datasets = datasets
        self._literal_maps = literal_maps
        self._reader = reader
        self._clock = clock
        self._records = Records(store, ARTIFACTS, datacatalog_pb2.Artifact)
        self._tags = store.table(TAGS)

    def create(self, request: datacatalog_pb2.CreateArtifactRequest) -> datacatalog_pb2.CreateArtifactResponse:
        """CreateArtifact. Raises InvalidArgument, NotFound without its dataset, AlreadyExists."""
        if not request.HasField("artifact"):
            raise missing("artifact")
        artifact = request.artifact
        checks.dataset_id(artifact.dataset, artifact.HasField("dataset"))
        require(artifact.id, checks.ARTIFACT_ID)
        checks.artifact_data(artifact.data)
        dataset = self._datasets.existing(artifact.dataset).message
        checks.partitions(dataset.partitionKeys, artifact.partitions)
        key = artifact_key(artifact.dataset, artifact.id)
        repeated = len({item.name for item in artifact.data}) < len(artifact.data)
        if key in self._records or repeated:
            raise AlreadyExists(f"value with matching already exists (artifact [{artifact.id}])")
        with self._store.batch():
            self._insert(dataset.id, artifact, self._offload(artifact.data))
        return datacatalog_pb2.CreateArtifactResponse()

    def get(self, request: datacatalog_pb2.GetArtifactRequest) -> datacatalog_pb2.GetArtifactResponse:
        """GetArtifact by id, in whichever dataset if none is named, or by tag. Raises InvalidArgument, NotFound."""
        checks.query_handle(request)
        record = self._find(request)
        data = self._reader.find(str(record.extra["data"]))
        if data is None:
            raise NotFound(f"Unable to read artifact data from location {record.extra['data']}")
        return datacatalog_pb2.GetArtifactResponse(artifact=self._shown(record, data))

    def update(self, request: datacatalog_pb2.UpdateArtifactRequest) -> datacatalog_pb2.UpdateArtifactResponse:
        """UpdateArtifact: its data is replaced, and its metadata if there is any. Raises InvalidArgument, NotFound."""
        checks.query_handle(request)
        checks.artifact_data(request.data)
        key = self._find(request).key
        with self._store.batch():
            id = self._replace(key, self._offload(request.data), request.metadata.key_map)
        return datacatalog_pb2.UpdateArtifactResponse(artifact_id=id)

    def add_tag(self, request: datacatalog_pb2.AddTagRequest) -> datacatalog_pb2.AddTagResponse:
        """AddTag. Raises InvalidArgument, NotFound without dataset or artifact, AlreadyExists for a tag in use."""
        if not request.HasField("tag"):
            raise missing("tag")
        tag = request.tag
        checks.dataset_id(tag.dataset, tag.HasField("dataset"))
        require(tag.name, checks.TAG_NAME)
        require(tag.artifact_id, checks.ARTIFACT_ID)
        self._datasets.existing(tag.dataset)
        key = artifact_key(tag.dataset, tag.artifact_id)
        if key not in self._records:
            raise _missing(tag.dataset, tag.artifact_id)
        if tag_key(tag.dataset, tag.name) in self._tags:
            raise AlreadyExists(f"value with matching already exists (tag [{tag.name}])")
        self._tags.put(tag_key(tag.dataset, tag.name), {"artifact": key, "name": tag.name})
        return datacatalog_pb2.AddTagResponse()

    def list(self, request: datacatalog_pb2.ListArtifactsRequest) -> datacatalog_pb2.ListArtifactsResponse:
        """ListArtifacts of a dataset; data that cannot be read is not shown. Raises InvalidArgument, NotFound."""
        checks.dataset_id(request.dataset, request.HasField("dataset"))
        wanted = pages.wanted("Artifact", request.filter.filters, {"tag", "partition", "artifact"})
        page = pages.page(request.pagination)
        self._datasets.existing(request.dataset)
        of_dataset = Condition("dataset", Operator.EQUAL, (dataset_key(request.dataset),))
        tagged = [self._tags.get(tag_key(request.dataset, name)) for _, name in pages.split(wanted, "tag")]
        among = None
        for tag in tagged:
            found = {str(tag["artifact"])} if tag is not None else set()
            among = found if among is None else among & found
        keys = self._records.table.keys(Query((of_dataset,), "created_at", page.descending), among)
        partitions = set(pages.split(wanted, "partition"))
        if partitions:
            keys = [key for key in keys if partitions <= self._partitions(key)]
        shown = [self._listed(key) for key in page.of(keys)]
        return datacatalog_pb2.ListArtifactsResponse(artifacts=shown, next_token=page.next_token(len(shown)))

    def tagged(self, dataset: Any, tag: str) -> Kept | None:
        """The artifact under a tag of a dataset, which is anything with project, domain, name and version."""
        found = self._tags.get(tag_key(dataset, tag))
        record = self._records.get(str(found["artifact"])) if found is not None else None
        of = self._datasets.find(dataset)
        if record is None or of is None:
            return None
        return Kept(record.message.id, str(record.extra["data"]), record.message.metadata.key_map, of.metadata.key_map)

    def keep(self, dataset: Any, tag: str, artifact: Kept, *, replace: bool) -> str:
        """Keep an artifact under a tag, its dataset too; the id of what is there now.

        What is there already stays, unless it is to be replaced: then it keeps its id and has the new data.
        """
        existing = self._tags.get(tag_key(dataset, tag))
        if existing is not None:
            key = str(existing["artifact"])
            with self._store.batch():
                return self._replace(key, artifact.data, artifact.metadata) if replace else artifact.id
        with self._store.batch():
            id = self._datasets.ensure(dataset, artifact.dataset_metadata)
            metadata = datacatalog_pb2.Metadata(key_map=artifact.metadata)
            message = datacatalog_pb2.Artifact(id=artifact.id or str(uuid.uuid4()), metadata=metadata)
            key = self._insert(id, message, artifact.data)
            self._tags.put(tag_key(dataset, tag), {"artifact": key, "name": tag})
        return str(message.id)

    def _insert(self, dataset: datacatalog_pb2.DatasetID, artifact: datacatalog_pb2.Artifact, data: str) -> str:
        message = datacatalog_pb2.Artifact(
            id=artifact.id, dataset=dataset, metadata=artifact.metadata, partitions=artifact.partitions
        )
        message.created_at.CopyFrom(self._clock())
        key = artifact_key(dataset, artifact.id)
        columns = {
            "dataset": dataset_key(dataset),
            "artifact_id": artifact.id,
            "created_at": timestamp_text(message.created_at),
        }
        self._records.put(Record(key, message, columns, {"data": data}))
        return key

    def _replace(self, key: str, data: str, metadata: Mapping[str, str]) -> str:
        record = self._records.edit(key)
        assert record is not None
        record.extra["data"] = data
        if metadata:
            record.message.metadata.CopyFrom(datacatalog_pb2.Metadata(key_map=metadata))
        self._records.put(record)
        return str(record.message.id)

    def _find(
        self, request: datacatalog_pb2.GetArtifactRequest | datacatalog_pb2.UpdateArtifactRequest
    ) -> ArtifactRecord:
        if request.WhichOneof("query_handle") == "tag_name":
            found = self._tags.get(tag_key(request.dataset, request.tag_name))
            if found is None:
                raise NotFound(f"missing entity of type Tag with identifier name: {request.tag_name}")
            key = str(found["artifact"])
        elif request.HasField("dataset"):
            key = artifact_key(request.dataset, request.artifact_id)
        else:
            key = self._newest(request.artifact_id)
        record = self._records.get(key)
        if record is None:
            raise _missing(request.dataset, request.artifact_id)
        return record

    def _newest(self, artifact_id: str) -> str:
        of_id = Condition("artifact_id", Operator.EQUAL, (artifact_id,))
        return next(iter(self._records.table.keys(Query((of_id,), "created_at", True, limit=1))), "")

    def _offload(self, data: Sequence[datacatalog_pb2.ArtifactData]) -> str:
        return self._literal_maps.offload(literals_pb2.LiteralMap(literals={item.name: item.value for item in data}))

    def _partitions(self, key: str) -> set[tuple[str, str]]:
        record = self._records.get(key)
        assert record is not None
        return {(partition.key, partition.value) for partition in record.message.partitions}

    def _listed(self, key: str) -> datacatalog_pb2.Artifact:
        record = self._records.get(key)
        assert record is not None
        return self._shown(record, self._reader.read(str(record.extra["data"])))

    def _shown(self, record: ArtifactRecord, data: literals_pb2.LiteralMap) -> datacatalog_pb2.Artifact:
        shown = datacatalog_pb2.Artifact()
        shown.CopyFrom(record.message)
        for name in sorted(data.literals):
            shown.data.add(name=name, value=data.literals[name])
        of_artifact = Condition("artifact", Operator.EQUAL, (record.key,))
        for key in self._tags.keys(Query((of_artifact,))):
            tag = self._tags.get(key)
            assert tag is not None
            shown.tags.add(name=str(tag["name"]), artifact_id=shown.id, dataset=shown.dataset)
        return shown


def _missing(dataset: datacatalog_pb2.DatasetID, id: str) -> NotFound:
    sought = datacatalog_pb2.Artifact(id=id)
    if dataset.ByteSize():
        sought.dataset.CopyFrom(plain_id(dataset))
    return NotFound(f"missing entity of type Artifact with identifier {text(sought)}")
