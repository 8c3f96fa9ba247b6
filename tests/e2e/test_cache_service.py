"""What the engine has cached is seen through the cache service, and what is put there is what the engine finds."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import grpc
from flyteidl.core import catalog_pb2
from flyteidl.datacatalog import datacatalog_pb2, datacatalog_pb2_grpc


def status(client: Any, execution: Any) -> tuple[int, Any]:
    """The cache status of the first node, and the key that it was cached under."""
    metadata = client.nodes(execution)["n0"].closure.task_node_metadata
    return metadata.cache_status, metadata.catalog_key


def test_the_engine_and_the_service_share_their_artifacts(client: Any, server: Any, tmp_path: Path) -> None:
    inputs = {"n": 12, "ledger": str(tmp_path / "ledger")}
    first = client.run("constructs.cached", **inputs)
    populated, key = status(client, first)
    assert populated == catalog_pb2.CACHE_POPULATED
    dataset = datacatalog_pb2.DatasetID(
        project=key.dataset_id.project,
        domain=key.dataset_id.domain,
        name=key.dataset_id.name,
        version=key.dataset_id.version,
    )
    with grpc.insecure_channel(server.endpoint) as channel:
        catalog = datacatalog_pb2_grpc.DataCatalogStub(channel)
        found = catalog.GetDataset(datacatalog_pb2.GetDatasetRequest(dataset=dataset)).dataset
        assert found.id.name == "flyte_task-constructs.costly"
        assert set(found.metadata.key_map) == {"task-version"}
        by_tag = {"dataset": dataset, "tag_name": key.artifact_tag.name}
        artifact = catalog.GetArtifact(datacatalog_pb2.GetArtifactRequest(**by_tag)).artifact
        assert artifact.id == key.artifact_tag.artifact_id
        assert artifact.metadata.key_map["execution-name"] == first.id.name
        (data,) = artifact.data
        assert data.value.scalar.primitive.integer == 13
        data.value.scalar.primitive.integer = 10
        catalog.UpdateArtifact(datacatalog_pb2.UpdateArtifactRequest(data=[data], **by_tag))
    second = client.run("constructs.cached", **inputs)
    hit, key = status(client, second)
    assert (hit, key.artifact_tag.artifact_id) == (catalog_pb2.CACHE_HIT, artifact.id)
    assert client.typed_outputs(second, "constructs.cached") == {"o0": 100}
