"""The data proxy: where clients put what they upload and fetch what executions left.

Source: flyteadmin/dataproxy/service.go, flyteadmin/pkg/common/flyte_url.go.
"""

from __future__ import annotations

import re
import secrets
from base64 import b32encode, b64encode

from flyteidl.admin import node_execution_pb2
from flyteidl.core import identifier_pb2, literals_pb2
from flyteidl.service import dataproxy_pb2
from google.protobuf import duration_pb2

from flytelite.config import Settings
from flytelite.errors import AlreadyExists, InvalidArgument, NotFound
from flytelite.server.admin.execution_creation import NAME_ALPHABET
from flytelite.server.admin.identifiers import text
from flytelite.server.admin.node_executions import NodeExecutions
from flytelite.server.admin.objects import Objects
from flytelite.server.admin.task_executions import TaskExecutions

RANDOM_NAME_LENGTH = 20
MAX_DURATION_SECONDS = 315_576_000_000

_PART = "[a-zA-Z0-9_-]+"
_FLYTE_URL = re.compile(
    rf"flyte://v1/(?P<project>{_PART})/(?P<domain>{_PART})/(?P<execution>{_PART})/(?P<node>{_PART})"
    rf"(?:/(?P<attempt>[0-9]{{1,10}}))?/(?:(?P<kind>[iod])|(?P<map>[io])/(?P<name>{_PART}))"
)


