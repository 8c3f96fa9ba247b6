"""How stored executions are shown: shortened in lists, with the URLs under which clients ask for their data."""

from __future__ import annotations

from typing import Any

from flyteidl.admin import common_pb2
from flyteidl.core import identifier_pb2

TRIMMED_ERROR_BYTES = 100


def trim_error(closure: Any) -> None:
    """Cut a closure's error message to 100 bytes, as lists show it (repositories/transformers/execution.go)."""
    if not closure.HasField("error"):
        return
    message = closure.error.message.encode()
    if len(message) > TRIMMED_ERROR_BYTES:
        closure.error.message = message[:TRIMMED_ERROR_BYTES].decode(errors="ignore")


def node_urls(id: identifier_pb2.NodeExecutionIdentifier, deck: bool) -> common_pb2.FlyteURLs:
    """The flyte:// URLs that DataProxyService.GetData resolves (``flyteadmin/pkg/common/flyte_url.go``)."""
    execution = id.execution_id
    return _urls(f"flyte://v1/{execution.project}/{execution.domain}/{execution.name}/{id.node_id}", deck)


def task_urls(id: identifier_pb2.TaskExecutionIdentifier) -> common_pb2.FlyteURLs:
    """The same for one attempt; only nodes have decks."""
    execution, node = id.node_execution_id.execution_id, id.node_execution_id.node_id
    base = f"flyte://v1/{execution.project}/{execution.domain}/{execution.name}/{node}"
    return _urls(f"{base}/{id.retry_attempt}", deck=False)


def _urls(base: str, deck: bool) -> common_pb2.FlyteURLs:
    return common_pb2.FlyteURLs(inputs=f"{base}/i", outputs=f"{base}/o", deck=f"{base}/d" if deck else "")
