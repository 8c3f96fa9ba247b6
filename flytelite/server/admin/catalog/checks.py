"""What requests to the cache service must have.

Source: datacatalog/pkg/manager/impl/validators/*.go.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence

from flyteidl.datacatalog import datacatalog_pb2

from flytelite.errors import InvalidArgument
from flytelite.server.admin.validation import missing, require

ARTIFACT_ID, TAG_NAME = "artifactID", "tagName"


def dataset_id(id: datacatalog_pb2.DatasetID, present: bool) -> None:
    """Every part is there; ``present`` says whether the message was. Raises InvalidArgument."""
    if not present:
        raise missing("dataset")
    for part in ("project", "domain", "name", "version"):
        require(getattr(id, part), part)


def query_handle(request: datacatalog_pb2.GetArtifactRequest | datacatalog_pb2.UpdateArtifactRequest) -> None:
    """It names an artifact by its id, or by a tag of a dataset. Raises InvalidArgument."""
    handle = request.WhichOneof("query_handle")
    if handle is None:
        raise missing(f"one of {ARTIFACT_ID}/{TAG_NAME}")
    if handle == "tag_name" or request.HasField("dataset"):
        dataset_id(request.dataset, request.HasField("dataset"))
    require(getattr(request, handle), ARTIFACT_ID if handle == "artifact_id" else TAG_NAME)


def artifact_data(data: Sequence[datacatalog_pb2.ArtifactData]) -> None:
    """There is some, and all of it has names. Raises InvalidArgument."""
    if not data:
        raise missing("artifactData")
    for item in data:
        require(item.name, "artifactData name")


def partition_keys(keys: Iterable[str]) -> None:
    """No key is there twice. Raises InvalidArgument."""
    counts = Counter(keys)
    if counts and max(counts.values()) > 1:
        raise InvalidArgument(
            f"invalid value for partitionKey, value:[Keys are not unique, occurrence count: {_counts(counts)}]"
        )


def partitions(keys: Sequence[str], given: Sequence[datacatalog_pb2.Partition]) -> None:
    """An artifact has a value for each key of its dataset. Raises InvalidArgument."""
    if len(keys) != len(given):
        raise InvalidArgument(
            f"Partition key mismatch, dataset keys: [{' '.join(keys)}], "
            f"artifact Partitions: [{' '.join(f'{item.key}={item.value}' for item in given)}]"
        )
    problems = []
    for index, partition in enumerate(given):
        if not partition.key:
            problems.append(f"missing partitionKey[{index}]")
        elif not partition.value:
            problems.append(f"missing partitionValue[{index}]")
    named = {partition.key for partition in given if partition.key and partition.value}
    if named - set(keys):
        matches = " ".join(f"{key}:{str(key in named).lower()}" for key in sorted(keys))
        problems.append(f"Artifact partition assignment does not match dataset partition keys: map[{matches}]")
    if problems:
        raise InvalidArgument(", ".join(problems))


def _counts(counts: Counter[str]) -> str:
    return f"map[{' '.join(f'{key}:{count}' for key, count in sorted(counts.items()))}]"