class DataProxy:
    """The DataProxyService RPCs."""

    def __init__(
        self, objects: Objects, settings: Settings, node_executions: NodeExecutions, task_executions: TaskExecutions
    ) -> None:
        self._objects = objects
        self._max_expiry = settings.max_upload_expiry
        self._node_executions = node_executions
        self._task_executions = task_executions

    def create_upload_location(
        self, request: dataproxy_pb2.CreateUploadLocationRequest
    ) -> dataproxy_pb2.CreateUploadLocationResponse:
        """CreateUploadLocation: the same request names the same object, unless it leaves the file's name open.

        Slashes around a part of the key do not count (flytestdlib/storage/url_path.go). The URL takes only bytes of the
        digest that was asked for.
        Raises InvalidArgument, and AlreadyExists when a fully named object exists with other content.
        """
        if not request.project or not request.domain:
            raise InvalidArgument("project and domain are required parameters")
        if not request.filename_root and not request.content_md5:
            raise InvalidArgument("content_md5 or filename_root is a required parameter")
        root = request.filename_root or b32encode(request.content_md5).decode()
        name = request.filename or "".join(secrets.choice(NAME_ALPHABET) for _ in range(RANDOM_NAME_LENGTH))
        parts = (request.org, request.project, request.domain, root, name)
        uri = self._objects.native_url("/".join(part.strip("/") for part in parts if part))
        if request.filename and request.filename_root:
            self._check_replaceable(uri, request.content_md5)
        expires_in = self._expiry(request.expires_in if request.HasField("expires_in") else None)
        signed = self._objects.sign("PUT", uri, expires_in, request.content_md5)
        return dataproxy_pb2.CreateUploadLocationResponse(
            signed_url=signed.url, native_url=uri, expires_at=signed.expires_at, headers=_upload_headers(request)
        )

    def create_download_location(
        self, request: dataproxy_pb2.CreateDownloadLocationRequest
    ) -> dataproxy_pb2.CreateDownloadLocationResponse:
        """CreateDownloadLocation of any native URL, whether or not there is an object. Raises InvalidArgument."""
        try:
            expires_in = self._expiry(request.expires_in if request.HasField("expires_in") else None)
        except InvalidArgument as error:
            raise InvalidArgument(f"error while validating request: {error.message}") from None
        if not request.native_url:
            raise InvalidArgument("error while validating request: native_url is a required parameter")
        signed = self._objects.sign("GET", request.native_url, expires_in)
        return dataproxy_pb2.CreateDownloadLocationResponse(signed_url=signed.url, expires_at=signed.expires_at)

    def create_download_link(
        self, request: dataproxy_pb2.CreateDownloadLinkRequest
    ) -> dataproxy_pb2.CreateDownloadLinkResponse:
        """CreateDownloadLink to the deck of a node execution.

        Raises InvalidArgument, also for an unknown node, and NotFound when there is no deck.
        """
        expires_in = self._check_link(request)
        node = self._node_executions.find(request.node_execution_id)
        if node is None:
            raise InvalidArgument(f"failed to find node execution [{text(request.node_execution_id)}]")
        uri = node.closure.deck_uri
        if request.artifact_type != dataproxy_pb2.ARTIFACT_TYPE_DECK or not uri:
            raise NotFound(f"no deckUrl found for request [{text(request)}]")
        if not self._objects.exists(uri):
            raise NotFound("object not found")
        signed = self._objects.sign("GET", uri, expires_in)
        urls = dataproxy_pb2.PreSignedURLs(signed_url=[signed.url], expires_at=signed.expires_at)
        return dataproxy_pb2.CreateDownloadLinkResponse(
            signed_url=urls.signed_url, expires_at=urls.expires_at, pre_signed_urls=urls
        )

    def get_data(self, request: dataproxy_pb2.GetDataRequest) -> dataproxy_pb2.GetDataResponse:
        """GetData behind a flyte:// URL: a literal map, one literal of it, or links to a deck.

        Raises InvalidArgument for an URL that means nothing and for an unknown attempt or name, NotFound for an
        unknown node.
        """
        refused = "failed to validate resolve artifact request. Error: "
        if not request.flyte_url:
            raise InvalidArgument(f"{refused}source is required. Provided empty string")
        if not request.flyte_url.startswith("flyte://"):
            raise InvalidArgument(f"{refused}request does not start with the correct prefix")
        url = _FLYTE_URL.fullmatch(request.flyte_url)
        if url is None:
            raise InvalidArgument(f"failed to parse artifact url Error: failed to parse [{request.flyte_url}]")
        node = identifier_pb2.NodeExecutionIdentifier(node_id=url["node"])
        node.execution_id.project, node.execution_id.domain = url["project"], url["domain"]
        node.execution_id.name = url["execution"]
        kind = url["kind"] or url["map"]
        if url["attempt"] is not None:
            return self._of_attempt(node, int(url["attempt"]), kind, url["name"])
        return self._of_node(node, kind, url["name"])

    def _of_node(
        self, id: identifier_pb2.NodeExecutionIdentifier, kind: str, name: str | None
    ) -> dataproxy_pb2.GetDataResponse:
        if kind == "d":
            self._node_executions.get(node_execution_pb2.NodeExecutionGetRequest(id=id))
            link = dataproxy_pb2.CreateDownloadLinkRequest(
                artifact_type=dataproxy_pb2.ARTIFACT_TYPE_DECK, node_execution_id=id
            )
            return dataproxy_pb2.GetDataResponse(pre_signed_urls=self.create_download_link(link).pre_signed_urls)
        map = self._node_executions.literals(id, kind)
        return _data(map, name, f"node execution [{text(id)}]")

    def _of_attempt(
        self, node: identifier_pb2.NodeExecutionIdentifier, attempt: int, kind: str, name: str | None
    ) -> dataproxy_pb2.GetDataResponse:
        found = [one for one in self._task_executions.of_node(node) if one.id.retry_attempt == attempt]
        if not found:
            raise InvalidArgument(f"no task executions were listed [{text(node)}] with retry attempt [{attempt}]")
        if kind == "d":
            raise InvalidArgument("deck type cannot be specified with a retry attempt, just use the node instead")
        map = self._task_executions.literals(found[0].id, kind)
        return _data(map, name, f"task execution [{text(found[0].id)}]")

    def _check_replaceable(self, uri: str, md5: bytes) -> None:
        """Raise AlreadyExists when the object exists with other content than that of the MD5 (empty: unknown)."""
        existing = self._objects.md5(uri)
        if existing is not None and existing != md5:
            raise AlreadyExists(
                f"file already exists at location [{uri}], specify a matching hash if you wish to rewrite"
            )

    def _check_link(self, request: dataproxy_pb2.CreateDownloadLinkRequest) -> float:
        refused = "error while validating request. Error: "
        try:
            expires_in = self._expiry(request.expires_in if request.HasField("expires_in") else None)
        except InvalidArgument as error:
            raise InvalidArgument(f"{refused}{error.message}") from None
        if request.artifact_type == dataproxy_pb2.ARTIFACT_TYPE_UNDEFINED:
            raise InvalidArgument(f"{refused}invalid artifact type [ARTIFACT_TYPE_UNDEFINED]")
        if request.WhichOneof("source") is None:
            raise InvalidArgument(f"{refused}source is required. Provided nil")
        return expires_in

    def _expiry(self, duration: duration_pb2.Duration | None) -> float:
        """Seconds for which an URL is to work: at most, and unless asked otherwise, those of the settings."""
        if duration is None:
            return self._max_expiry
        seconds = duration.seconds + duration.nanos / 1e9
        if abs(seconds) > MAX_DURATION_SECONDS or seconds < 0 or abs(duration.nanos) > 999_999_999:
            raise InvalidArgument(f"expiresIn [{text(duration)}] is invalid")
        if seconds > self._max_expiry:
            raise InvalidArgument(
                f"expiresIn [{seconds:g}s] cannot exceed max allowed expiration [{self._max_expiry}s]"
            )
        return seconds


def _upload_headers(request: dataproxy_pb2.CreateUploadLocationRequest) -> dict[str, str]:
    """What the client is to send along with the bytes."""
    if not request.content_md5:
        return {}
    md5 = b64encode(request.content_md5).decode()
    kept = {"x-amz-meta-flyteContentMD5": md5} if request.add_content_md5_metadata else {}
    return {"Content-MD5": md5, **kept}


def _data(map: literals_pb2.LiteralMap, name: str | None, where: str) -> dataproxy_pb2.GetDataResponse:
    if name is None:
        return dataproxy_pb2.GetDataResponse(literal_map=map)
    if name not in map.literals:
        raise InvalidArgument(f"name [{name}] not found in {where}")
    return dataproxy_pb2.GetDataResponse(literal=map.literals[name])
