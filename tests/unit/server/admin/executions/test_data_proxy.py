"""Where clients upload, and how they fetch what executions left."""

from __future__ import annotations

import base64
import hashlib
from pathlib import Path

import pytest
from flyteidl.core import execution_pb2 as core_execution_pb2
from flyteidl.core import identifier_pb2
from flyteidl.service import dataproxy_pb2
from google.protobuf import duration_pb2

from flytelite.errors import AlreadyExists, InvalidArgument, NotFound

CONTENT = b"content"
MD5 = hashlib.md5(CONTENT).digest()
Node = core_execution_pb2.NodeExecution
Task = core_execution_pb2.TaskExecution


def upload(admin, **request) -> dataproxy_pb2.CreateUploadLocationResponse:
    usual = {"project": "flytesnacks", "domain": "development"}
    return admin.data_proxy.create_upload_location(dataproxy_pb2.CreateUploadLocationRequest(**{**usual, **request}))


def store_file(uri: str, content: bytes = CONTENT) -> None:
    Path(uri).parent.mkdir(parents=True, exist_ok=True)
    Path(uri).write_bytes(content)


class TestUpload:
    def test_the_same_bytes_go_to_the_same_place(self, admin, settings):
        first = upload(admin, content_md5=MD5, filename="fast.tar.gz")
        root = base64.b32encode(MD5).decode()
        assert root.endswith("=")
        assert first.native_url == f"{settings.bucket}/flytesnacks/development/{root}/fast.tar.gz"
        store_file(first.native_url, b"anything")  # not looked at when only the digest names the place
        assert upload(admin, content_md5=MD5, filename="fast.tar.gz").native_url == first.native_url
        assert first.signed_url.startswith("http://")
        assert dict(first.headers) == {"Content-MD5": base64.b64encode(MD5).decode()}

    def test_the_digest_is_kept_as_metadata_when_asked(self, admin):
        headers = upload(admin, content_md5=MD5, filename="f", add_content_md5_metadata=True).headers
        assert headers["x-amz-meta-flyteContentMD5"] == headers["Content-MD5"]

    def test_without_a_filename_one_is_made_up(self, admin, settings):
        uris = {upload(admin, filename_root="root").native_url for _ in range(5)}
        assert len(uris) == 5
        for uri in uris:
            assert Path(uri).parent == settings.bucket / "flytesnacks" / "development" / "root"
            assert len(Path(uri).name) == 20
        assert not upload(admin, filename_root="root").headers

    def test_slashes_around_a_part_do_not_count(self, admin):
        uri = upload(admin, filename_root="root", filename="file").native_url
        assert upload(admin, filename_root="/root/", filename="file/").native_url == uri

    def test_a_fully_named_object_is_replaced_only_by_itself(self, admin):
        named = {"filename_root": "root", "filename": "dir/file"}
        uri = upload(admin, **named).native_url
        assert uri.endswith("/flytesnacks/development/root/dir/file")
        store_file(uri)
        assert upload(admin, **named, content_md5=MD5).native_url == uri
        for other in (b"", b"x" * 16):
            with pytest.raises(AlreadyExists) as refused:
                upload(admin, **named, content_md5=other)
            assert refused.value.message == (
                f"file already exists at location [{uri}], specify a matching hash if you wish to rewrite"
            )

    @pytest.mark.parametrize(
        ("request_", "message"),
        [
            ({"project": ""}, "project and domain are required parameters"),
            ({"domain": "", "content_md5": MD5}, "project and domain are required parameters"),
            ({}, "content_md5 or filename_root is a required parameter"),
            ({"content_md5": MD5, "expires_in": duration_pb2.Duration(seconds=3601)}, "cannot exceed max allowed"),
            ({"content_md5": MD5, "expires_in": duration_pb2.Duration(seconds=-1)}, "is invalid"),
            ({"filename_root": "..", "filename": "f"}, "is not the key of an object"),
        ],
    )
    def test_requests_that_cannot_be_met_are_refused(self, admin, request_, message):
        with pytest.raises(InvalidArgument, match=message):
            upload(admin, **request_)


@pytest.fixture
def id(admin) -> identifier_pb2.WorkflowExecutionIdentifier:
    """An execution with a deck, inline data, and two attempts."""
    made = admin.run("run-1")
    deck = admin.objects.native_url("deck.html")
    store_file(deck, b"<html>")
    admin.node_event(made, "n0", Node.RUNNING, input_data=admin.literal_map(x=1))
    for attempt in range(2):
        outputs = admin.literal_map(o0=attempt)
        admin.task_event(made, "n0", Task.FAILED, retry_attempt=attempt, output_data=outputs)
    admin.node_event(made, "n0", Node.SUCCEEDED, output_data=admin.literal_map(o0=7, name="n"), deck_uri=deck)
    return made


