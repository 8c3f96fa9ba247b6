"""The tables of the cache service, and the keys of what is in them."""

from __future__ import annotations

from typing import Any

from flyteidl.datacatalog import datacatalog_pb2

from flytelite.server.admin.identifiers import join
from flytelite.server.store.interface import TableSchema

DATASETS = TableSchema(
    "catalog_datasets",
    columns=frozenset({"project", "domain", "name", "version", "uuid", "created_at"}),
    indexed=frozenset({"project", "domain", "name", "version", "uuid"}),
    sorted=frozenset({"created_at"}),
)
ARTIFACTS = TableSchema(
    "catalog_artifacts",
    columns=frozenset({"dataset", "artifact_id", "created_at"}),
    indexed=frozenset({"dataset", "artifact_id"}),
    sorted=frozenset({"created_at"}),
)
"""``extra`` has under ``data`` the URI of the LiteralMap with an artifact's data."""
TAGS = TableSchema("catalog_tags", columns=frozenset({"artifact"}), indexed=frozenset({"artifact"}))
"""``artifact`` is the key of the tagged artifact, ``name`` the tag's own."""
RESERVATIONS = TableSchema("catalog_reservations")


def dataset_key(id: Any) -> str:
    """project/domain/name/version of anything that has these four."""
    return join(id.project, id.domain, id.name, id.version)


def artifact_key(dataset: Any, artifact_id: str) -> str:
    """The dataset's key, then the artifact's id."""
    return f"{dataset_key(dataset)}/{join(artifact_id)}"


def tag_key(dataset: Any, tag: str) -> str:
    """The dataset's key, then the tag's name: of tags, and of the reservations for them."""
    return f"{dataset_key(dataset)}/{join(tag)}"


def plain_id(id: Any) -> datacatalog_pb2.DatasetID:
    """A DatasetID of the four parts alone."""
    return datacatalog_pb2.DatasetID(project=id.project, domain=id.domain, name=id.name, version=id.version)
