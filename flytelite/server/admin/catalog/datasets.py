"""Datasets.

Source: datacatalog/pkg/manager/impl/dataset_manager.go.
"""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from typing import Any, TypeAlias

from flyteidl.datacatalog import datacatalog_pb2

from flytelite.errors import AlreadyExists, InvalidArgument, NotFound
from flytelite.server.admin.catalog import checks, pages
from flytelite.server.admin.catalog.tables import DATASETS, dataset_key, plain_id
from flytelite.server.admin.clock import Clock
from flytelite.server.admin.filters import timestamp_text
from flytelite.server.admin.identifiers import text
from flytelite.server.admin.records import Record, Records
from flytelite.server.store.interface import Condition, Operator, Query, Store

DatasetRecord: TypeAlias = Record[datacatalog_pb2.Dataset]


class Datasets:
    """The dataset RPCs. Messages handed out are shared: never change one."""

    def __init__(self, store: Store, clock: Clock) -> None:
        self._records = Records(store, DATASETS, datacatalog_pb2.Dataset)
        self._clock = clock

    def create(self, request: datacatalog_pb2.CreateDatasetRequest) -> datacatalog_pb2.CreateDatasetResponse:
        """CreateDataset. Raises InvalidArgument, AlreadyExists."""
        dataset = request.dataset
        checks.dataset_id(dataset.id, dataset.HasField("id"))
        checks.partition_keys(dataset.partitionKeys)
        if dataset_key(dataset.id) in self._records:
            raise AlreadyExists(f"value with matching already exists (dataset [{text(plain_id(dataset.id))}])")
        self._insert(dataset)
        return datacatalog_pb2.CreateDatasetResponse()

    def get(self, request: datacatalog_pb2.GetDatasetRequest) -> datacatalog_pb2.GetDatasetResponse:
        """GetDataset. Raises InvalidArgument, NotFound."""
        checks.dataset_id(request.dataset, request.HasField("dataset"))
        return datacatalog_pb2.GetDatasetResponse(dataset=self.existing(request.dataset).message)

    def list(self, request: datacatalog_pb2.ListDatasetsRequest) -> datacatalog_pb2.ListDatasetsResponse:
        """ListDatasets. Raises InvalidArgument."""
        page = pages.page(request.pagination)
        wanted = pages.wanted("Dataset", request.filter.filters, {"dataset"})
        conditions = tuple(Condition(field, Operator.EQUAL, (value,)) for _, field, value in wanted)
        query = Query(conditions, "created_at", page.descending, page.offset, page.limit)
        found = [record.message for record in self._records.find(query)]
        return datacatalog_pb2.ListDatasetsResponse(datasets=found, next_token=page.next_token(len(found)))

    def existing(self, id: Any) -> DatasetRecord:
        """The dataset of that DatasetID. Raises NotFound, also when it has another UUID than the id says."""
        record = self._records.get(dataset_key(id))
        if record is None or (id.UUID and id.UUID != record.message.id.UUID):
            raise NotFound(f"missing entity of type Dataset with identifier {text(plain_id(id))}")
        return record

    def find(self, id: Any) -> datacatalog_pb2.Dataset | None:
        """The dataset of anything with project, domain, name and version."""
        record = self._records.get(dataset_key(id))
        return None if record is None else record.message

    def ensure(self, id: Any, metadata: Mapping[str, str]) -> datacatalog_pb2.DatasetID:
        """The id of the dataset, which is made if it is not there; one that is there keeps its metadata."""
        found = self.find(id)
        if found is None:
            wanted = datacatalog_pb2.Dataset(id=plain_id(id), metadata=datacatalog_pb2.Metadata(key_map=metadata))
            found = self._insert(wanted)
        return found.id

    def _insert(self, dataset: datacatalog_pb2.Dataset) -> datacatalog_pb2.Dataset:
        id = plain_id(dataset.id)
        id.UUID = self._unused_uuid(dataset.id.UUID)
        message = datacatalog_pb2.Dataset(id=id, metadata=dataset.metadata, partitionKeys=dataset.partitionKeys)
        columns = {
            "project": id.project,
            "domain": id.domain,
            "name": id.name,
            "version": id.version,
            "uuid": id.UUID,
            "created_at": timestamp_text(self._clock()),
        }
        self._records.put(Record(dataset_key(id), message, columns))
        return message

    def _unused_uuid(self, asked: str) -> str:
        if not asked:
            return str(uuid.uuid4())
        try:
            wanted = str(uuid.UUID(asked))
        except ValueError:
            raise InvalidArgument(f"invalid value for UUID, value:[{asked}]") from None
        if self._records.table.count((Condition("uuid", Operator.EQUAL, (wanted,)),)):
            raise AlreadyExists(f"value with matching already exists (dataset UUID [{wanted}])")
        return wanted