class TestDownload:
    def test_a_deck_has_links(self, admin, id):
        request = dataproxy_pb2.CreateDownloadLinkRequest(
            artifact_type=dataproxy_pb2.ARTIFACT_TYPE_DECK, node_execution_id=admin.node_id(id, "n0")
        )
        link = admin.data_proxy.create_download_link(request)
        assert len(link.signed_url) == 1
        assert list(link.pre_signed_urls.signed_url) == list(link.signed_url)
        assert link.pre_signed_urls.expires_at == link.expires_at

    def test_links_to_nothing_are_refused(self, admin, id):
        deck = dataproxy_pb2.ARTIFACT_TYPE_DECK
        admin.node_event(id, "n1", Node.SUCCEEDED)
        admin.node_event(id, "n2", Node.SUCCEEDED, deck_uri=admin.objects.native_url("gone.html"))
        for request, kind, message in (
            ({"node_execution_id": admin.node_id(id, "n0")}, InvalidArgument, "invalid artifact type"),
            ({"artifact_type": deck}, InvalidArgument, "source is required"),
            (
                {"artifact_type": deck, "node_execution_id": admin.node_id(id, "n9")},
                InvalidArgument,
                r"failed to find node execution \[",
            ),
            ({"artifact_type": deck, "node_execution_id": admin.node_id(id, "n1")}, NotFound, "no deckUrl found"),
            ({"artifact_type": deck, "node_execution_id": admin.node_id(id, "n2")}, NotFound, "object not found"),
        ):
            with pytest.raises(kind, match=message):
                admin.data_proxy.create_download_link(dataproxy_pb2.CreateDownloadLinkRequest(**request))

    def test_any_native_url_has_a_location(self, admin):
        uri = admin.objects.native_url("a/b")
        request = dataproxy_pb2.CreateDownloadLocationRequest(native_url=uri)
        assert admin.data_proxy.create_download_location(request).signed_url.startswith("http://")
        with pytest.raises(InvalidArgument, match="native_url is a required parameter"):
            admin.data_proxy.create_download_location(dataproxy_pb2.CreateDownloadLocationRequest())


class TestGetData:
    def get(self, admin, path: str) -> dataproxy_pb2.GetDataResponse:
        return admin.data_proxy.get_data(dataproxy_pb2.GetDataRequest(flyte_url=f"flyte://v1/{path}"))

    def test_urls_of_a_node_and_of_an_attempt(self, admin, id):
        node = "flytesnacks/development/run-1/n0"
        assert self.get(admin, f"{node}/i").literal_map == admin.literal_map(x=1)
        assert self.get(admin, f"{node}/o").literal_map == admin.literal_map(o0=7, name="n")
        assert self.get(admin, f"{node}/o/name").literal == admin.literal("n")
        assert self.get(admin, f"{node}/1/o").literal_map == admin.literal_map(o0=1)
        assert self.get(admin, f"{node}/0/o/o0").literal == admin.literal(0)
        assert self.get(admin, f"{node}/1/i").WhichOneof("data") == "literal_map"
        assert len(self.get(admin, f"{node}/d").pre_signed_urls.signed_url) == 1

    @pytest.mark.parametrize(
        ("path", "kind", "message"),
        [
            ("flytesnacks/development/run-1/n0", InvalidArgument, "failed to parse artifact url"),
            ("flytesnacks/development/run-1/n0/x", InvalidArgument, "failed to parse artifact url"),
            ("flytesnacks/development/run-1/n0/d/name", InvalidArgument, "failed to parse artifact url"),
            ("flytesnacks/development/run-1/n0/0/d", InvalidArgument, "deck type cannot be specified"),
            ("flytesnacks/development/run-1/n0/9/o", InvalidArgument, "no task executions were listed"),
            ("flytesnacks/development/run-1/n0/o/none", InvalidArgument, r"name \[none\] not found in node execution"),
            ("flytesnacks/development/run-1/n0/0/o/none", InvalidArgument, r"name \[none\] not found in task"),
            ("flytesnacks/development/run-1/n9/o", NotFound, "missing entity of type node execution"),
        ],
    )
    def test_urls_that_lead_nowhere(self, admin, id, path, kind, message):
        with pytest.raises(kind, match=message):
            self.get(admin, path)

    def test_what_is_no_flyte_url_is_refused(self, admin):
        for url, message in (("", "Provided empty string"), ("http://x", "does not start with the correct prefix")):
            with pytest.raises(InvalidArgument, match=message):
                admin.data_proxy.get_data(dataproxy_pb2.GetDataRequest(flyte_url=url))
